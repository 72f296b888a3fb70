//! Tests of `receiving.rs`: whole conversations, and what the tables of its parts have in common.

mod fragments;
mod frames;
mod header;
mod payload;
mod rules;
mod short;

use super::*;
use crate::protocol::account::Memory;
use crate::protocol::{close, frame};
use std::sync::Arc;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// First byte of a frame that is not the last of its message.
const MORE: u8 = 0x7f;
const CONTINUE: u8 = 0x80;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame, of which the header declares `len` bytes and `payload` has come.
fn begun(first: u8, len: usize, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match len {
        0..=125 => frame.push(0x80 | u8::try_from(len).unwrap()),
        126..=0xffff => {
            frame.push(0xfe);
            frame.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    begun(first, payload.len(), payload)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Message(Kind, Vec<u8>),
    Control(u8, Vec<u8>),
    Failed(u16, String),
}

fn text(payload: &str) -> Seen {
    Seen::Message(Kind::Text, payload.as_bytes().to_vec())
}

fn binary(payload: &[u8]) -> Seen {
    Seen::Message(Kind::Binary, payload.to_vec())
}

/// A receiver with its account, and what it has found so far.
struct Reader {
    receiver: Receiver,
    memory: Arc<Memory>,
    account: Account,
    seen: Vec<Seen>,
    /// Payload for which the receiver may have the buffer of what is handed in.
    lend: Option<usize>,
}

impl Reader {
    fn new(limit: usize, memory_limit: usize) -> Self {
        let memory = Memory::new(Limit::new(&"memory_limit", memory_limit));
        Self {
            receiver: Receiver::new(Terms::new(Limit::new(&"max_message_size", limit))),
            account: Account::new(memory.clone()),
            memory,
            seen: Vec::new(),
            lend: None,
        }
    }

    /// Hands in one read; `false` once the connection has failed.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let mut bytes = bytes.to_vec();
        let mut window = Window::new(&mut bytes);
        if let Some(least) = self.lend {
            self.receiver.lend(least);
        }
        loop {
            let event = self.receiver.next(&mut window, &mut 0, &mut self.account);
            assert!(window.write <= window.read);
            match event {
                Ok(Some(event)) => {
                    if let Event::Message { payload, .. } = &event {
                        window.write = payload.end.max(window.write);
                    }
                    let bytes = window.bytes.to_vec();
                    self.see(event, &bytes);
                }
                Ok(None) => break,
                Err(violation) => return self.fail(violation),
            }
        }
        match self.receiver.wants_buffer() {
            Some(from) => self
                .receiver
                .adopt(bytes, from, &mut self.account)
                .map_or_else(|violation| self.fail(violation), |()| true),
            None => true,
        }
    }

    /// Hands in one read as the connection does it: straight into the message if more than `threshold` bytes
    /// of it are missing. Returns how many bytes it took, or nothing once the connection has failed.
    fn read(&mut self, bytes: &[u8], threshold: usize) -> Option<usize> {
        let len = match self.receiver.spare(threshold, &mut self.account) {
            Ok(None) => return self.push(bytes).then_some(bytes.len()),
            Ok(Some((buffer, room))) => {
                assert!(room > 0);
                let len = room.min(bytes.len());
                buffer.extend_from_slice(&bytes[..len]);
                len
            }
            Err(violation) => return self.fail(violation).then_some(0),
        };
        match self.receiver.filled(len) {
            Ok(None) => Some(len),
            Ok(Some(event)) => {
                self.see(event, &[]);
                Some(len)
            }
            Err(violation) => self.fail(violation).then_some(0),
        }
    }

    fn see(&mut self, event: Event, window: &[u8]) {
        self.seen.push(match event {
            Event::Message {
                kind,
                parts,
                payload,
            } => {
                let mut message = parts.pieces().collect::<Vec<_>>().concat();
                assert_eq!(message.len(), parts.len());
                message.extend_from_slice(&window[payload]);
                parts.release(&mut self.account);
                Seen::Message(kind, message)
            }
            Event::Inflated { .. } => unreachable!("nothing was agreed"),
            Event::Ping(control) => Seen::Control(PING, control.payload().to_vec()),
            Event::Pong(control) => Seen::Control(PONG, control.payload().to_vec()),
            Event::Close(control) => Seen::Control(CLOSE, control.payload().to_vec()),
        });
    }

    fn fail(&mut self, violation: Violation) -> bool {
        let reason = violation.reason.into_owned();
        self.seen.push(Seen::Failed(violation.code, reason));
        false
    }

    /// What was found, after a look at the account: nothing may stay charged.
    fn end(mut self) -> Vec<Seen> {
        self.receiver.release(&mut self.account);
        assert_eq!(self.memory.used(), 0);
        self.seen
    }
}

fn receive(pieces: &[&[u8]]) -> Vec<Seen> {
    let mut reader = Reader::new(1 << 20, 1 << 20);
    // What comes after a violation is nobody's business.
    let _ = pieces.iter().all(|piece| reader.push(piece));
    reader.end()
}

/// Every kind of event, fragments with control frames between them, all lengths of headers.
fn conversation() -> (Vec<u8>, Vec<Seen>) {
    let long = "longer than the shortest header can tell, é ".repeat(4);
    let (head, tail) = long.as_bytes().split_at(135);
    let bytes = [
        frame(TEXT, "\u{feff}\u{0}κόσμε".as_bytes()),
        frame(BINARY, b""),
        frame(TEXT & MORE, head),
        frame(PING, b"between"),
        frame(PING, b""),
        frame(0, b""),
        frame(PONG, &[7; 125]),
        frame(CONTINUE, tail),
        frame(BINARY & MORE, b""),
        frame(CONTINUE, b""),
        frame(BINARY & MORE, b"\xff"),
        frame(CONTINUE, b"\xfe"),
        frame(BINARY, &[9; 126]),
        frame(CLOSE, &close::payload(4321, "ciao à tutti")),
    ];
    let seen = vec![
        text("\u{feff}\u{0}κόσμε"),
        binary(b""),
        Seen::Control(PING, b"between".to_vec()),
        Seen::Control(PING, Vec::new()),
        Seen::Control(PONG, vec![7; 125]),
        text(&long),
        binary(b""),
        binary(b"\xff\xfe"),
        binary(&[9; 126]),
        Seen::Control(CLOSE, close::payload(4321, "ciao à tutti")),
    ];
    (bytes.concat(), seen)
}

#[test]
fn any_split_gives_the_same_events() {
    let (bytes, expected) = conversation();
    assert_eq!(receive(&[&bytes]), expected);
    for first in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(first);
        assert_eq!(receive(&[head, tail]), expected, "split at {first}");
    }
    for size in [1, 2, 3, 5, 7, 13, 64] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(receive(&pieces), expected, "in pieces of {size}");
    }
}

#[test]
fn a_character_may_be_split_between_frames() {
    let crab = "🦀".as_bytes();
    for first in 0..=4 {
        let bytes = [
            frame(TEXT & MORE, &crab[..first]),
            frame(PING, b"\xff"),
            frame(CONTINUE, &crab[first..]),
        ];
        let expected = [Seen::Control(PING, b"\xff".to_vec()), text("🦀")];
        assert_eq!(receive(&[&bytes.concat()]), expected);
    }
}

#[test]
fn a_connection_may_end_only_between_messages() {
    let bytes = [
        frame(TEXT & MORE, b"ab"),
        frame(PING, b"x"),
        frame(CONTINUE, b"c"),
    ]
    .concat();
    let mut reader = Reader::new(1000, 1000);
    assert!(reader.receiver.is_idle());
    for (at, byte) in bytes.iter().enumerate() {
        assert!(reader.push(&[*byte]));
        assert_eq!(reader.receiver.is_idle(), at + 1 == bytes.len(), "{at}");
    }
    reader.end();
}
