//! Tests of `handshake.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod random;
mod refused;

use super::*;

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
                        method_is_head: is_head,
                        // It has a body.
                        is_kept: false
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
fn a_connection_is_kept_as_its_version_has_it() {
    for (lines, is_kept) in [
        (&["GET / HTTP/1.1"][..], true),
        (&["HEAD / HTTP/1.1", "Connection: keep-alive"], true),
        (&["GET / HTTP/1.1", "Connection: Keep-Alive, close"], false),
        (
            &["GET / HTTP/1.1", "Connection: TE", "Connection: CLOSE"],
            false,
        ),
        (&["GET / HTTP/1.1", "Content-Length: 0"], true),
        (&["GET / HTTP/1.1", "Content-Length: 1"], false),
        (&["GET / HTTP/1.1", "Transfer-Encoding: chunked"], false),
        (&["GET / HTTP/1.0"], false),
        (&["GET / HTTP/1.0", "Connection: keep-alive"], true),
    ] {
        let request = text(&[lines, &["Host: a"]].concat());
        match check(request.as_bytes(), &Policy::default()) {
            Verdict::Plain(plain) => assert_eq!(plain.is_kept, is_kept, "{lines:?}"),
            other => panic!("{other:?}"),
        }
    }
}
