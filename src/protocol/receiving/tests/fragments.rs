//! Fragments that come in one read.

use super::*;

/// Payloads of every length of header, with a character that is cut.
fn pieces(count: usize) -> Vec<Vec<u8>> {
    let text = "é, 🦀 and the like: ".repeat(1000).into_bytes();
    let lens = [0, 1, 125, 126, 3, 300, 64, 1, 2, 0];
    let mut rest = &text[..];
    lens.iter()
        .cycle()
        .take(count - 1)
        .map(|len| rest.split_off(..*len).unwrap().to_vec())
        .collect::<Vec<_>>()
        .into_iter()
        .chain(["end".as_bytes().to_vec()])
        .collect()
}

/// That many bytes, of which none is like its neighbours.
fn bytes_of(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

/// A message of these fragments, and a short one behind it.
fn wire(first: u8, pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let opcode = if index == 0 { first } else { CONTINUE };
        let is_last = index + 1 == pieces.len();
        let more = if is_last { 0xff } else { MORE };
        wire.extend(frame(opcode & more, piece));
    }
    wire.extend(frame(TEXT, b"behind"));
    wire
}

#[test]
fn they_are_put_together_where_they_lie() {
    for count in 2..40 {
        let pieces = pieces(count);
        let message = pieces.concat();
        let mut bytes = wire(BINARY, &pieces);
        let mut window = Window::new(&mut bytes);
        // Nothing is kept, or there would be no memory for it.
        let memory = Memory::new(Limit::new(&"memory_limit", 0));
        let mut account = Account::new(memory);
        let mut receiver =
            Receiver::new(Terms::new(Limit::new(&"max_message_size", message.len())));
        let event = receiver.next(&mut window, &mut 0, &mut account).unwrap();
        let Some(Event::Message {
            kind: Kind::Binary,
            parts,
            payload,
        }) = event
        else {
            panic!("{event:?}");
        };
        assert!(parts.is_empty());
        assert!(payload.start >= frame::server_header_len(message.len()));
        if message.len() > 125 {
            assert_eq!(payload.start, frame::server_header_len(message.len()));
        }
        assert_eq!(window.bytes[payload], message);
        assert!(receiver.is_idle());
    }
}

#[test]
fn each_message_of_a_read_lies_behind_room_for_its_own_header() {
    let fragments: [&[usize]; 9] = [
        &[1, 65_534],
        &[1, 65_535],
        &[125, 65_411],
        &[4096, 70_000],
        &[60_000, 5535],
        &[60_000, 5536, 1],
        &[700, 64_000, 0, 835, 1],
        &[65_535, 0],
        &[65_536, 3],
    ];
    let pieces: Vec<Vec<Vec<u8>>> = fragments
        .iter()
        .map(|lens| lens.iter().map(|len| bytes_of(*len)).collect())
        .collect();
    let mut bytes = Vec::new();
    for pieces in &pieces {
        bytes.extend(wire(BINARY, pieces));
    }
    let mut window = Window::new(&mut bytes);
    let memory = Memory::new(Limit::new(&"memory_limit", 0));
    let mut account = Account::new(memory);
    let mut receiver = Receiver::new(Terms::new(Limit::new(&"max_message_size", 1 << 20)));
    for pieces in &pieces {
        for expected in [pieces.concat(), b"behind".to_vec()] {
            let event = receiver.next(&mut window, &mut 0, &mut account).unwrap();
            let Some(Event::Message { parts, payload, .. }) = event else {
                panic!("{event:?}");
            };
            assert!(parts.is_empty());
            assert!(window.bytes[payload.clone()] == expected);
            let header = frame::server_header_len(expected.len());
            assert_eq!(
                payload.start,
                window.write + header,
                "{} bytes",
                expected.len()
            );
            window.write = payload.end;
        }
    }
    assert_eq!(window.read, window.bytes.len());
}

#[test]
fn a_header_that_came_before_leaves_what_room_there_is() {
    // Where only the end of the first header is in the read, there may be a byte too little for the echo's. And where the
    // second fragment is not whole, its header is still needed.
    let fragments = [60_000, 5536].map(bytes_of);
    let bytes = wire(BINARY, &fragments);
    for cut in (0..=8).chain(60_000..60_030).chain(65_540..=bytes.len()) {
        let (head, tail) = bytes.split_at(cut);
        let expected = [binary(&fragments.concat()), text("behind")];
        assert_eq!(receive(&[head, tail]), expected, "split at {cut}");
    }
}

#[test]
fn they_make_the_same_message_however_they_are_cut() {
    // What is cut inside a character is bytes.
    let binary_pieces = pieces(25);
    let text_pieces: Vec<_> = "é, 🦀".bytes().map(|byte| vec![byte]).collect();
    for (first, pieces) in [(BINARY, binary_pieces), (TEXT, text_pieces)] {
        let wire = wire(first, &pieces);
        let kind = if first == TEXT {
            Kind::Text
        } else {
            Kind::Binary
        };
        let expected = [Seen::Message(kind, pieces.concat()), text("behind")];
        for cut in 0..=wire.len() {
            let (head, tail) = wire.split_at(cut);
            assert_eq!(receive(&[head, tail]), expected, "split at {cut}");
        }
        for size in [1, 2, 5, 7, 64, 130, 500] {
            let reads: Vec<_> = wire.chunks(size).collect();
            assert_eq!(receive(&reads), expected, "in reads of {size}");
        }
    }
}

#[test]
fn the_first_fault_among_them_is_told() {
    let bad_text = [
        frame(TEXT & MORE, b"good"),
        frame(0, b"\xff"),
        frame(TEXT, b"inside"),
    ];
    let inside = [
        frame(TEXT & MORE, b"good"),
        frame(0, b"good"),
        frame(TEXT, b"inside"),
        frame(0, b"\xff"),
    ];
    for (bytes, code) in [(bad_text.concat(), 1007), (inside.concat(), 1002)] {
        let seen = receive(&[&bytes]);
        assert!(
            matches!(seen[..], [Seen::Failed(found, _)] if found == code),
            "{seen:?}"
        );
    }
}

#[test]
fn each_of_them_is_within_the_limit_of_a_frame() {
    let mut reader = Reader::new(1000, 1 << 20);
    let limits = [("message", 1000), ("frame", 100)];
    let [message, frame_limit] = limits.map(|(_, bytes)| Limit::new(&"max_frame_size", bytes));
    reader.receiver.limit(message, frame_limit);
    let good = wire(BINARY, &vec![vec![1; 100]; 10]);
    assert!(reader.push(&good));
    assert_eq!(reader.seen[0], binary(&[1; 1000]));
    let bad = [
        frame(BINARY & MORE, &[1; 100]),
        frame(0, &[1; 100]),
        frame(CONTINUE, &[1; 101]),
    ];
    assert!(!reader.push(&bad.concat()));
    let last = reader.seen.last();
    assert!(matches!(last, Some(Seen::Failed(1009, why)) if why.contains("max_frame_size of 100")));
    reader.end();
}
