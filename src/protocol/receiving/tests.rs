//! Tests of `receiving.rs`.

use super::*;
use crate::protocol::account::Memory;
use crate::protocol::limit::Limit;
use std::sync::Arc;

/// `echo_short` and `next` with an echo give the same bytes, at every split of a mix of frames.
#[test]
fn short_echoes_are_the_echoes() {
    let mut input = Vec::new();
    for (first, text) in [
        (TEXT, "a"),
        (BINARY, ""),
        (TEXT, "κόσμε"),
        (PING, "p"),
        (BINARY, "bin"),
    ] {
        input.extend(frame(first, text.as_bytes()));
    }
    input.extend(frame(BINARY, &[b'x'; 200]));
    input.extend(frame(TEXT, b"end"));
    input.extend(frame(TEXT, "\u{feff}".as_bytes()));
    for cut in 0..=input.len() {
        let [long, short] = [false, true].map(|is_short| {
            let mut account = Account::new(Memory::new(Limit::new("memory_limit", 1 << 20)));
            let mut receiver = Receiver::new(Limit::new("max_message_size", 1 << 20));
            let mut out = Vec::new();
            for piece in [&input[..cut], &input[cut..]] {
                let mut bytes = piece.to_vec();
                let mut window = Window::new(&mut bytes);
                loop {
                    if is_short {
                        receiver.echo_short(&mut window, |_| {}).unwrap();
                        out.extend_from_slice(&window.bytes[..window.write]);
                        window.write = 0;
                    }
                    match receiver.next(&mut window, &mut 0, &mut account).unwrap() {
                        Some(Event::Message {
                            kind,
                            parts,
                            payload,
                        }) => {
                            let mut message = parts.pieces().collect::<Vec<_>>().concat();
                            message.extend_from_slice(&window.bytes[payload]);
                            out.extend(frame::server_frame(kind.opcode(), &message));
                        }
                        Some(Event::Ping(ping)) => out.extend_from_slice(ping.payload()),
                        Some(_) => panic!("there is nothing else"),
                        None => break,
                    }
                }
            }
            out
        });
        assert_eq!(long, short, "cut at {cut}");
    }
}

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
        let memory = Memory::new(Limit::new("memory_limit", memory_limit));
        Self {
            receiver: Receiver::new(Limit::new("max_message_size", limit)),
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

/// Checks that `bytes` fail with `code` at exactly their last byte, and in one piece with what came before and
/// would have come after.
fn fails_at_the_end(bytes: &[u8], code: u16, reason: &str) {
    let mut reader = Reader::new(1000, 1 << 20);
    let (last, before) = bytes.split_last().unwrap();
    for byte in before {
        assert!(reader.push(&[*byte]), "{bytes:x?}: {:?}", reader.seen);
    }
    assert!(!reader.push(&[*last]), "{bytes:x?}");
    let failed = |seen: Option<&Seen>| {
        matches!(seen, Some(Seen::Failed(found, why))
        if *found == code && why.contains(reason) && why.len() <= close::MAX_REASON)
    };
    assert!(failed(reader.seen.last()), "{bytes:x?}: {:?}", reader.seen);
    reader.end();

    let mut reader = Reader::new(1000, 1 << 20);
    assert!(!reader.push(&[&frame(TEXT, b"before"), bytes, b"after"].concat()));
    assert_eq!(reader.seen[0], text("before"));
    assert!(failed(reader.seen.last()), "{bytes:x?}: {:?}", reader.seen);
    reader.end();
}

#[test]
fn whole_messages_lie_where_they_can_be_sent() {
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let payload: Vec<u8> = (0..len).map(|i: u32| i.to_le_bytes()[0]).collect();
        let mut bytes = frame(BINARY, &payload).repeat(3);
        let mut window = Window::new(&mut bytes);
        let memory = Memory::new(Limit::new("memory_limit", 1));
        let mut account = Account::new(memory.clone());
        let mut receiver = Receiver::new(Limit::new("max_message_size", payload.len()));
        for _ in 0..3 {
            let event = receiver
                .next(&mut window, &mut 0, &mut account)
                .unwrap()
                .unwrap();
            let Event::Message {
                kind: Kind::Binary,
                parts,
                payload: found,
            } = event
            else {
                panic!("{event:?}");
            };
            assert!(parts.is_empty());
            assert_eq!(
                found.start,
                window.write + frame::server_header_len(payload.len())
            );
            window.write = found.end;
            assert!(window.write <= window.read);
            assert_eq!(window.bytes[found], payload[..]);
        }
        assert!(
            receiver
                .next(&mut window, &mut 0, &mut account)
                .unwrap()
                .is_none()
        );
        assert!(receiver.is_idle());
        assert_eq!(memory.used(), 0);
    }
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
fn broken_framing_is_1002_at_the_byte_that_breaks_it() {
    let cases: &[(&[u8], &str)] = &[
        (&[0x82, 0x00], "masked"),
        (&[0x81, 0x7f], "masked"),
        (&[0xc1], "RSV"),
        (&[0xa2], "RSV"),
        (&[0x99], "RSV"),
        (&[0x70], "RSV"),
        (&[0x83], "reserved opcode"),
        (&[0x07], "reserved opcode"),
        (&[0x8b], "reserved opcode"),
        (&[0x8f], "reserved opcode"),
        (&[0x08], "fragmented control"),
        (&[0x09], "fragmented control"),
        (&[0x0a], "fragmented control"),
        (&[0x89, 0xfe], "over 125"),
        (&[0x88, 0xff], "over 125"),
        (&[0x82, 0xfe, 0, 125], "shortest"),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "shortest"),
        (&[0x82, 0xff, 0x80], "top bit"),
    ];
    for (bytes, reason) in cases {
        fails_at_the_end(bytes, close::PROTOCOL_ERROR, reason);
    }
}

#[test]
fn fragments_out_of_order_are_1002() {
    fails_at_the_end(&begun(CONTINUE, 5, b""), 1002, "without a message");
    fails_at_the_end(&begun(0, 0, b""), 1002, "without a message");
    for first in [TEXT, BINARY, TEXT & MORE, BINARY & MORE] {
        let bytes = [frame(TEXT & MORE, b"a"), begun(first, 3, b"")].concat();
        fails_at_the_end(&bytes, 1002, "inside a fragmented message");
    }
    let bytes = [
        frame(TEXT & MORE, b"a"),
        frame(CONTINUE, b"b"),
        begun(CONTINUE, 3, b""),
    ];
    fails_at_the_end(&bytes.concat(), 1002, "without a message");
}

#[test]
fn text_that_is_no_utf8_is_1007_at_the_first_bad_byte() {
    let bad: [&[u8]; 8] = [
        b"\xff",
        b"ok \x80",
        b"\xc0",
        b"\xc3\x28",
        b"\xed\xa0",
        b"\xf4\x90",
        b"\xf5",
        b"\xe2\x82\x28",
    ];
    for payload in bad {
        fails_at_the_end(&begun(TEXT, 900, payload), 1007, "text is not UTF-8");
        fails_at_the_end(&begun(TEXT & MORE, 900, payload), 1007, "text is not UTF-8");
        for cut in 0..payload.len() {
            let (head, tail) = payload.split_at(cut);
            let bytes = [frame(TEXT & MORE, head), begun(CONTINUE, 300, tail)];
            fails_at_the_end(&bytes.concat(), 1007, "text is not UTF-8");
        }
    }
    // Cut off inside a character: known at the end of the message.
    fails_at_the_end(&frame(TEXT, b"\xe2\x82"), 1007, "text is not UTF-8");
    let bytes = [frame(TEXT & MORE, b"\xe2\x82"), frame(CONTINUE, b"")];
    fails_at_the_end(&bytes.concat(), 1007, "text is not UTF-8");
    // Bytes may be anything.
    assert_eq!(
        receive(&[&frame(BINARY, b"\xff\x80")]),
        [binary(b"\xff\x80")]
    );
}

#[test]
fn close_frames_are_checked_at_the_first_bad_byte() {
    fails_at_the_end(&frame(CLOSE, b"\x03"), 1002, "one byte");
    for code in (0..=u16::MAX).filter(|code| *code < 1020 || code % 997 == 0) {
        let payload = close::payload(code, "why");
        if close::is_valid(code) {
            let expected = [Seen::Control(CLOSE, payload.clone())];
            assert_eq!(receive(&[&frame(CLOSE, &payload)]), expected);
        } else {
            let bytes = begun(CLOSE, 5, &payload[..2]);
            fails_at_the_end(&bytes, 1002, "may not be sent");
        }
    }
    let reason = b"\x03\xe8ok \xc3\x28";
    fails_at_the_end(&begun(CLOSE, 60, reason), 1007, "close reason");
    fails_at_the_end(&frame(CLOSE, b"\x03\xe8\xc3"), 1007, "close reason");
}

#[test]
fn a_long_message_is_1009_before_its_payload() {
    for first in [TEXT, BINARY, BINARY & MORE] {
        fails_at_the_end(
            &begun(first, 1001, b""),
            1009,
            "max_message_size of 1000 bytes",
        );
        fails_at_the_end(&begun(first, 1 << 40, b""), 1009, "max_message_size");
        fails_at_the_end(
            &begun(first, usize::MAX >> 1, b""),
            1009,
            "max_message_size",
        );
    }
    let bytes = [
        frame(BINARY & MORE, &[1; 600]),
        frame(PING, &[0; 125]),
        frame(0, &[2; 400]),
        frame(0, b""),
        begun(CONTINUE, 1, b""),
    ];
    fails_at_the_end(&bytes.concat(), 1009, "max_message_size of 1000 bytes");
}

#[test]
fn a_message_of_the_limit_is_taken() {
    let payload = [5; 1000];
    let whole = frame(BINARY, &payload);
    let (head, tail) = payload.split_at(999);
    let parts = [
        frame(BINARY & MORE, head),
        frame(PING, &[0; 125]),
        frame(CONTINUE, tail),
    ];
    for bytes in [whole, parts.concat()] {
        let mut reader = Reader::new(1000, 1 << 20);
        assert!(bytes.chunks(100).all(|piece| reader.push(piece)));
        assert_eq!(reader.end().last(), Some(&binary(&payload)));
    }
}

#[test]
fn long_payloads_are_read_in_place() {
    let payload = "à la carte, ".repeat(1000).into_bytes();
    let (head, tail) = payload.split_at(6001);
    let wire = [
        frame(TEXT & MORE, head),
        frame(PING, b"!"),
        frame(CONTINUE, tail),
        frame(BINARY, &payload),
    ]
    .concat();
    let expected = [
        Seen::Control(PING, b"!".to_vec()),
        Seen::Message(Kind::Text, payload.clone()),
        Seen::Message(Kind::Binary, payload.clone()),
    ];
    let reads = [(1, 0), (3, 1), (100, 64), (1500, 1000), (5000, 0)];
    let lends = [None, Some(1), Some(80), Some(1400)];
    for ((size, threshold), lend) in reads.into_iter().flat_map(|read| lends.map(|l| (read, l))) {
        let mut reader = Reader::new(1 << 20, 1 << 20);
        reader.lend = lend;
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let piece = &rest[..size.min(rest.len())];
            let taken = reader.read(piece, threshold).unwrap();
            rest = &rest[taken..];
            // Twice what was received, the smallest step, and room for a header.
            assert!(reader.memory.used() <= 2 * payload.len() + 522);
        }
        assert!(reader.receiver.is_idle());
        assert_eq!(reader.end(), expected, "reads of {size}, {lend:?}");
    }
}

#[test]
fn a_buffer_is_kept_for_the_payload_it_ends_with() {
    // `cut` bytes of the header came in a read before, `behind` bytes of other frames lie in front of it.
    for (cut, behind, least, is_kept) in [
        (0, 0, 1000, true),
        (0, 0, 1001, false),
        (0, 200, 1000, true),
        (3, 0, 1000, true),
        (5, 0, 1000, false),
    ] {
        let mut reader = Reader::new(1 << 20, 4096);
        let long = begun(BINARY, 1 << 17, &[7; 1000]);
        reader.push(&long[..cut]);
        let before = frame(PONG, &[1; 100])[..].repeat(behind / 100);
        reader.lend = Some(least);
        assert!(reader.push(&[&before, &long[cut..]].concat()));
        let (parts, charged) = (&reader.receiver.partial, reader.memory.used());
        assert_eq!(parts.pieces().collect::<Vec<_>>(), [[7; 1000]]);
        assert_eq!(
            charged == before.len() + long.len() - cut,
            is_kept,
            "{charged}"
        );
        // What is no whole frame does not get the buffer a second time.
        assert_eq!(reader.receiver.wants_buffer(), None);
    }
    let mut reader = Reader::new(1 << 20, 1000);
    reader.lend = Some(1);
    assert!(!reader.push(&begun(BINARY, 1 << 17, &[7; 1000])));
    assert!(matches!(reader.seen[..], [Seen::Failed(1013, _)]));
}

#[test]
fn payloads_read_in_place_fail_at_the_first_bad_byte() {
    let mut reader = Reader::new(1 << 20, 1 << 20);
    assert!(reader.push(&begun(TEXT, 70_000, b"")));
    let masked: Vec<u8> = [b"ok".repeat(300), vec![0xff]]
        .concat()
        .iter()
        .zip(KEY.iter().cycle())
        .map(|(b, k)| b ^ k)
        .collect();
    let (last, before) = masked.split_last().unwrap();
    let mut rest = before;
    while !rest.is_empty() {
        rest = &rest[reader.read(rest, 100).unwrap()..];
    }
    assert_eq!(reader.read(&[*last], 100), None);
    assert!(matches!(reader.end()[..], [Seen::Failed(1007, _)]));
}

#[test]
fn control_frames_are_not_read_in_place() {
    let mut reader = Reader::new(1000, 1000);
    assert!(reader.push(&begun(PING, 100, b"some")));
    assert!(
        reader
            .receiver
            .spare(0, &mut reader.account)
            .unwrap()
            .is_none()
    );
    assert_eq!(reader.memory.used(), 0);
}

#[test]
fn what_a_header_declares_is_not_charged() {
    let mut reader = Reader::new(64 << 20, 1 << 20);
    assert!(reader.push(&begun(BINARY, 60 << 20, b"a")));
    assert!(reader.memory.used() < 1000, "{}", reader.memory.used());
    reader.end();
}

#[test]
fn memory_that_is_not_to_be_had_is_1013() {
    let mut parts = Reader::new(1 << 20, 3000);
    assert!(parts.push(&begun(BINARY, 10_000, &[1; 1000])));
    assert!(!parts.push(&[1; 5000]));
    let mut spare = Reader::new(1 << 20, 3000);
    assert!(spare.push(&begun(BINARY, 10_000, &[1; 1000])));
    while spare.read(&[1; 1000], 100).is_some() {}
    for reader in [parts, spare] {
        let seen = reader.end();
        let [Seen::Failed(1013, reason)] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert!(reason.contains("memory_limit of 3000 bytes"), "{reason}");
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
