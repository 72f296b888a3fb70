//! A whole connection: a client that sends anything in any cuts, reads or does not, a handler that answers late or not
//! at all, and time that passes, with any options. What must come of it is computed from the bytes that were sent.

use super::answers::{Answer, Answers, Message};
use super::hearing::Hearing;
use super::reading::{End, Plain, read};
use super::{MAX_STEPS, Script};
use crate::admission::Decision;
use crate::client::{Client, SendError};
use crate::handler::{Gate, Wants};
use crate::order::Order;
use crate::protocol::close;
use crate::protocol::extensions::Deflate;
use crate::protocol::message::Kind;
use crate::server::simulation::codec::Codec;
use crate::server::simulation::stream::{Peer, Temper, Watcher};
use crate::server::simulation::{
    BINARY, CLOSE, Config, Duration, PING, PONG, REQUEST, Simulation, TEXT, frame, order_close,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::yield_now;

/// What the application sends begins so, and no client says it.
const MARK: &[u8] = b"\0from the application\0";
const LIMITS: [usize; 4] = [125, 3000, 70_000, 64 << 20];

/// What a script begins with.
struct Options {
    flags: usize,
    limit: usize,
    config: Config,
    wants: Wants,
}

impl Options {
    fn new(script: &mut Script<'_>) -> Self {
        let (flags, others, time) = (script.size(), script.size(), script.size());
        let when = |bit, wants| {
            if flags & bit == 0 {
                Wants::NOTHING
            } else {
                wants
            }
        };
        let wants = when(1, Wants::TEXT)
            | when(2, Wants::BINARY)
            | when(4, Wants::OPEN)
            | when(8, Wants::HANDSHAKE)
            | Wants::CLOSE;
        let limit = LIMITS[others % 4];
        let takes_turns = others & 64 != 0;
        let deflate = Deflate {
            threshold: if others & 32 == 0 { 0 } else { 20 },
            server_no_context_takeover: takes_turns,
            client_no_context_takeover: takes_turns,
            ..Deflate::default()
        };
        let seconds = |bits: usize| match time >> bits & 3 {
            0 => None,
            seconds => Some(Duration::from_secs(4 * seconds as u64)),
        };
        let config = Config {
            max_message_size: limit,
            memory_limit: if others & 4 == 0 {
                1 << 30
            } else {
                4000 + 2500 * script.size()
            },
            max_send_queue: if others & 8 == 0 { 16 << 20 } else { 1000 },
            compression: (flags & 16 != 0).then_some(deflate),
            idle_timeout: seconds(0),
            ping_interval: seconds(2),
            ping_timeout: seconds(4).unwrap_or(Duration::from_secs(20)),
            close_timeout: seconds(6).unwrap_or_default(),
            ..Config::default()
        };
        Self {
            flags,
            limit,
            config,
            wants,
        }
    }

    fn has_little_memory(&self) -> bool {
        self.config.memory_limit < 1 << 30
    }

    fn has_deflate(&self) -> bool {
        self.config.compression.is_some()
    }
}

/// Plays a script.
///
/// # Panics
/// With a finding.
pub fn connection(script: &[u8]) {
    let mut script = Script(script);
    let options = Options::new(&mut script);
    let gate = if options.flags & 4 == 0 {
        Gate::Open
    } else {
        Gate::Later
    };
    let answers = Answers::new(options.wants, gate);
    Simulation::run(
        options.config.clone(),
        answers.clone(),
        async |simulation| {
            let mut play = Play::new(simulation, options, answers);
            for _ in 0..MAX_STEPS {
                let Some(step) = script.byte() else { break };
                play.step(step, &mut script).await;
            }
            play.finish().await;
        },
    );
}

/// What has been done that may cut a conversation short.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may have been done, or not"
)]
struct Done {
    /// The client has ended its half, or the connection has failed.
    end: bool,
    reset: bool,
    /// The application has.
    close: bool,
    abort: bool,
    refusal: bool,
    stop: bool,
    /// Time has passed, or there was none for the end.
    time: bool,
    /// The client did not take all at once.
    blocking: bool,
}

struct Play<'a> {
    simulation: &'a Simulation,
    options: Options,
    answers: Arc<Answers>,
    peer: Peer,
    watcher: Watcher,
    client: Option<Arc<Client>>,
    codec: Option<Codec>,
    /// What the client has said, from its request on, and how much of it was sent.
    said: Vec<u8>,
    sent: usize,
    plain: Plain,
    is_garbled: bool,
    number: usize,
    hearing: Hearing,
    /// What the application has sent, and how much of it has to arrive.
    sends: Vec<Message>,
    certain: usize,
    done: Done,
}

impl<'a> Play<'a> {
    fn new(simulation: &'a Simulation, options: Options, answers: Arc<Answers>) -> Self {
        let temper = if options.flags & 32 == 0 {
            Temper::even()
        } else {
            Temper::moody(options.flags as u64)
        };
        let peer = simulation.connect(temper);
        let has_deflate = options.has_deflate();
        let takes_over = !options
            .config
            .compression
            .unwrap_or_default()
            .client_no_context_takeover;
        let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        let request = if has_deflate {
            REQUEST.replace("\r\n\r\n", offer)
        } else {
            REQUEST.to_owned()
        };
        let done = Done {
            time: options.config.close_timeout.is_zero(),
            blocking: options.flags & 32 != 0,
            ..Done::default()
        };
        Self {
            simulation,
            answers,
            watcher: peer.watcher(),
            peer,
            client: None,
            codec: has_deflate.then(|| Codec::new(takes_over)),
            said: request.into_bytes(),
            sent: 0,
            plain: has_deflate.then(BTreeMap::new),
            is_garbled: false,
            number: 0,
            hearing: Hearing::default(),
            sends: Vec::new(),
            certain: 0,
            done,
            options,
        }
    }

    fn request_len(&self) -> usize {
        let end = self.said.windows(4).position(|end| end == b"\r\n\r\n");
        end.unwrap() + 4
    }

    async fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let variant = usize::from(step / 28);
        match step % 28 {
            0 => self.say_message(script.size(), variant),
            1 => self.say(frame([0x01, 0x02][variant % 2], script.bytes())),
            2 => self.say(frame([0x00, 0x80][variant % 2], script.bytes())),
            3 => self.say_compressed(script.size(), variant),
            4 => self.say(frame(PING, script.bytes())),
            5 => {
                self.number += 1;
                self.say(frame(PING, self.number.to_be_bytes()));
            }
            6 => self.say(frame(PONG, script.bytes())),
            7 if variant < 6 => self.say_close(variant),
            8 => self.say(script.bytes()),
            9 => self.garble(script.size(), variant),
            10 => self.deliver(script.size()),
            11 => self.deliver(256 * script.size()),
            12 | 13 => {
                self.deliver(usize::MAX);
                self.quiet().await;
            }
            14 => self.quiet().await,
            15 => {
                self.done.blocking = true;
                self.peer.take_only(script.size() << variant);
            }
            16 => self.peer.take_only(usize::MAX),
            17 => {
                self.done.time = true;
                let time = Duration::from_millis(100 * script.size() as u64);
                tokio::time::advance(time).await;
            }
            18 | 19 => {
                let count = script.size();
                let answer = match variant % 4 {
                    0 | 1 => Answer::Echo,
                    2 => Answer::Text(count * count),
                    _ => Answer::Nothing,
                };
                self.answers.answer(1 + count % 64, answer);
            }
            20 | 21 => self.send(script.size(), variant),
            22 => drop(self.order(|client| client.ping(Vec::new(), 16 << 20))),
            23 if variant == 0 => {
                self.done.close = true;
                self.order(|_| Ok(order_close(4001, "enough")));
            }
            23 if variant == 1 => {
                self.done.abort = true;
                self.order(|_| Ok(Order::Abort));
            }
            24 => drop(self.order(|_| Ok(Order::Admit))),
            25 => {
                let decision = match variant {
                    0 => Decision::Fail,
                    1 => Decision::Silence,
                    2 => Decision::Reset,
                    _ => Decision::accept(),
                };
                self.done.refusal |= variant < 3;
                self.answers.decide(decision);
            }
            26 if variant == 0 => {
                self.done.end = true;
                self.deliver(usize::MAX);
                self.peer.send_end();
            }
            26 if variant == 1 => {
                self.done.reset = true;
                self.peer.reset();
            }
            27 if variant == 0 => {
                self.done.stop = true;
                let seconds = script.size() as u64;
                self.simulation.server.stop(Duration::from_secs(seconds));
            }
            _ => {}
        }
    }

    // The client

    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        if !self.done.end {
            self.said.extend(bytes.as_ref());
        }
    }

    fn content(&mut self, size: usize) -> Vec<u8> {
        self.number += 1;
        let mut content = format!("m{}", self.number).into_bytes();
        content.resize(content.len() + size * size, b'x');
        content
    }

    fn say_message(&mut self, size: usize, variant: usize) {
        let content = self.content(size);
        self.say(frame([TEXT, BINARY][variant % 2], content));
    }

    fn say_compressed(&mut self, size: usize, variant: usize) {
        // What was said after the client's end is not compressed either.
        if self.done.end || self.codec.is_none() {
            return;
        }
        let content = self.content(size);
        let at = self.said.len() - self.request_len();
        if let (Some(codec), Some(plain)) = (&mut self.codec, &mut self.plain) {
            let frame = codec.frame([TEXT, BINARY][variant % 2], &content);
            plain.insert(at, content);
            self.said.extend(frame);
        }
    }

    fn say_close(&mut self, variant: usize) {
        let payload = match variant {
            0 => Vec::new(),
            1 => vec![3],
            2 => close::payload(1005, ""),
            3 => close::payload(3000, "bye"),
            _ => close::payload(close::NORMAL, ""),
        };
        self.say(frame(CLOSE, payload));
    }

    /// Changes a bit of what is not sent yet.
    fn garble(&mut self, at: usize, bit: usize) {
        let from = self.sent.max(self.request_len());
        if let Some(byte) = self.said[from..].get_mut(at) {
            *byte ^= 1 << (bit % 8);
            self.is_garbled |= self.options.has_deflate();
        }
    }

    fn deliver(&mut self, len: usize) {
        let end = self.sent.saturating_add(len).min(self.said.len());
        self.peer.send(&self.said[self.sent..end]);
        self.sent = end;
    }

    fn hear(&mut self) {
        let bytes = self.peer.take_received();
        self.hearing.hear(&bytes, &mut self.codec);
    }

    // The application

    /// The client, once it has come in, as long as it is there.
    fn client(&mut self) -> Option<Arc<Client>> {
        if self.client.is_none() {
            self.client = self.simulation.server.clients().pop();
        }
        self.client.clone()
    }

    fn order(&mut self, make: impl FnOnce(&Arc<Client>) -> Result<Order, SendError>) -> bool {
        let Some(client) = self.client() else {
            return false;
        };
        let Ok(order) = make(&client) else {
            return false;
        };
        client.order(order);
        true
    }

    fn send(&mut self, size: usize, variant: usize) {
        self.number += 1;
        let number = self.number.to_be_bytes();
        let payload = [MARK, &number[..], &vec![b'y'; size * size / 4][..]].concat();
        let limit = self.options.config.max_send_queue;
        let frame = (variant % 2 == 1)
            .then(|| self.simulation.server.frame(Kind::Binary, &payload))
            .flatten();
        let is_sent = self.order(|client| match &frame {
            Some(frame) => client.share(frame, limit),
            None => client.message(Kind::Binary, payload.clone(), limit),
        });
        if is_sent {
            self.sends.push((Kind::Binary, payload));
        }
    }

    /// Lets everything happen that can happen without the clock.
    async fn quiet(&mut self) {
        loop {
            let before = self.watcher.happened();
            for _ in 0..30 {
                yield_now().await;
            }
            self.hear();
            if self.watcher.happened() == before {
                break;
            }
        }
        if self.client().is_some_and(|client| client.is_open()) {
            self.certain = self.sends.len();
        }
    }

    // The end

    /// Whether what was said ends between two frames, so that more can be said.
    fn is_between(&self) -> bool {
        !self.is_garbled && self.reading().end == End::Between
    }

    fn reading(&self) -> super::reading::Reading {
        let said = &self.said[self.request_len()..];
        read(said, self.options.limit, &self.plain)
    }

    /// Everybody does what is left to do, without the clock.
    async fn settle_all(&mut self) {
        self.peer.take_only(usize::MAX);
        self.deliver(usize::MAX);
        loop {
            self.quiet().await;
            self.answers.decide(Decision::accept());
            self.order(|_| Ok(Order::Admit));
            let before = self.watcher.happened();
            while self.answers.answer(usize::MAX, Answer::Echo) {}
            self.quiet().await;
            if self.watcher.happened() == before && !self.answers.is_asked() {
                break;
            }
        }
    }

    async fn finish(mut self) {
        self.settle_all().await;
        let may_go_on = !self.done.end && !self.peer.is_over();
        if may_go_on && self.is_between() {
            // Everything is answered, and nothing may be kept of it.
            if self.client().is_some_and(|client| client.is_open()) && !self.done.reset {
                self.check_charges();
            }
            self.say_close(4);
            self.settle_all().await;
        }
        self.peer.send_end();
        if self.done.stop {
            // A worker at its end polls nobody.
            self.quiet().await;
        } else {
            self.peer.expect_drop().await;
            self.hear();
            self.judge();
        }
    }

    /// What is charged when everything was answered and sent: a message that is not complete, and zlib's contexts.
    fn check_charges(&mut self) {
        let queued = self.client().map(|client| client.queued());
        assert_eq!(queued, Some(0), "room of the send queue is not given back");
        let said = self.said.len() - self.request_len();
        let messages = self.reading().messages;
        let whole: usize = messages.iter().map(|(_, payload)| payload.len()).sum();
        let contexts = if self.options.has_deflate() {
            500_000
        } else {
            0
        };
        let most = 2 * said.saturating_sub(whole) + 2048 + contexts;
        let used = self.simulation.used();
        assert!(
            used <= most as u64,
            "{used} bytes are charged, {most} at most"
        );
    }

    fn judge(&self) {
        let Self {
            hearing,
            done,
            options,
            ..
        } = self;
        if !hearing.is_upgraded() {
            let is_alone = done.end || done.reset || done.refusal || done.time;
            assert!(is_alone || options.has_little_memory(), "no upgrade");
            return;
        }
        let is_refused = hearing.close == Some(close::TRY_AGAIN);
        assert!(!is_refused || options.has_little_memory(), "1013 with room");
        let is_late = matches!(
            hearing.close,
            Some(close::GOING_AWAY | close::INTERNAL_ERROR)
        );
        assert!(!is_late || done.time, "a timeout in no time");
        let is_failed = done.reset || done.abort;
        let reading = self.reading();
        let has_ended =
            self.is_garbled || matches!(reading.end, End::Between | End::Within | End::Unknown);
        if hearing.close.is_none() {
            let is_blocked = done.time && done.blocking;
            assert!(
                is_failed || is_blocked || done.end && has_ended || self.is_unanswered(),
                "a close without its frame"
            );
        } else {
            assert!(hearing.is_whole());
        }
        if let Some(client) = &self.client {
            assert!(client.ended().is_some());
            assert_eq!(client.queued(), 0, "room of the send queue is lost");
            assert_eq!(self.answers.ends(), 1);
        }
        let is_cut = is_failed
            || is_refused
            || is_late
            || done.close
            || hearing.close.is_none() && done.time;
        let (sends, replies): (Vec<_>, Vec<_>) = hearing
            .messages
            .iter()
            .cloned()
            .partition(|(_, payload)| payload.starts_with(MARK));
        assert!(self.sends.starts_with(&sends), "sends in another order");
        assert!(
            is_failed || is_refused || hearing.close.is_none() || sends.len() >= self.certain,
            "a send is lost"
        );
        if self.is_garbled || reading.end == End::Unknown {
            return;
        }
        compare(
            "replies",
            &replies,
            &self.answers.expected(&reading.messages),
            is_cut,
        );
        let (wanted, given) = self.answers.given(&reading.messages);
        compare("messages given", &given, &wanted, is_cut);
        compare("pongs", &hearing.pongs, &reading.pings, is_cut);
        if !is_cut {
            let stats = self.simulation.server.stats();
            assert_eq!(stats.messages_sent, hearing.messages.len() as u64);
            let received = stats.text_messages_received + stats.binary_messages_received;
            assert_eq!(received, reading.messages.len() as u64);
        }
    }

    /// Whether nobody has closed, so that the client's end was the connection's.
    fn is_unanswered(&self) -> bool {
        !self.done.close
            && !self.is_between()
            && matches!(
                self.reading().end,
                End::Within | End::Unknown | End::Between
            )
            || self.is_garbled
    }
}

/// What has come is what has to come, or the beginning of it.
fn compare<T: PartialEq + std::fmt::Debug>(what: &str, came: &[T], due: &[T], is_cut: bool) {
    let is_right = if is_cut {
        due.starts_with(came)
    } else {
        due == came
    };
    let same = came
        .iter()
        .zip(due)
        .take_while(|(came, due)| came == due)
        .count();
    assert!(
        is_right,
        "{what}: {} of {} came, {same} of them right",
        came.len(),
        due.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// As the fuzzer's, without its patience.
    #[test]
    fn random_scripts_find_nothing_in_a_connection() {
        let mut temper = Temper::moody(12);
        for _ in 0..400 {
            let len = temper.below(150);
            let script: Vec<u8> = (0..len)
                .map(|_| u8::try_from(temper.below(256)).unwrap())
                .collect();
            connection(&script);
        }
    }

    /// What the fuzzer begins with.
    #[test]
    fn its_seeds_find_nothing_either() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/connection");
        let mut count = 0;
        for seed in fs::read_dir(seeds).unwrap() {
            connection(&fs::read(seed.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 24, "{count} seeds");
    }
}
