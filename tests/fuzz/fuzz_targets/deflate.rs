//! Compressed messages of any bytes, in any frames, reads and turns.
//!
//! What must hold: nothing panics; the same comes out, with the same verdict, however the bytes are split and how often
//! it has to wait; memory is charged within its limits and given back; what is accepted is what another decoder
//! (`miniz_oxide`) makes of it; and what comes out can be compressed so that this decoder understands it.
#![no_main]

use echoserver::protocol::account::{Account, Memory};
use echoserver::protocol::deflate::compressing::Compression;
use echoserver::protocol::extensions::{Agreed, Deflate, Negotiation};
use echoserver::protocol::limit::Limit;
use echoserver::protocol::partial::Partial;
use echoserver::protocol::receiving::{Event, Receiver};
use echoserver::protocol::terms::Terms;
use echoserver::protocol::window::Window;
use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

const LIMIT: usize = 100_000;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// An inflater, a step, and a window.
const BESIDES: usize = (48 << 10) + (64 << 10) + (32 << 10);

fn agree(takeover: bool, bits: u8) -> Agreed {
    let mut offer =
        format!("permessage-deflate; client_max_window_bits={bits}; server_max_window_bits={bits}");
    if !takeover {
        offer.push_str("; client_no_context_takeover; server_no_context_takeover");
    }
    let mut negotiation = Negotiation::default();
    negotiation.add(offer.as_bytes(), Some(&Deflate::default()));
    negotiation.verdict().unwrap().unwrap()
}

/// A client's frame with a mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0xfe];
    if let Ok(short @ 0..=125) = u8::try_from(payload.len()) {
        frame[1] = 0x80 | short;
    } else {
        frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    }
    let key = [1, 0, 0x80, 0xff];
    frame.extend(key);
    frame.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

/// The messages, and the close code at their end.
fn run(agreed: Agreed, wire: &[u8], read: usize, budget: usize) -> (Vec<Vec<u8>>, Option<u16>) {
    let memory = Memory::new(Limit::new(&"memory_limit", 1 << 30));
    let mut account = Account::new(memory.clone());
    let mut receiver = Receiver::new(Terms {
        deflate: Some(agreed),
        ..Terms::new(Limit::new(&"max_message_size", LIMIT))
    });
    let mut messages = Vec::new();
    let mut verdict = None;
    'reads: for piece in wire.chunks(read) {
        let mut bytes = piece.to_vec();
        let mut at = 0;
        loop {
            let mut left = budget;
            let mut window = Window::new(&mut bytes[at..]);
            loop {
                match receiver.next(&mut window, &mut left, &mut account) {
                    Err(violation) => {
                        verdict = Some(violation.code);
                        break 'reads;
                    }
                    Ok(None) => break,
                    Ok(Some(Event::Inflated { message, .. })) => {
                        messages.push(message.pieces().collect::<Vec<_>>().concat());
                        message.release(&mut account);
                    }
                    Ok(Some(event)) => panic!("{event:?}"),
                }
                assert!(memory.used() <= LIMIT + BESIDES);
            }
            at += window.read;
            assert!(memory.used() <= LIMIT + BESIDES);
            if !receiver.is_behind() {
                break;
            }
        }
        assert_eq!(at, bytes.len());
    }
    receiver.release(&mut account);
    assert_eq!(memory.used(), 0);
    (messages, verdict)
}

/// What another decoder makes of a payload without context; further streams may follow a final block.
fn decoded(payload: &[u8]) -> Vec<u8> {
    let input = [payload, &TAIL].concat();
    let mut out = vec![0; LIMIT + 1];
    let (mut at, mut written) = (0, 0);
    let mut decoder = Box::<DecompressorOxide>::default();
    loop {
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
        let (status, taken, made) =
            decompress(&mut decoder, &input[at..], &mut out, written, flags);
        at += taken;
        written += made;
        match status {
            TINFLStatus::Done if at < payload.len() => *decoder = DecompressorOxide::default(),
            TINFLStatus::Done | TINFLStatus::NeedsMoreInput => break,
            other => panic!("{other:?}"),
        }
    }
    out.truncate(written);
    out
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[flags, bits, read, budget, level], payload)) = bytes.split_first_chunk() else {
        return;
    };
    let takeover = flags & 1 != 0;
    let agreed = agree(takeover, 9 + bits % 7);
    let kind = if flags & 2 != 0 { 0xc1 } else { 0xc2 };
    // Two messages, each in two frames.
    let payload = &payload[..payload.len().min(60_000)];
    let (first, second) = payload.split_at(payload.len() / 2);
    let mut wire = Vec::new();
    for message in [first, second] {
        let (start, end) = message.split_at(message.len() / 3);
        wire.extend(frame(kind & 0x7f, start));
        wire.extend(frame(0x80, end));
    }

    let whole = run(agreed, &wire, usize::MAX, usize::MAX);
    let split = run(
        agreed,
        &wire,
        1 + usize::from(read) * 7,
        1 + usize::from(budget) * 400,
    );
    assert!(whole == split);
    let (messages, _) = whole;
    for (message, payload) in messages.iter().zip([first, second]) {
        if !takeover {
            assert!(*message == decoded(payload));
        }
    }

    // And back, in steps.
    let mut account = Account::new(Memory::new(Limit::new(&"memory_limit", 1 << 30)));
    let mut compression = Compression::new(agree(false, 9 + bits % 7), level % 10);
    for message in &messages {
        let mut compressed = Partial::NEW;
        let mut steps = message.chunks(1 + usize::from(read) * 100).peekable();
        loop {
            let step = steps.next().unwrap_or_default();
            let is_last = steps.peek().is_none();
            compression
                .push(step, is_last, &mut compressed, &mut account)
                .unwrap();
            if is_last {
                break;
            }
        }
        let payload = compressed.pieces().collect::<Vec<_>>().concat();
        assert!(decoded(&payload) == *message);
        compressed.release(&mut account);
    }
});
