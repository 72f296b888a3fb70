//! A whole connection: a client that sends anything in any cuts, reads or does not, a handler that answers late or not
//! at all, and time that passes, with any options. What must come of it is computed from the bytes that were sent.

mod application;
mod client;
mod options;
mod verdict;

use self::options::Options;
use super::answers::{Answer, Answers, Message};
use super::hearing::Hearing;
use super::reading::Plain;
use super::{MAX_STEPS, Script};
use crate::admission::Decision;
use crate::client::Client;
use crate::handler::Gate;
use crate::order::Order;
use crate::server::simulation::codec::Codec;
use crate::server::simulation::stream::{Peer, Temper, Watcher};
use crate::server::simulation::{PING, PONG, REQUEST, Simulation, frame, order_close};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::yield_now;

/// What the application sends begins so, and no client says it.
const MARK: &[u8] = b"\0from the application\0";

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
                self.done.close |= self.order(|_| Ok(order_close(4001, "enough")));
            }
            23 if variant == 1 => {
                self.done.abort |= self.order(|_| Ok(Order::Abort));
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
        assert!(count >= 25, "{count} seeds");
    }
}
