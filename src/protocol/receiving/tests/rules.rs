//! What may not come, and the byte at which it is refused.

use super::*;

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
    for between in [frame(PING, &[0; 125]), Vec::new()] {
        let bytes = [
            frame(BINARY & MORE, &[1; 600]),
            between,
            frame(0, &[2; 400]),
            frame(0, b""),
            begun(CONTINUE, 1, b""),
        ];
        fails_at_the_end(&bytes.concat(), 1009, "max_message_size of 1000 bytes");
    }
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
