//! Any messages, split into any frames with control frames between them, split into any segments, come back equal and
//! in order: once with the engine alone, and less often over a real socket.

use crate::support::{BINARY, CLOSE, Frame, PING, PONG, Raw, Running, TEXT, close_payload, header};
use echoserver::config::Config;
use echoserver::protocol::account::{Account, Memory};
use echoserver::protocol::frame::{Opcode, server_frame};
use echoserver::protocol::limit::Limit;
use echoserver::protocol::partial::Chunk;
use echoserver::protocol::receiving::{Event, Receiver};
use echoserver::protocol::terms::Terms;
use echoserver::protocol::window::Window;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::io::Write;
use std::thread;

/// A message, where it is cut into frames, and the pings before each of these.
#[derive(Debug, Clone)]
struct Sent {
    first: u8,
    payload: Vec<u8>,
    cuts: Vec<Index>,
    pings: Vec<Option<Vec<u8>>>,
    key: [u8; 4],
}

impl Sent {
    /// Appends the frames to `wire`, and what has to come back to `expected`.
    fn write(&self, wire: &mut Vec<u8>, expected: &mut Vec<Frame>) {
        let mut ends: Vec<usize> = self
            .cuts
            .iter()
            .map(|cut| cut.index(self.payload.len() + 1))
            .collect();
        ends.sort_unstable();
        ends.push(self.payload.len());
        let mut pings = self.pings.iter().cycle();
        let mut start = 0;
        for (number, &end) in ends.iter().enumerate() {
            if let Some(Some(ping)) = pings.next() {
                masked(PING, ping, self.key, wire);
                expected.push(Frame::new(PONG, &ping[..]));
            }
            let opcode = if number == 0 { self.first & 0x0f } else { 0 };
            let fin = if number + 1 == ends.len() { 0x80 } else { 0 };
            masked(fin | opcode, &self.payload[start..end], self.key, wire);
            start = end;
        }
        expected.push(Frame::new(self.first, &self.payload[..]));
    }
}

fn masked(first: u8, payload: &[u8], key: [u8; 4], wire: &mut Vec<u8>) {
    wire.extend(header(first, payload.len() as u64, key));
    wire.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
}

/// Lengths on both sides of where headers change, mostly short; `longest` for the rare long ones.
fn lengths(longest: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..20_usize,
        3 => 120..135_usize,
        1 => 65_530..65_540_usize,
        1 => 0..=longest,
    ]
}

fn payloads(longest: usize) -> impl Strategy<Value = (u8, Vec<u8>)> {
    let binary = (lengths(longest), any::<u8>()).prop_map(|(len, seed)| {
        let bytes = (0..len).map(|i| seed.wrapping_add(i.to_le_bytes()[0].wrapping_mul(31)));
        (BINARY, bytes.collect())
    });
    let text = (lengths(longest), "[aé\u{0}\u{feff}€🦀]{0,6}").prop_map(|(len, pattern)| {
        let repeated = pattern.repeat(len / pattern.len().max(1));
        (TEXT, repeated.into_bytes())
    });
    prop_oneof![binary, text]
}

fn messages(longest: usize) -> impl Strategy<Value = Vec<Sent>> {
    let pings = vec(proptest::option::of(vec(any::<u8>(), 0..=125)), 1..4);
    let cuts = prop_oneof![2 => Just(Vec::new()), 3 => vec(any::<Index>(), 0..6)];
    let sent = (payloads(longest), cuts, pings, any::<[u8; 4]>()).prop_map(
        |((first, payload), cuts, pings, key)| Sent {
            first,
            payload,
            cuts,
            pings,
            key,
        },
    );
    vec(sent, 0..8)
}

/// Lengths of segments, used over and over.
fn segments() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        vec(1..10_usize, 1..8),
        vec(1..3000_usize, 1..8),
        vec(1..200_000_usize, 1..4),
    ]
}

/// Answers as the connection does, for reads of the given lengths, where what misses more than `threshold` bytes is
/// read into its message.
fn echo(wire: &[u8], segments: &[usize], threshold: usize) -> Vec<u8> {
    let memory = Memory::new(Limit::new(&"memory_limit", 64 << 20));
    let mut account = Account::new(memory.clone());
    let mut receiver = Receiver::new(Terms::new(Limit::new(&"max_message_size", 8 << 20)));
    let mut out = Vec::new();
    let mut rest = wire;
    for &segment in segments.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let mut taken = segment.min(rest.len());
        let spare = receiver.spare(threshold, &mut account).unwrap();
        if let Some((buffer, room)) = spare {
            taken = taken.min(room);
            buffer.extend_from_slice(&rest[..taken]);
            if let Some(event) = receiver.filled(taken).unwrap() {
                answer(event, &[], &mut account, &mut out);
            }
        } else {
            let mut bytes = rest[..taken].to_vec();
            read(&mut receiver, &mut bytes, &mut account, &mut out);
        }
        rest = &rest[taken..];
    }
    assert!(receiver.is_idle());
    assert_eq!(memory.used(), 0);
    out
}

fn read(receiver: &mut Receiver, bytes: &mut [u8], account: &mut Account, out: &mut Vec<u8>) {
    let mut window = Window::new(bytes);
    while let Some(event) = receiver.next(&mut window, &mut 0, account).unwrap() {
        assert!(window.write <= window.read);
        if let Event::Message { payload, .. } = &event {
            // The last part of a message is output where it lies, so nothing may be written before its end.
            window.write = payload.end.max(window.write);
        }
        answer(event, window.bytes, account, out);
    }
    assert_eq!(window.read, window.bytes.len());
}

fn answer(event: Event, window: &[u8], account: &mut Account, out: &mut Vec<u8>) {
    match event {
        Event::Message {
            kind,
            parts,
            payload,
        } => {
            let last = &window[payload];
            let len = parts.len() + last.len();
            if parts.is_empty() {
                out.extend(server_frame(kind.opcode(), last));
            } else {
                let pieces: Vec<u8> = parts.pieces().collect::<Vec<_>>().concat();
                let chunks = parts.into_frame(kind.opcode(), len);
                let frame: Vec<u8> = chunks.iter().flat_map(Chunk::bytes).copied().collect();
                assert!(frame.ends_with(&pieces));
                for chunk in chunks {
                    chunk.free(account);
                }
                out.extend(frame);
                out.extend(last);
            }
        }
        Event::Inflated { .. } => unreachable!("nothing was agreed"),
        Event::Ping(ping) => out.extend(server_frame(Opcode::Pong, ping.payload())),
        Event::Pong(_) => {}
        Event::Close(close) => out.extend(server_frame(Opcode::Close, close.payload())),
    }
}

/// Everything on the wire, with a close at its end, and what has to come back.
fn conversation(messages: &[Sent]) -> (Vec<u8>, Vec<Frame>) {
    let (mut wire, mut expected) = (Vec::new(), Vec::new());
    for message in messages {
        message.write(&mut wire, &mut expected);
    }
    let close = close_payload(4567, "that is all");
    masked(CLOSE, &close, [9, 8, 7, 6], &mut wire);
    expected.push(Frame::new(CLOSE, close));
    (wire, expected)
}

fn told(frames: &[Frame]) -> Vec<u8> {
    let opcode = |first| match first {
        TEXT => Opcode::Text,
        BINARY => Opcode::Binary,
        PONG => Opcode::Pong,
        _ => Opcode::Close,
    };
    frames
        .iter()
        .flat_map(|frame| server_frame(opcode(frame.first), &frame.payload))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_gives_back_what_it_got(
        messages in messages(100_000),
        segments in segments(),
        threshold in prop_oneof![0..100_usize, 0..100_000_usize],
    ) {
        let (wire, expected) = conversation(&messages);
        prop_assert!(echo(&wire, &segments, threshold) == told(&expected));
    }
}

#[test]
fn a_real_socket_gives_back_what_it_got() {
    let server = Running::new(Config::default());
    let config = ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(messages in messages(1_000_000), segments in segments())| {
        let (wire, expected) = conversation(&messages);
        let mut raw = Raw::open(&server);
        let mut sender = raw.stream().try_clone().unwrap();
        let sending = thread::spawn(move || {
            let mut rest = &wire[..];
            // Beyond a few hundred, short segments tell nothing new.
            for (number, &segment) in segments.iter().cycle().enumerate() {
                if rest.is_empty() {
                    break;
                }
                let len = if number < 300 { segment.min(rest.len()) } else { rest.len() };
                sender.write_all(&rest[..len]).unwrap();
                rest = &rest[len..];
            }
        });
        for frame in expected {
            prop_assert_eq!(raw.read_frame(), frame);
        }
        raw.expect_end();
        sending.join().unwrap();
    });
}
