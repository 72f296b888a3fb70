//! The frame engine as the targets drive it: the way the connection does, with any reads.

use echoserver::protocol::account::{Account, Memory};
use echoserver::protocol::frame::{MAX_SERVER_HEADER, server_header_len, write_server_header};
use echoserver::protocol::limit::Limit;
use echoserver::protocol::message::Kind;
use echoserver::protocol::receiving::{Event, Receiver};
use echoserver::protocol::terms::Terms;
use echoserver::protocol::violation::Violation;
use echoserver::protocol::window::Window;
use std::ops::Range;

/// An input, taken apart: its first eight bytes are settings, the rest is what the client sends.
#[derive(Debug)]
pub struct Input<'a> {
    /// `max_message_size`. Never under 125, since to tungstenite control frames are messages.
    pub limit: usize,
    /// What may be missing of a message before it is read in place.
    pub threshold: usize,
    /// Lengths of reads, used over and over.
    pub reads: [usize; 5],
    pub wire: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (settings, wire) = bytes.split_first_chunk::<8>()?;
        let [limit, _, threshold, reads @ ..] = settings.map(usize::from);
        Some(Self {
            limit: [125, 300, 5000, 70_000][limit % 4],
            threshold: threshold * threshold,
            reads: reads.map(|len| 1 + len * len / 8),
            wire,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
}

/// What was found, and the violation at its end, if there is one. Nothing is looked at after a close frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub found: Vec<Found>,
    pub violation: Option<Violation>,
}

/// Hands `input.wire` to the engine in the given reads.
pub fn run(input: &Input<'_>, reads: &[usize], memory_limit: usize) -> Outcome {
    let memory = Memory::new(Limit::new(&"memory_limit", memory_limit));
    let mut connection = Connection {
        receiver: Receiver::new(Terms::new(Limit::new(&"max_message_size", input.limit))),
        account: Account::new(memory.clone()),
        found: Vec::new(),
    };
    let mut rest = input.wire;
    let mut violation = None;
    for len in reads.iter().cycle() {
        if rest.is_empty() || matches!(connection.found.last(), Some(Found::Close(_))) {
            break;
        }
        let piece = &rest[..rest.len().min(*len)];
        match connection.read(piece, input.threshold) {
            Ok(taken) => rest = &rest[taken..],
            Err(error) => {
                violation = Some(error);
                break;
            }
        }
        // The parts of a message are at most twice what came, or one smallest step each with room for a header.
        assert!(memory.used() <= memory_limit);
        assert!(memory.used() <= 2 * input.limit.max(512) + MAX_SERVER_HEADER);
    }
    let Connection {
        mut receiver,
        mut account,
        found,
    } = connection;
    receiver.release(&mut account);
    assert_eq!(memory.used(), 0);
    Outcome { found, violation }
}

struct Connection {
    receiver: Receiver,
    account: Account,
    found: Vec<Found>,
}

impl Connection {
    /// One read of at most `piece`; returns what it took.
    fn read(&mut self, piece: &[u8], threshold: usize) -> Result<usize, Violation> {
        if let Some((buffer, room)) = self.receiver.spare(threshold, &mut self.account)? {
            assert!(room > 0);
            let len = room.min(piece.len());
            buffer.extend_from_slice(&piece[..len]);
            if let Some(event) = self.receiver.filled(len)? {
                self.take(event, &[]);
            }
            return Ok(len);
        }
        let mut bytes = piece.to_vec();
        let mut window = Window::new(&mut bytes);
        // Echoed as the connection does it: in place where the message lies right behind its header.
        let mut echoed = Vec::new();
        let result = loop {
            if let Err(violation) = self.echo_short(&mut window, &mut echoed) {
                break Err(violation);
            }
            match self.receiver.next(&mut window, &mut 0, &mut self.account) {
                Ok(Some(event)) => {
                    assert!(window.write <= window.read && window.read <= window.bytes.len());
                    if let Some((kind, range)) = echo(&event, &mut window) {
                        echoed.push((kind, range));
                    }
                    let is_close = matches!(event, Event::Close(_));
                    let bytes = window.bytes.to_vec();
                    self.take(event, &bytes);
                    if is_close {
                        break Ok(());
                    }
                }
                Ok(None) => {
                    assert_eq!(window.read, window.bytes.len());
                    break Ok(());
                }
                Err(violation) => break Err(violation),
            }
        };
        // What was put out earlier is still there.
        let mut messages = self.found.iter().rev().filter(|found| is_message(found));
        for (payload, range) in echoed.iter().rev() {
            let found = messages.next().map(payload_of);
            if payload.is_some() {
                assert_eq!(found, Some(&bytes[range.clone()]));
            }
        }
        result.map(|()| piece.len())
    }

    /// The connection's way for short messages, in those reads that are of an even length: what is found has to be the
    /// same either way.
    fn echo_short(
        &mut self,
        window: &mut Window<'_>,
        echoed: &mut Vec<(Option<Kind>, Range<usize>)>,
    ) -> Result<(), Violation> {
        if window.bytes.len() % 2 == 1 {
            return Ok(());
        }
        let start = window.write;
        let mut kinds = Vec::new();
        let result = self.receiver.echo_short(window, |kind, _| kinds.push(kind));
        assert!(window.write <= window.read && window.read <= window.bytes.len());
        let mut at = start;
        for kind in kinds {
            let payload = at + 2..at + 2 + usize::from(window.bytes[at + 1]);
            assert_eq!(window.bytes[at], 0x80 | kind.opcode() as u8);
            at = payload.end;
            let message = window.bytes[payload.clone()].to_vec();
            echoed.push((Some(kind), payload));
            self.found.push(match kind {
                Kind::Text => Found::Text(message),
                Kind::Binary => Found::Binary(message),
            });
        }
        assert_eq!(at, window.write);
        result
    }

    fn take(&mut self, event: Event, window: &[u8]) {
        self.found.push(match event {
            Event::Message {
                kind,
                parts,
                payload,
            } => {
                let mut message: Vec<u8> = parts.pieces().flatten().copied().collect();
                assert_eq!(message.len(), parts.len());
                message.extend_from_slice(&window[payload]);
                parts.release(&mut self.account);
                match kind {
                    Kind::Text => {
                        assert!(std::str::from_utf8(&message).is_ok());
                        Found::Text(message)
                    }
                    Kind::Binary => Found::Binary(message),
                }
            }
            Event::Inflated { .. } => unreachable!("no compression was agreed"),
            Event::Ping(control) => Found::Ping(control.payload().to_vec()),
            Event::Pong(control) => Found::Pong(control.payload().to_vec()),
            Event::Close(control) => Found::Close(control.payload().to_vec()),
        });
    }
}

/// Where a message was put out; without a kind it was put out elsewhere.
fn echo(event: &Event, window: &mut Window<'_>) -> Option<(Option<Kind>, Range<usize>)> {
    let Event::Message {
        kind,
        parts,
        payload,
    } = event
    else {
        return None;
    };
    let len = payload.len();
    if parts.is_empty() && payload.start == window.write + server_header_len(len) {
        write_server_header(&mut window.bytes[window.write..], true, kind.opcode(), len);
        window.write = payload.end;
        return Some((Some(*kind), payload.clone()));
    }
    // The output before it is moved out of the window, and its last part stays.
    window.write = payload.end;
    Some((None, payload.clone()))
}

fn is_message(found: &Found) -> bool {
    matches!(found, Found::Text(_) | Found::Binary(_))
}

fn payload_of(found: &Found) -> &[u8] {
    match found {
        Found::Text(payload)
        | Found::Binary(payload)
        | Found::Ping(payload)
        | Found::Pong(payload)
        | Found::Close(payload) => payload,
    }
}
