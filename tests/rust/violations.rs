//! Frames that break a rule: everything before them is echoed, the close frame names the rule, and the server ends TCP
//! in order, however much the client still sends.

use crate::support::{
    BINARY, BINARY_BEGINS, CLOSE, ENDS, Frame, GOES_ON, KEY, PING, PONG, Raw, Running, TEXT,
    TEXT_BEGINS, close_payload, frame, header,
};
use echoserver::config::Config;

/// Sends two good messages and a ping and then `bad`, in one segment and byte by byte, and expects `code` with a reason
/// that contains `reason`.
fn expect(server: &Running, bad: &[u8], code: u16, reason: &str) {
    let good = [
        frame(TEXT, "before"),
        frame(BINARY, [0xff; 200]),
        frame(PING, "?"),
    ]
    .concat();
    for is_whole in [true, false] {
        let mut raw = Raw::open(server);
        if is_whole {
            raw.send([&good[..], bad].concat());
        } else {
            raw.send(&good);
            for byte in bad {
                raw.send([*byte]);
            }
        }
        let shown = bad[..bad.len().min(40)].escape_ascii();
        assert_eq!(raw.read_frame(), Frame::new(TEXT, "before"), "{shown}");
        assert_eq!(raw.read_frame(), Frame::new(BINARY, [0xff; 200]), "{shown}");
        assert_eq!(raw.read_frame(), Frame::new(PONG, "?"), "{shown}");
        let last = raw.read_frame();
        let (found, why) = last.code();
        assert_eq!(found, code, "{shown}: {why}");
        assert!(why.contains(reason), "{shown}: {why}");
        raw.expect_end();
    }
}

fn server() -> Running {
    Running::new(Config {
        max_message_size: 1000,
        ..Config::default()
    })
}

#[test]
fn broken_framing_is_1002() {
    let server = server();
    let cases: [(&[u8], &str); 13] = [
        (&[0x82, 0x01, b'x'], "masked"),
        (&[0x81, 0x00], "masked"),
        (&[0xc1, 0x80, 1, 2, 3, 4], "RSV"),
        (&[0xa1, 0x80, 1, 2, 3, 4], "RSV"),
        (&[0x91, 0x80, 1, 2, 3, 4], "RSV"),
        (&[0x83, 0x80, 1, 2, 3, 4], "reserved opcode"),
        (&[0x8f, 0x80, 1, 2, 3, 4], "reserved opcode"),
        (&[0x09, 0x80, 1, 2, 3, 4], "fragmented control"),
        (&[0x89, 0xfe, 0, 126, 1, 2, 3, 4], "over 125"),
        (&[0x88, 0xff, 0, 0], "over 125"),
        (&[0x82, 0xfe, 0, 125, 1, 2, 3, 4], "shortest"),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "shortest"),
        (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], "top bit"),
    ];
    for (bad, reason) in cases {
        expect(&server, bad, 1002, reason);
    }
    assert_eq!(server.stats().violations, 2 * cases.len() as u64);
}

#[test]
fn fragments_out_of_order_are_1002() {
    let server = server();
    for first in [GOES_ON, ENDS] {
        expect(&server, &frame(first, "x"), 1002, "without a message");
    }
    for first in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS] {
        let bad = [
            frame(TEXT_BEGINS, "a"),
            frame(GOES_ON, "b"),
            frame(first, "c"),
        ];
        expect(&server, &bad.concat(), 1002, "inside a fragmented message");
    }
}

#[test]
fn text_that_is_no_utf8_is_1007() {
    let server = server();
    let bad: [&[u8]; 6] = [
        b"\xff",
        b"ok \xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"cut \xf0\x9f\xa6",
        "\u{feff}κόσμε\u{0}"
            .as_bytes()
            .split_last_chunk::<2>()
            .unwrap()
            .0,
    ];
    for text in &bad[..5] {
        expect(&server, &frame(TEXT, text), 1007, "text is not UTF-8");
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            let parts = [frame(TEXT_BEGINS, head), frame(PONG, ""), frame(ENDS, tail)];
            expect(&server, &parts.concat(), 1007, "text is not UTF-8");
        }
    }
    // Cut inside its last character: wrong only because the message ends there.
    let text = bad[5];
    let parts = [frame(TEXT_BEGINS, text), frame(ENDS, "")];
    expect(&server, &parts.concat(), 1007, "text is not UTF-8");
}

#[test]
fn bad_text_is_told_before_its_frame_is_whole() {
    let server = server();
    // Of the 900 bytes that are declared only five come.
    let bad = [
        header(TEXT, 900, KEY),
        frame(TEXT, b"good\xff")[6..].to_vec(),
    ];
    expect(&server, &bad.concat(), 1007, "text is not UTF-8");
    let bad = [
        header(CLOSE, 100, KEY),
        frame(CLOSE, b"\x03\xe8\xff")[6..].to_vec(),
    ];
    expect(&server, &bad.concat(), 1007, "close reason is not UTF-8");
}

#[test]
fn a_bad_close_frame_is_1002_and_a_bad_reason_1007() {
    let server = server();
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        let bad = frame(CLOSE, close_payload(code, "why"));
        expect(&server, &bad, 1002, &format!("close code {code}"));
    }
    expect(&server, &frame(CLOSE, [3]), 1002, "one byte");
    for reason in [&b"\xff"[..], b"cut \xe2\x82", b"\xed\xbf\xbf"] {
        let bad = [&[3, 0xe8], reason].concat();
        expect(&server, &frame(CLOSE, bad), 1007, "close reason");
    }
}

#[test]
fn a_message_beyond_the_limit_is_1009_before_its_payload() {
    let server = server();
    let reason = "max_message_size of 1000 bytes";
    for first in [TEXT, BINARY, TEXT_BEGINS] {
        for len in [1001, 65_535, 65_536, u64::MAX >> 1] {
            expect(&server, &header(first, len, KEY), 1009, reason);
        }
    }
    let parts = [
        frame(BINARY_BEGINS, [1; 600]),
        frame(GOES_ON, [2; 400]),
        header(ENDS, 1, KEY),
    ];
    expect(&server, &parts.concat(), 1009, reason);
    let mut raw = Raw::open(&server);
    raw.echo(BINARY, &[7; 1000]);
}

/// Closing a socket with unread input would send a reset, and the client would lose what it has not read yet.
#[test]
fn the_close_frame_arrives_whatever_the_client_still_sends() {
    let server = server();
    for len in [100, 10_000, 300_000, 700_000] {
        let mut raw = Raw::open(&server);
        let mut bytes = frame(TEXT, "before");
        bytes.extend([0xff]);
        bytes.resize(bytes.len() + len, 0xff);
        raw.send(&bytes);
        assert_eq!(raw.read_frame(), Frame::new(TEXT, "before"));
        assert_eq!(raw.read_frame().code().0, 1002);
        raw.send(vec![0; 1000]);
        raw.expect_end();
    }
}

#[test]
fn an_error_touches_nobody_else() {
    let server = server();
    let mut others: Vec<Raw> = (0..5).map(|_| Raw::open(&server)).collect();
    for bad in [&[0xff, 0xff][..], &frame(TEXT, b"\xff")] {
        let mut raw = Raw::open(&server);
        raw.send(bad);
        raw.read_frame().code();
        for other in &mut others {
            other.echo(TEXT, "still here".as_bytes());
        }
    }
}
