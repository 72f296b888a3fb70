//! Long payloads, and the memory for them.

use super::*;

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
        let charged = reader.memory.used();
        let parts = reader.receiver.partial();
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
