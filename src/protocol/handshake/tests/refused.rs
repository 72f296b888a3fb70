//! What is refused, how early, and by which name.

use super::*;

/// Lines of the good request that are replaced, by what; status and text of the answer.
const FAULTS: &[(&str, &[&str], u16, &str)] = &[
    ("GET", &["GET /chat HTTP/1.0"], 505, "HTTP/1.1"),
    ("GET", &["POST /chat HTTP/1.0"], 505, "HTTP/1.1"),
    ("GET", &["POST /chat HTTP/1.1"], 405, "POST"),
    ("GET", &["HEAD /chat HTTP/1.1"], 405, "HEAD"),
    ("GET", &["OPTIONS * HTTP/1.1"], 405, "OPTIONS"),
    ("GET", &["GET chat HTTP/1.1"], 400, "target"),
    ("GET", &["GET * HTTP/1.1"], 400, "target"),
    ("GET", &["GET ftp://host/ HTTP/1.1"], 400, "target"),
    ("GET", &["GET ws:///chat HTTP/1.1"], 400, "target"),
    ("GET", &["GET ws://user@host/ HTTP/1.1"], 400, "target"),
    ("GET", &["GET /chat#top HTTP/1.1"], 400, "#"),
    ("Host", &[], 400, "no Host"),
    ("Host", &["Host: a", "Host: a"], 400, "more than one Host"),
    ("Host", &["Host:"], 400, "Host"),
    ("Host", &["Host: user@a"], 400, "Host"),
    ("Host", &["Host: a b"], 400, "Host"),
    ("Origin", &["Content-Length: 5"], 400, "Content-Length"),
    (
        "Origin",
        &["Transfer-Encoding: chunked"],
        400,
        "Transfer-Encoding",
    ),
    ("Origin", &["Content-Length:"], 400, "Content-Length"),
    ("Origin", &["Content-Length: 01"], 400, "Content-Length"),
    ("Origin", &["Content-Length: 0,"], 400, "Content-Length"),
    ("Origin", &["Content-Length: +0"], 400, "Content-Length"),
    ("Connection", &[], 400, "Connection"),
    ("Connection", &["Connection: keep-alive"], 400, "Connection"),
    ("Connection", &["Connection: up-grade"], 400, "Connection"),
    ("Sec-WebSocket-Version", &[], 426, "Sec-WebSocket-Version"),
    (
        "Sec-WebSocket-Version",
        &["Sec-WebSocket-Version: 8"],
        426,
        "13",
    ),
    (
        "Sec-WebSocket-Version",
        &["Sec-WebSocket-Version: 013"],
        426,
        "13",
    ),
    (
        "Sec-WebSocket-Version",
        &["Sec-WebSocket-Version: 13, 8"],
        426,
        "13",
    ),
    (
        "Sec-WebSocket-Version",
        &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"],
        426,
        "one",
    ),
    ("Sec-WebSocket-Key", &[], 400, "no Sec-WebSocket-Key"),
    (
        "Sec-WebSocket-Key",
        &[GOOD[4], GOOD[4]],
        400,
        "more than one Sec-WebSocket-Key",
    ),
    (
        "Sec-WebSocket-Key",
        &["Sec-WebSocket-Key:"],
        400,
        "Sec-WebSocket-Key",
    ),
    (
        "Sec-WebSocket-Key",
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ="],
        400,
        "Sec-WebSocket-Key",
    ),
    (
        "Sec-WebSocket-Key",
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA"],
        400,
        "Sec-WebSocket-Key",
    ),
    (
        "Sec-WebSocket-Key",
        &["Sec-WebSocket-Key: dGhl-HNhbXBsZSBub25jZQ=="],
        400,
        "Sec-WebSocket-Key",
    ),
    (
        "Sec-WebSocket-Key",
        &["Sec-WebSocket-Key: AAAA"],
        400,
        "Sec-WebSocket-Key",
    ),
    (
        "Sec-WebSocket-Protocol",
        &["Sec-WebSocket-Protocol: a b"],
        400,
        "Sec-WebSocket-Protocol",
    ),
    (
        "Sec-WebSocket-Protocol",
        &["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: (b)"],
        400,
        "tokens",
    ),
    (
        "Origin",
        &["Origin: http://a", "Origin: http://a"],
        400,
        "more than one Origin",
    ),
];

#[test]
fn faults_of_an_upgrade_request_are_refused_by_name() {
    for &(name, lines, status, reason) in FAULTS {
        let request = with(name, lines);
        let refused = refusal(request.as_bytes(), &Policy::default());
        assert_eq!(refused.status, status, "{request}{refused:?}");
        assert!(refused.reason.contains(reason), "{refused:?}");
        assert_eq!(
            refused.extra.contains(&("Sec-WebSocket-Version", "13")),
            status == 426,
            "{refused:?}"
        );
        assert_eq!(
            refused.extra.contains(&("Allow", "GET")),
            status == 405,
            "{refused:?}"
        );
        assert_eq!(
            refused.head,
            lines.iter().any(|line| line.starts_with("HEAD")),
            "{refused:?}"
        );
    }
}

/// The refusal comes with the last byte given here, and not before it.
#[test]
fn bytes_that_cannot_belong_to_a_request_are_refused_at_once() {
    let first = "GET / HTTP/1.1\r\n";
    for (before, bytes, status, reason) in [
        ("", "\x16", 400, "TLS"),
        ("", "\0", 400, "not an HTTP request"),
        ("", "h", 400, "not an HTTP request"),
        ("", " ", 400, "not an HTTP request"),
        ("", "\n", 400, "not an HTTP request"),
        ("", "\r\n\r", 400, "not an HTTP request"),
        ("", "\r\n\n", 400, "not an HTTP request"),
        ("", "GET\n", 400, "one space"),
        ("", "GET\t", 400, "one space"),
        ("", "G\u{80}", 400, "one space"),
        ("", "GET  ", 400, "two spaces"),
        ("", "GET /#", 400, "#"),
        ("", "GET /\u{80}", 400, "visible ASCII"),
        ("", "GET /\t", 400, "visible ASCII"),
        ("", "GET /\n", 400, "HTTP version"),
        ("", "GET /\r", 400, "HTTP version"),
        ("", "GET / X", 400, "HTTP version"),
        ("", "GET / HTTP ", 400, "HTTP version"),
        ("", "GET / HTTP/1.1 ", 400, "HTTP version"),
        ("", "GET / HTTP/\r", 400, "HTTP version"),
        ("", "GET / h", 400, "HTTP version"),
        ("", "GET / HTTP/1.1\n", 400, "LF alone"),
        ("", "GET / HTTP/1.1\rX", 400, "CR"),
        ("", "GET / HTTP/1.2\r\n", 505, "HTTP/1.1"),
        ("", "GET / HTTP/0.9\r\n", 505, "HTTP/1.1"),
        ("", "GET / HTTP/3\r\n", 505, "HTTP/1.1"),
        ("", "GET / HTTP/1.10\r\n", 505, "HTTP/1.1"),
        ("", "PRI * HTTP/2.0\r\n", 505, "HTTP/1.1"),
        (first, "\n", 400, "LF alone"),
        (first, "\rX", 400, "CR"),
        (first, " ", 400, "folding"),
        (first, ":", 400, "no name"),
        (first, "\0", 400, "header name"),
        (first, "Ho(", 400, "header name contains the byte 0x28"),
        (
            first,
            "Host ",
            400,
            "between the header name Host and its colon",
        ),
        (
            first,
            "Host\t",
            400,
            "between the header name Host and its colon",
        ),
        (first, "Host\r", 400, "no colon"),
        (first, "Host\n", 400, "no colon"),
        (first, "Host: a\n", 400, "LF alone"),
        (first, "Host:\n", 400, "LF alone"),
        (first, "Host: a\rb", 400, "CR"),
        (first, "Host: a\r\r", 400, "CR"),
        (
            first,
            "Host: \0",
            400,
            "value of Host contains the control byte 0x00",
        ),
        (
            first,
            "Host: a\x7f",
            400,
            "value of Host contains the control byte 0x7f",
        ),
        (first, "Host: a\r\n ", 400, "folding"),
        (first, "Host: a\r\n\t", 400, "folding"),
        (first, "Host: a\r\n\n", 400, "LF alone"),
    ] {
        let request = format!("{before}{bytes}");
        // Code points below 0x100 stand for the bytes.
        let request: Vec<u8> = request.chars().map(|c| u8::try_from(c).unwrap()).collect();
        let policy = Policy::default();
        let refused = refusal(&request, &policy);
        assert_eq!(refused.status, status, "{bytes:?} {refused:?}");
        assert!(refused.reason.contains(reason), "{bytes:?} {refused:?}");
        assert!(
            matches!(
                check(&request[..request.len() - 1], &policy),
                Verdict::Incomplete
            ),
            "{bytes:?}"
        );
        let longer = [&request, text(&GOOD).as_bytes()].concat();
        assert_eq!(told(&longer, &policy), told(&request, &policy), "{bytes:?}");
    }
}

#[test]
fn a_request_may_be_16_kib_long_and_have_100_fields() {
    let policy = Policy::default();
    let pad = |len| with("Origin", &[&format!("X: {}", "x".repeat(len))]);
    let room = MAX_HEAD - pad(0).len();
    assert_eq!(upgrade(pad(room).as_bytes(), &policy).head_len, MAX_HEAD);
    let long = pad(room + 1);
    assert!(matches!(
        check(&long.as_bytes()[..MAX_HEAD - 1], &policy),
        Verdict::Incomplete
    ));
    for end in [MAX_HEAD, MAX_HEAD + 1] {
        let refused = refusal(&long.as_bytes()[..end], &policy);
        assert_eq!(refused.status, 431);
        assert!(refused.reason.contains("16384"), "{refused:?}");
    }
    for endless in [
        b"A".as_slice(),
        b"GET /",
        b"GET / HTTP/1",
        b"GET / HTTP/1.1\r\nN",
    ] {
        let request = [endless, &endless[endless.len() - 1..].repeat(MAX_HEAD)].concat();
        assert_eq!(refusal(&request, &policy).status, 431);
    }

    let fields = |more| with("Origin", &vec!["X: y"; MAX_FIELDS - 6 + more]);
    assert_eq!(upgrade(fields(0).as_bytes(), &policy).accept, ACCEPT);
    let refused = refusal(fields(1).as_bytes(), &policy);
    assert_eq!(refused.status, 431);
    assert!(refused.reason.contains("100"), "{refused:?}");
    assert_eq!(
        refusal(fields(1).replacen("y\r", "y", 1).as_bytes(), &policy).status,
        400
    );
}

#[test]
fn faults_are_answered_in_the_order_of_the_module_head() {
    let policy = policy(&[], Some(&[]));
    let mut lines = vec![
        "POST chat HTTP/1.0",
        "Host: a b",
        "Content-Length: 1",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 8",
        "Sec-WebSocket-Key: x",
    ];
    for (at, line, status, reason) in [
        (0, "POST chat HTTP/1.1", 505, "HTTP/1.1"),
        (0, "GET chat HTTP/1.1", 405, "POST"),
        (0, "GET / HTTP/1.1", 400, "target"),
        (1, "Host: a", 400, "Host"),
        (2, "Content-Length: 0", 400, "body"),
        (2, "Connection: upgrade", 400, "Connection"),
        (4, "Sec-WebSocket-Version: 13", 426, "13"),
        (5, GOOD[4], 400, "Key"),
        (0, "GET / HTTP/1.1", 403, "Origin"),
    ] {
        let refused = refusal(text(&lines).as_bytes(), &policy);
        assert_eq!(refused.status, status, "{lines:?}");
        assert!(refused.reason.contains(reason), "{lines:?} {refused:?}");
        lines[at] = line;
    }
}
