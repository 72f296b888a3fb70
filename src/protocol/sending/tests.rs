//! The machine alone: tables of what comes in which order, without a stream, a clock or a thread.

mod alarms;
mod charges;
mod door;
mod door_ends;
mod endings;

use super::{Effects, Ended, MAX_SLICES, Rung, Sender, Settings, Timeout};
use crate::protocol::account::{Account, Memory};
use crate::protocol::broadcast::SharedFrame;
use crate::protocol::frame::{Opcode, split_server_frame};
use crate::protocol::limit::Limit;
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use crate::protocol::window::Window;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const RESPONSE: &[u8] = b"HTTP/1.1 101 \r\n\r\n";

/// No time limits but that of the closing handshake.
fn settings() -> Settings {
    Settings {
        idle_timeout: None,
        ping_interval: None,
        ping_timeout: Timeout {
            name: "ping_timeout",
            value: 10 * SECOND,
        },
        close_timeout: 5 * SECOND,
    }
}

/// A sender with a stream that takes as much as it is told to, in a time of its own.
struct Rig {
    sender: Sender,
    account: Account,
    memory: Arc<Memory>,
    effects: Effects,
    now: Instant,
    /// What the stream takes yet.
    room: usize,
    wire: Vec<u8>,
}

impl Rig {
    fn new(settings: Settings, limit: usize) -> Self {
        let memory = Memory::new(Limit::new(&"memory_limit", limit));
        let mut account = Account::new(memory.clone());
        let settings = Arc::new(settings);
        let sender = Sender::new(RESPONSE.to_vec(), true, settings, &mut account);
        let mut rig = Self {
            sender,
            account,
            memory,
            effects: Effects::default(),
            now: Instant::now(),
            room: usize::MAX,
            wire: Vec::new(),
        };
        rig.flush();
        rig.wire.clear();
        assert_eq!(rig.effects.bytes_sent, 0);
        rig
    }

    /// Sends what can be sent, `tail` at last.
    fn flush_with(&mut self, mut tail: &[u8]) {
        self.sender.settle(&mut self.account, &mut self.effects);
        let mut is_blocked = false;
        let mut gone = 0;
        loop {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.sender.transmit(tail, &mut slices);
            let offered: Vec<u8> = slices[..count]
                .iter()
                .flat_map(|one| one.to_vec())
                .collect();
            let len = offered.len().min(self.room);
            if offered.is_empty() {
                break;
            }
            if len == 0 {
                is_blocked = true;
                break;
            }
            self.room -= len;
            gone += len;
            self.wire.extend(&offered[..len]);
            self.sender
                .sent(len, &mut tail, &mut self.account, &mut self.effects);
        }
        // As with TCP: what it has taken is sent, also if there is more.
        if self.sender.needs_flush() {
            self.sender.flushed(&mut self.effects);
        }
        if is_blocked {
            self.sender
                .keep(tail, gone, 0, &mut self.account, &mut self.effects);
        }
    }

    fn flush(&mut self) {
        self.flush_with(&[]);
    }

    /// A message whose answer comes later.
    fn expect(&mut self) {
        self.sender.hold(1, &mut self.account, &mut self.effects);
    }

    /// The echo of a binary message, in the window or held.
    fn echo(&mut self, payload: &[u8]) {
        let mut bytes = [&[0; 2], payload].concat();
        let len = bytes.len();
        let mut window = Window::new(&mut bytes);
        window.read = len;
        self.sender.reply(
            Kind::Binary,
            Partial::NEW,
            2..len,
            &mut window,
            &mut self.account,
            &mut self.effects,
        );
        let tail = window.tail().to_vec();
        self.flush_with(&tail);
    }

    fn answer(&mut self, payload: &[u8]) {
        let frame = crate::protocol::frame::server_frame(Opcode::Text, payload);
        let end = frame.len();
        self.sender
            .answer(frame, &[end], 1, &mut self.account, &mut self.effects);
        self.flush();
    }

    fn send(&mut self, payload: &[u8], ticket: usize) {
        let payload = payload.to_vec();
        let (account, effects) = (&mut self.account, &mut self.effects);
        self.sender
            .send(Kind::Text, payload, ticket, account, effects);
        self.flush();
    }

    /// Sends all that waits at the door.
    fn compress(&mut self) {
        let (account, effects) = (&mut self.account, &mut self.effects);
        let mut budget = usize::MAX;
        self.sender.work(&mut budget, account, effects);
        self.flush();
    }

    /// So much later; what was due until then is done, `false` if that is the end.
    fn wait(&mut self, time: Duration) -> bool {
        self.now += time;
        loop {
            let (account, effects) = (&mut self.account, &mut self.effects);
            match self.sender.on_time(self.now, account, effects) {
                Rung::Nothing => break true,
                Rung::Something => self.flush(),
                Rung::End => break false,
            }
        }
    }

    /// The frames that were sent since the last call: first bytes and payloads.
    fn frames(&mut self) -> Vec<(u8, Vec<u8>)> {
        let wire = std::mem::take(&mut self.wire);
        let mut rest = &wire[..];
        let mut frames = Vec::new();
        while let Some((first, payload, next)) = split_server_frame(rest) {
            frames.push((first, payload.to_vec()));
            rest = next;
        }
        assert!(rest.is_empty(), "half a frame");
        frames
    }

    /// Ends it; everything has to be given back.
    fn end(mut self) -> Ended {
        self.sender.release(&mut self.account, &mut self.effects);
        assert_eq!(self.memory.used(), 0, "a charge was not given back");
        self.sender.end()
    }
}

#[test]
fn replies_wait_for_the_answers_before_them_and_leave_in_one_piece() {
    let mut rig = Rig::new(settings(), 1 << 20);
    rig.echo(b"first");
    rig.expect();
    for number in 0..100 {
        rig.echo(&[number]);
    }
    rig.expect();
    rig.echo(b"last");
    assert_eq!(rig.frames(), [(0x82, b"first".to_vec())]);
    rig.sender
        .raw(b"\x89\0".to_vec(), 7, &mut rig.account, &mut rig.effects);
    rig.flush();
    assert_eq!(rig.frames(), [(0x89, Vec::new())]);
    assert_eq!(rig.effects.released, 7);
    let frame = crate::protocol::frame::server_frame(Opcode::Text, b"answer");
    let end = frame.len();
    rig.sender
        .answer(frame, &[end], 1, &mut rig.account, &mut rig.effects);
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    assert_eq!(rig.sender.transmit(&[], &mut slices), 2);
    rig.flush();
    let frames = rig.frames();
    assert_eq!((frames.len(), &frames[0].1[..]), (101, &b"answer"[..]));
    assert_eq!(frames[100], (0x82, vec![99]));
    rig.sender
        .answer(Vec::new(), &[0], 1, &mut rig.account, &mut rig.effects);
    rig.flush();
    assert_eq!(rig.frames(), [(0x82, b"last".to_vec())]);
    assert_eq!(rig.effects.sent.messages(), 103);
    assert_eq!(rig.memory.used(), 0);
}

#[test]
fn an_answer_of_nothing_may_come_with_one_that_went_as_it_was() {
    let mut rig = Rig::new(settings(), 1 << 20);
    rig.expect();
    rig.echo(b"held");
    rig.expect();
    let frame = crate::protocol::frame::server_frame(Opcode::Text, b"answer");
    let end = frame.len();
    rig.sender
        .answer(frame, &[end, end], 2, &mut rig.account, &mut rig.effects);
    rig.flush();
    let due = [(0x81, b"answer".to_vec()), (0x82, b"held".to_vec())];
    assert_eq!(rig.frames(), due);
    assert_eq!(rig.effects.sent.messages(), 2);
}

#[test]
fn nothing_is_read_before_the_client_is_admitted_or_while_too_much_is_owed() {
    let memory = Memory::new(Limit::new(&"memory_limit", 1 << 20));
    let mut account = Account::new(memory.clone());
    let mut effects = Effects::default();
    let settings = Arc::new(settings());
    let mut sender = Sender::new(Vec::new(), false, settings, &mut account);
    assert!(!sender.may_read() && !sender.is_free());
    sender.admit();
    assert!(sender.may_read() && sender.is_free());
    for _ in 0..1024 {
        assert!(sender.may_read());
        sender.hold(10, &mut account, &mut effects);
    }
    assert!(!sender.may_read() && !sender.is_free());
    sender.answer(Vec::new(), &[0], 10, &mut account, &mut effects);
    assert!(sender.may_read());
    sender.hold(1 << 20, &mut account, &mut effects);
    assert!(!sender.may_read());
    sender.release(&mut account, &mut effects);
    assert_eq!(memory.used(), 0);
}

#[test]
fn pings_and_messages_go_out_in_the_order_in_which_they_were_given() {
    let mut rig = Rig::new(settings(), 1 << 30);
    rig.sender.agree(charges::agreed(), 6, 50);
    let ping = |rig: &mut Rig| {
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.ping(b"x", 10, account, effects);
        rig.flush();
    };
    ping(&mut rig);
    assert_eq!(rig.frames(), [(0x89, b"x".to_vec())]);
    assert_eq!(std::mem::take(&mut rig.effects.released), 10);
    rig.send(&vec![b'a'; 100_000], 1);
    ping(&mut rig);
    rig.send(b"short", 1);
    rig.compress();
    let order: Vec<u8> = rig.frames().iter().map(|(first, _)| *first).collect();
    assert_eq!(order, [0xc1, 0x89, 0x81]);
    assert_eq!((rig.effects.released, rig.memory.used() > 0), (12, true));
    // A close hurries the message, and the ping stays behind it.
    rig.send(&vec![b'a'; 100_000], 1);
    ping(&mut rig);
    let (account, effects) = (&mut rig.account, &mut rig.effects);
    rig.sender.close(1000, "", account, effects);
    rig.flush();
    let order: Vec<u8> = rig.frames().iter().map(|(first, _)| *first).collect();
    assert_eq!(order, [0x81, 0x89, 0x88]);
    assert_eq!(rig.effects.released, 23);
    rig.end();
}

#[test]
fn tickets_go_back_in_the_order_in_which_they_were_given_whatever_is_given_up() {
    for compresses in [false, true] {
        let mut rig = Rig::new(settings(), 1 << 20);
        if compresses {
            rig.sender.agree(charges::agreed(), 6, 50);
        }
        rig.room = 10;
        rig.send(&vec![b'a'; 100_000], 1);
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        // There is nothing to send of this, and after our close frame there never is.
        rig.sender.raw(Vec::new(), 2, account, effects);
        assert_eq!(effects.released, 0);
        rig.sender.close(1000, "", account, effects);
        rig.flush();
        rig.send(b"late", 4);
        assert_eq!(rig.effects.released, 0);
        rig.room = usize::MAX;
        rig.flush();
        assert_eq!(rig.effects.released, 7);
        // Now it waits for nothing.
        rig.send(b"later", 8);
        assert_eq!(rig.effects.released, 15);
        rig.end();
    }
}

#[test]
fn a_frame_that_many_send_is_charged_once_until_the_last_of_them_has_sent_it() {
    let memory = Memory::new(Limit::new(&"memory_limit", 1 << 20));
    let frame = SharedFrame::new(Opcode::Text, &[b'x'; 10_000], &memory).unwrap();
    let charged = memory.used();
    assert_eq!(charged, frame.frame().len());
    let mut rigs: Vec<Rig> = (0..5).map(|_| Rig::new(settings(), 1 << 20)).collect();
    for rig in &mut rigs {
        rig.room = 4_000;
        let (account, effects) = (&mut rig.account, &mut rig.effects);
        rig.sender.send_shared(frame.clone(), 7, account, effects);
        rig.flush();
        // What is its own is a place in a queue.
        assert!(rig.memory.used() < 200);
        assert_eq!(rig.effects.released, 0);
    }
    let expected = frame.frame().to_vec();
    drop(frame);
    for (index, rig) in rigs.iter_mut().enumerate() {
        assert_eq!(memory.used(), charged, "before client {index} has it");
        if index == 2 {
            // One that ends gives its part up.
            rig.sender.release(&mut rig.account, &mut rig.effects);
        } else {
            rig.room = usize::MAX;
            rig.flush();
            assert_eq!(rig.wire, expected);
        }
        assert_eq!(rig.effects.released, 7);
        assert_eq!(rig.memory.used(), 0);
    }
    assert_eq!(memory.used(), 0);
}

#[test]
fn a_frame_that_does_not_fit_is_not_there() {
    let memory = Memory::new(Limit::new(&"memory_limit", 1_000));
    assert!(SharedFrame::new(Opcode::Text, &[0; 999], &memory).is_err());
    assert_eq!(memory.used(), 0);
}
