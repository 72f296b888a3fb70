//! Tests of `deflate.rs`, through the receiver as a connection uses it.

mod inflating;

use super::compressing::*;
use super::inflating::*;
use super::scratch::{START, STEP};
use crate::protocol::account::{Account, Exhausted, Memory};
use crate::protocol::extensions::{self, Agreed, Negotiation};
use crate::protocol::limit::Limit;
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use crate::protocol::receiving::{Event, Receiver};
use crate::protocol::terms::Terms;
use crate::protocol::window::Window;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

/// What the default settings agree to for this offer.
fn agreed(parameters: &str) -> Agreed {
    let mut negotiation = Negotiation::default();
    let offer = format!("permessage-deflate{parameters}");
    negotiation.add(offer.as_bytes(), Some(&extensions::Deflate::default()));
    negotiation.verdict().unwrap().unwrap()
}

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [7, 0, 0xa5, 0x3c];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

const TEXT: u8 = 0xc1;
const BINARY: u8 = 0xc2;

/// A connection's receiving side.
struct Client {
    receiver: Receiver,
    memory: Arc<Memory>,
    account: Account,
    messages: Vec<Vec<u8>>,
    pings: usize,
    /// How often the budget was used up.
    waits: usize,
}

impl Client {
    fn new(agreed: Agreed, limit: usize) -> Self {
        Self::with_memory(agreed, limit, 1 << 30)
    }

    fn with_memory(agreed: Agreed, limit: usize, memory_limit: usize) -> Self {
        let memory = Memory::new(Limit::new(&"memory_limit", memory_limit));
        let terms = Terms {
            deflate: Some(agreed),
            ..Terms::new(Limit::new(&"max_message_size", limit))
        };
        Self {
            receiver: Receiver::new(terms),
            account: Account::new(memory.clone()),
            memory,
            messages: Vec::new(),
            pings: 0,
            waits: 0,
        }
    }

    /// Hands in one read, with so much of a budget for each turn; the close code if it fails.
    fn read(&mut self, bytes: &[u8], budget: usize) -> Result<(), u16> {
        let mut bytes = bytes.to_vec();
        let mut at = 0;
        loop {
            let mut left = budget;
            let mut window = Window::new(&mut bytes[at..]);
            loop {
                match self
                    .receiver
                    .next(&mut window, &mut left, &mut self.account)
                {
                    Err(violation) => return Err(violation.code),
                    Ok(None) => break,
                    Ok(Some(Event::Inflated { message, kind })) => {
                        let text = message.pieces().collect::<Vec<_>>().concat();
                        assert_eq!(text.len(), message.len());
                        assert!(kind == Kind::Binary || std::str::from_utf8(&text).is_ok());
                        self.messages.push(text);
                        message.release(&mut self.account);
                    }
                    Ok(Some(Event::Ping(_))) => self.pings += 1,
                    Ok(Some(event)) => panic!("{event:?}"),
                }
            }
            at += window.read;
            if !self.receiver.is_behind() {
                assert_eq!(at, bytes.len());
                return Ok(());
            }
            assert_eq!(left, 0);
            self.waits += 1;
        }
    }

    fn read_whole(&mut self, bytes: &[u8]) -> Result<(), u16> {
        self.read(bytes, usize::MAX)
    }
}

/// The other side's compressor.
struct Sender {
    deflate: Deflate,
    takeover: bool,
}

impl Sender {
    fn new(level: i32, bits: u8, takeover: bool) -> Self {
        Self {
            deflate: Deflate::new(level, false, bits),
            takeover,
        }
    }

    fn compress(&mut self, message: &[u8], flush: DeflateFlush) -> Vec<u8> {
        if !self.takeover {
            self.deflate.reset();
        }
        let mut out = vec![0; message.len() + 1000];
        let before = self.deflate.total_out();
        self.deflate.compress(message, &mut out, flush).unwrap();
        out.truncate(usize::try_from(self.deflate.total_out() - before).unwrap());
        out
    }

    /// As RFC 7692 section 7.2.1 has it.
    fn message(&mut self, message: &[u8]) -> Vec<u8> {
        let mut out = self.compress(message, DeflateFlush::SyncFlush);
        if out.is_empty() {
            // Nothing, after a flush: zlib does not flush again (section 7.2.3.6 has what stands for it).
            return vec![0];
        }
        assert_eq!(out.split_off(out.len() - 4), TAIL);
        out
    }
}

#[test]
fn a_compressor_is_kept_with_takeover_alone() {
    for (parameters, kept) in [
        ("", COMPRESSOR + (4 << 15)),
        ("; server_max_window_bits=9", COMPRESSOR + (4 << 9)),
        ("; server_no_context_takeover", 0),
    ] {
        let memory = Memory::new(Limit::new(&"memory_limit", 1 << 20));
        let mut account = Account::new(memory.clone());
        let mut compression = Compression::new(agreed(parameters), 6);
        assert_eq!(memory.used(), 0);
        for message in [&b"a message"[..], b"", b"another"] {
            let mut out = Partial::NEW;
            compression
                .push(message, true, &mut out, &mut account)
                .unwrap();
            out.release(&mut account);
            assert_eq!(memory.used(), kept, "{parameters}");
        }
        let mut poor = Account::new(Memory::new(Limit::new(&"memory_limit", 1000)));
        let mut compression = Compression::new(agreed(parameters), 6);
        let mut out = Partial::NEW;
        let pushed = compression.push(b"a", true, &mut out, &mut poor);
        assert_eq!(pushed, Err(Exhausted));
    }
}

/// What compresses well, what does not, and what refers far back.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        (vec(any::<u8>(), 1..40), 0..4000_usize).prop_map(|(unit, times)| unit.repeat(times)),
        (any::<u64>(), 0..70_000_usize).prop_map(|(seed, len)| {
            let mut state = seed | 1;
            (0..len)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    b"etaoin shrdlu"[usize::try_from(state >> 60).unwrap() % 13]
                })
                .collect()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a client's compressor does, in whatever frames, reads and turns.
    #[test]
    fn what_was_compressed_is_inflated(
        messages in vec((message(), any::<bool>()), 1..6),
        level in 0..=9, bits in 9_u8..=15, takeover in any::<bool>(),
        cuts in vec(1..5000_usize, 1..5), reads in vec(1..9000_usize, 1..5),
        budget in prop_oneof![Just(usize::MAX), 1..100_000_usize],
    ) {
        let offer = format!(
            "; client_max_window_bits={bits}{}",
            if takeover { "" } else { "; client_no_context_takeover" }
        );
        let mut sender = Sender::new(level, bits, takeover);
        let mut client = Client::new(agreed(&offer), 1 << 20);
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        let mut pings = 0;
        for (message, is_final) in &messages {
            let mut rest = if *is_final {
                // Without a tail. Its stream ends, so the next message has to stand alone.
                let whole = Sender::new(level, bits, false).compress(message, DeflateFlush::Finish);
                if takeover {
                    sender = Sender::new(level, bits, true);
                    sender.deflate.set_dictionary(message).unwrap();
                }
                whole
            } else {
                sender.message(message)
            };
            let mut first = 0x42;
            for cut in &cuts {
                if *cut < rest.len() {
                    let tail = rest.split_off(*cut);
                    wire.extend(frame(first, &rest));
                    wire.extend(frame(0x89, b"!"));
                    pings += 1;
                    rest = tail;
                    first = 0;
                }
            }
            wire.extend(frame(0x80 | first, &rest));
            expected.push(message.clone());
        }
        let mut rest = &wire[..];
        for read in reads.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(rest.len().min(*read));
            prop_assert_eq!(client.read(piece, budget), Ok(()));
            rest = after;
        }
        prop_assert_eq!(client.messages, expected);
        prop_assert_eq!(client.pings, pings);
    }

    /// What is sent, in whatever steps, is what a client inflates; with takeover the messages are one stream.
    #[test]
    fn what_is_compressed_can_be_inflated(
        messages in vec(message(), 1..6), steps in vec(1..40_000_usize, 1..4),
        level in 0..=9_u8, bits in 9_u8..=15, takeover in any::<bool>(),
    ) {
        let offer = format!(
            "; server_max_window_bits={bits}{}",
            if takeover { "" } else { "; server_no_context_takeover" }
        );
        let memory = Memory::new(Limit::new(&"memory_limit", 64 << 20));
        let mut account = Account::new(memory);
        let mut compression = Compression::new(agreed(&offer), level);
        let mut inflate = Inflate::new(false, bits);
        for message in &messages {
            let mut compressed = Partial::NEW;
            let mut rest = &message[..];
            for step in steps.iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(*step));
                rest = after;
                let is_last = rest.is_empty();
                compression.push(piece, is_last, &mut compressed, &mut account).unwrap();
                if is_last {
                    break;
                }
            }
            let mut wire = compressed.pieces().collect::<Vec<_>>().concat();
            wire.extend(TAIL);
            if !takeover {
                inflate = Inflate::new(false, bits);
            }
            let mut out = vec![0; message.len() + 10];
            let before = inflate.total_out();
            inflate.decompress(&wire, &mut out, InflateFlush::SyncFlush).unwrap();
            out.truncate(usize::try_from(inflate.total_out() - before).unwrap());
            prop_assert_eq!(&out, message);
            compressed.release(&mut account);
        }
    }

    /// Any payload has one verdict, whatever the turns; and nothing stays charged after a failure.
    #[test]
    fn any_payload_has_one_verdict(payload in vec(any::<u8>(), 0..200), start in 0..3_usize) {
        let starts: [&[u8]; 3] = [&[], &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07], &[0x03, 0x00]];
        let wire = frame(BINARY, &[starts[start], &payload].concat());
        let mut whole = Client::new(agreed(""), 10_000);
        let mut split = Client::new(agreed(""), 10_000);
        let verdict = whole.read_whole(&wire);
        let mut other = Ok(());
        for byte in wire.chunks(1) {
            other = split.read(byte, 1);
            if other.is_err() {
                break;
            }
        }
        prop_assert_eq!(verdict, other);
        prop_assert_eq!(whole.messages, split.messages);
        if verdict.is_err() {
            prop_assert_eq!(whole.memory.used() + split.memory.used(), 0);
        }
    }
}
