//! Tests of `handshake.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::protocol::head::Head;

/// The request of RFC 6455 section 1.2, line by line.
const GOOD: [&str; 8] = [
    "GET /chat HTTP/1.1",
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Origin: http://example.com",
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Version: 13",
];
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn text(lines: &[&str]) -> String {
    lines
        .iter()
        .flat_map(|line| [line, "\r\n"])
        .chain(["\r\n"])
        .collect()
}

/// The good request with each line that begins like `name` replaced by `lines`.
fn with(name: &str, lines: &[&str]) -> String {
    let mut request = Vec::new();
    for line in GOOD {
        if line.starts_with(name) {
            request.extend_from_slice(lines);
        } else {
            request.push(line);
        }
    }
    text(&request)
}

fn policy(subprotocols: &[&str], origins: Option<&[Option<&str>]>) -> Policy {
    Policy {
        subprotocols: subprotocols.iter().map(ToString::to_string).collect(),
        origins: origins.map(|list| {
            list.iter()
                .map(|origin| origin.map(str::to_owned))
                .collect()
        }),
        compression: None,
    }
}

fn upgrade(request: &[u8], policy: &Policy) -> Upgrade {
    match check(request, policy) {
        Verdict::Upgrade(upgrade) => upgrade,
        other => panic!("{other:?} for {}", String::from_utf8_lossy(request)),
    }
}

fn refusal(request: &[u8], policy: &Policy) -> Refusal {
    match check(request, policy) {
        Verdict::Refuse(refusal) => refusal,
        other => panic!("{other:?} for {}", String::from_utf8_lossy(request)),
    }
}

/// A verdict in a form that can be compared.
fn told(request: &[u8], policy: &Policy) -> String {
    format!("{:?}", check(request, policy))
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let mut request = text(&GOOD).into_bytes();
    let head_len = request.len();
    request.extend_from_slice(b"\x81\x80frames\n\n\0");
    let accepted = upgrade(&request, &Policy::default());
    assert_eq!(
        accepted,
        Upgrade {
            head_len,
            accept: ACCEPT.to_owned(),
            subprotocol: None,
            deflate: None,
        }
    );
}

#[test]
fn every_split_of_a_good_request_gives_the_same_verdict() {
    let request = format!("\r\n{}", text(&GOOD));
    for policy in [
        Policy::default(),
        policy(&["superchat"], None),
        policy(&[], Some(&[])),
    ] {
        for split in 0..request.len() {
            assert!(
                matches!(
                    check(&request.as_bytes()[..split], &policy),
                    Verdict::Incomplete
                ),
                "{split}"
            );
        }
        assert_ne!(told(request.as_bytes(), &policy), "Incomplete");
    }
    assert_eq!(
        upgrade(request.as_bytes(), &Policy::default()).head_len,
        request.len()
    );
}

#[test]
fn variants_of_a_good_request_are_accepted() {
    for (name, lines) in [
        ("GET", &["GET / HTTP/1.1"][..]),
        ("GET", &["GET ws://server.example.com:1234/chat?x HTTP/1.1"]),
        ("GET", &["GET HTTPS://server.example.com HTTP/1.1"]),
        ("GET", &["GET /a?b=http://c HTTP/1.1"]),
        ("Host", &["hOST:\t[::1]:1234 "]),
        ("Upgrade", &["Upgrade: h2c, WebSocket"]),
        ("Upgrade", &["Upgrade: h2c", "upgrade: ,websocket,"]),
        ("Upgrade", &["Upgrade: websocket", "upgrade: h2c"]),
        ("Connection", &["Connection: keep-alive, upgrade"]),
        (
            "Connection",
            &["Connection: keep-alive", "Connection: UPGRADE"],
        ),
        ("Origin", &[]),
        ("Origin", &["Origin: null"]),
        ("Origin", &["Origin:"]),
        ("Origin", &["Content-Length: 0"]),
        ("Origin", &["Content-Length: 00"]),
        ("Origin", &["Content-Length: 0", "content-length: 000, 0"]),
        ("Origin", &["X: caf\u{e9} \t~"]),
        (
            "Sec-WebSocket-Key",
            &["SEC-WEBSOCKET-KEY:dGhlIHNhbXBsZSBub25jZQ==  "],
        ),
        ("Sec-WebSocket-Protocol", &[]),
        ("Sec-WebSocket-Protocol", &["Sec-WebSocket-Protocol:"]),
        ("Sec-WebSocket-Protocol", &["Sec-WebSocket-Protocol: a, a"]),
        (
            "Sec-WebSocket-Protocol",
            &["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
        ),
    ] {
        assert_eq!(
            upgrade(with(name, lines).as_bytes(), &Policy::default()).accept,
            ACCEPT
        );
    }
}

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
fn requests_for_no_websocket_are_plain_http() {
    for (lines, is_head) in [
        (&["GET / HTTP/1.1"][..], false),
        (&["GET /metrics?x HTTP/1.0"], false),
        (&["HEAD / HTTP/1.1"], true),
        (
            // As curl --http2 and Java's HttpClient ask.
            &[
                "GET / HTTP/1.1",
                "Connection: Upgrade, HTTP2-Settings",
                "Upgrade: h2c",
                "HTTP2-Settings: AAMAAABkAAQAAP__",
            ],
            false,
        ),
        (&["HEAD / HTTP/1.1", "Upgrade: h2c, TLS/1.2"], true),
        (&["GET / HTTP/1.0", "Upgrade: h2c"], false),
        (&["GET / HTTP/1.1", "Upgrade:"], false),
        (&["GET / HTTP/1.1", "Upgrade: web-socket"], false),
        (&["GET / HTTP/1.1", "Upgrade: websocket/13"], false),
        (
            &["GET / HTTP/1.1", "Connection: upgrade", GOOD[4], GOOD[7]],
            false,
        ),
    ] {
        let request = text(&[lines, &["Host: a", "Content-Length: 3"]].concat());
        match check(format!("{request}abc").as_bytes(), &Policy::default()) {
            Verdict::Plain(plain) => {
                assert_eq!(
                    plain,
                    Plain {
                        head_len: request.len(),
                        method_is_head: is_head
                    }
                );
                assert_eq!(plain.method_is_head, is_head);
            }
            other => panic!("{other:?}"),
        }
    }
    for line in [
        "POST / HTTP/1.1",
        "OPTIONS * HTTP/1.0",
        "CONNECT a:1 HTTP/1.1",
        "GETS / HTTP/1.1",
    ] {
        for lines in [&[line][..], &[line, "Upgrade: h2c"]] {
            let refused = refusal(text(lines).as_bytes(), &Policy::default());
            assert_eq!(refused.status, 405);
            assert_eq!(refused.extra, [("Allow", "GET, HEAD")]);
        }
    }
}

#[test]
fn the_first_supported_offer_is_the_subprotocol() {
    for (ours, lines, chosen) in [
        (
            &["superchat", "chat"][..],
            &["Sec-WebSocket-Protocol: chat, superchat"][..],
            Some("chat"),
        ),
        (
            &["superchat"],
            &["Sec-WebSocket-Protocol: chat, superchat"],
            Some("superchat"),
        ),
        (
            &["b", "c"],
            &["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: ,c,b"],
            Some("c"),
        ),
        (&["Chat"], &["Sec-WebSocket-Protocol: chat"], None),
        (&["chat"], &[], None),
    ] {
        let request = with("Sec-WebSocket-Protocol", lines);
        assert_eq!(
            upgrade(request.as_bytes(), &policy(ours, None))
                .subprotocol
                .as_deref(),
            chosen
        );
    }
}

#[test]
fn origins_are_compared_exactly() {
    let with_origin = with("Origin", &["Origin: https://a"]);
    let without = with("Origin", &[]);
    for (origins, request, is_good) in [
        (&[Some("https://a")][..], &with_origin, true),
        (&[Some("https://b"), Some("https://a")], &with_origin, true),
        (&[Some("https://A")], &with_origin, false),
        (&[Some("https://a/")], &with_origin, false),
        (&[None], &with_origin, false),
        (&[], &with_origin, false),
        (&[Some("https://a")], &without, false),
        (&[Some(""), Some("null")], &without, false),
        (&[None], &without, true),
    ] {
        let policy = policy(&[], Some(origins));
        if is_good {
            assert_eq!(upgrade(request.as_bytes(), &policy).accept, ACCEPT);
        } else {
            assert_eq!(
                refusal(request.as_bytes(), &policy).status,
                403,
                "{origins:?}"
            );
        }
    }
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

/// Pieces of requests and of nonsense, so that random input gets past the first byte.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let mut known: Vec<Vec<u8>> = GOOD
        .iter()
        .map(|line| format!("{line}\r\n").into_bytes())
        .collect();
    for piece in [
        "\r\n",
        "\n",
        "\r",
        " ",
        ":",
        "#",
        ",",
        "GET ",
        "HEAD ",
        "/",
        "HTTP/1.0",
        "HTTP/2.0\r\n",
        "Host",
        "X: y\r\n",
    ] {
        known.push(piece.into());
    }
    known.push("X: y\r\n".repeat(60).into());
    let piece = prop_oneof![8 => prop::sample::select(known), 1 => prop::collection::vec(any::<u8>(), 0..3)];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_one_verdict_however_they_are_split(bytes in pieces(), is_request in any::<bool>()) {
        let first: &[u8] = if is_request { b"GET / HTTP/1.1\r\n" } else { b"" };
        let bytes = [first, &bytes].concat();
        let policy = Policy::default();
        let whole = told(&bytes, &policy);
        let mut decided = false;
        for end in 0..=bytes.len() {
            let verdict = told(&bytes[..end], &policy);
            if verdict == "Incomplete" {
                prop_assert!(!decided);
            } else {
                prop_assert_eq!(&verdict, &whole);
                decided = true;
            }
        }
        // What httparse finds at fault, we can name.
        prop_assert!(!whole.contains("invalid header"));
    }

    #[test]
    fn what_is_accepted_httparse_accepts_too(bytes in pieces()) {
        let bytes = [b"GET / HTTP/1.1\r\n", &bytes[..]].concat();
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let theirs = httparse::Request::new(&mut fields).parse(&bytes);
        match check(&bytes, &Policy::default()) {
            Verdict::Upgrade(Upgrade { head_len, .. }) | Verdict::Plain(Plain { head_len, .. }) => {
                prop_assert_eq!(theirs, Ok(Status::Complete(head_len)));
                prop_assert!(Head::parse(&bytes[..head_len]).is_some());
            }
            Verdict::Incomplete => prop_assert_eq!(theirs, Ok(Status::Partial)),
            Verdict::Refuse(_) => {}
        }
    }
}
