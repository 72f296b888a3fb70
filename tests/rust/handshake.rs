//! Requests: every row of the table, and what is agreed in an upgrade. The fine print is tested beside the
//! request check itself.

use crate::support::{BINARY, Frame, PING, PONG, REQUEST, Raw, Running, TEXT, frame};
use echoserver::config::Config;
use std::time::Duration;

/// The answer's head and body, after which the server ends TCP.
fn answer(server: &Running, request: &[u8]) -> (String, String) {
    let mut raw = Raw::connect(server.address());
    raw.send(request);
    let head = raw.read_head();
    let body = String::from_utf8(raw.read_rest()).unwrap();
    (head, body)
}

/// Expects a refusal with one line of text that contains `reason`; returns its head.
fn expect(server: &Running, request: impl AsRef<[u8]>, status: u16, reason: &str) -> String {
    let request = request.as_ref();
    let (head, body) = answer(server, request);
    let shown = format!("{}\n{head}{body}", request.escape_ascii());
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}");
    assert!(head.contains("\r\nConnection: close"), "{shown}");
    let length = format!("\r\nContent-Length: {}\r\n", body.len());
    assert!(head.contains(&length), "{shown}");
    assert!(
        body.ends_with('\n') && body.lines().count() == 1 && body.contains(reason),
        "{shown}"
    );
    head
}

/// The good request with `from` replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(REQUEST.contains(from), "{from}");
    format!("{}\r\n", REQUEST.replacen(from, to, 1))
}

/// The good request with further lines.
fn with(lines: &str) -> String {
    format!("{REQUEST}{lines}\r\n")
}

/// Expects an upgrade and an echo; returns the head.
fn accepted(server: &Running, request: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(server.address());
    raw.send(request);
    let head = raw.read_head();
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    raw.echo(TEXT, b"hello");
    head
}

#[test]
fn what_is_no_request_gets_400() {
    let server = Running::new(Config::default());
    let cases: [(&[u8], &str); 7] = [
        (b"hello\r\n", "not an HTTP request"),
        (&[0x16, 3, 1, 2, 0, 1, 0], "TLS"),
        (b"\x81\x85\x01\x02\x03\x04hello", "not an HTTP request"),
        (b"GET / HTTP/1.1\nHost: localhost\n\n", "LF"),
        (b"GET / HTTP/1.1\r\nHost: localhost\n\r\n", "LF"),
        (b"GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n", "0x00"),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", "colon"),
    ];
    for (request, reason) in cases {
        expect(&server, request, 400, reason);
    }
    assert_eq!(server.stats().handshakes_refused, cases.len() as u64);
}

#[test]
fn faults_of_an_upgrade_request_get_400() {
    let server = Running::new(Config::default());
    let cases = [
        (changed("Host: localhost\r\n", ""), "Host"),
        (with("Host: localhost\r\n"), "Host"),
        (changed("Host: localhost", "Host: me@localhost"), "Host"),
        (changed("Host: localhost", "Host: local host"), "Host"),
        (
            changed("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
            "Key",
        ),
        (
            with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
            "Key",
        ),
        (
            changed("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="),
            "Key",
        ),
        (
            changed("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ!=="),
            "Key",
        ),
        (changed("GET / ", "GET echo "), "target"),
        (changed("GET / ", "GET /a#b "), "#"),
        (
            changed("Connection: Upgrade", "Connection: keep-alive"),
            "Connection",
        ),
        (changed("Connection: Upgrade\r\n", ""), "Connection"),
        (with("Content-Length: 5\r\n"), "body"),
        (with("Sec-WebSocket-Protocol: a b\r\n"), "Protocol"),
    ];
    for (request, reason) in cases {
        expect(&server, request, 400, reason);
    }
}

#[test]
fn versions_and_methods_are_told_apart() {
    let server = Running::new(Config::default());
    for version in ["1.0", "1.2", "0.9", "2", "2.0", "3"] {
        let request = changed("HTTP/1.1", &format!("HTTP/{version}"));
        expect(&server, request, 505, "HTTP/1.1");
    }
    expect(&server, "GET / HTTP/2.0\r\n\r\n", 505, "HTTP/1.1");
    for method in ["POST", "HEAD", "OPTIONS"] {
        let head = expect_method(&server, &changed("GET", method), method);
        assert!(head.contains("\r\nAllow: GET\r\n"), "{head}");
    }
    for line in [
        "",
        "Sec-WebSocket-Version: 8\r\n",
        "Sec-WebSocket-Version: 13, 8\r\n",
    ] {
        let request = changed("Sec-WebSocket-Version: 13\r\n", line);
        let head = expect(&server, request, 426, "13");
        assert!(head.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{head}");
    }
    expect(&server, with("Sec-WebSocket-Version: 13\r\n"), 426, "13");
}

fn expect_method(server: &Running, request: &str, method: &str) -> String {
    if method == "HEAD" {
        let (head, body) = answer(server, request.as_bytes());
        assert!(
            head.starts_with("HTTP/1.1 405 ") && body.is_empty(),
            "{head}{body}"
        );
        return head;
    }
    expect(server, request, 405, "not allowed")
}

#[test]
fn ordinary_http_gets_a_hint() {
    let server = Running::new(Config::default());
    for version in ["1.0", "1.1"] {
        let request = format!("GET /any HTTP/{version}\r\nHost: localhost\r\n\r\n");
        let head = expect(&server, request, 426, "WebSocket");
        assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
        let (head, body) = answer(&server, format!("HEAD / HTTP/{version}\r\n\r\n").as_bytes());
        assert!(
            head.starts_with("HTTP/1.1 426 ") && body.is_empty(),
            "{head}{body}"
        );
    }
    let request = changed("Upgrade: websocket", "Upgrade: h2c");
    expect(&server, request, 426, "WebSocket");
    let stats = server.stats();
    assert_eq!((stats.http_requests, stats.handshakes_refused), (5, 0));
    let head = expect(
        &server,
        "DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        405,
        "DELETE",
    );
    assert!(head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}");
    assert_eq!(server.stats().handshakes_refused, 1);
}

#[test]
fn a_request_that_is_too_long_gets_431() {
    let server = Running::new(Config::default());
    expect(
        &server,
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)),
        431,
        "16384",
    );
    expect(
        &server,
        with(&format!("Cookie: {}\r\n", "x".repeat(20_000))),
        431,
        "16384",
    );
    expect(&server, with(&"X-Line: x\r\n".repeat(101)), 431, "100");
    accepted(&server, with(&"X-Line: x\r\n".repeat(95)));
    accepted(
        &server,
        with(&format!("Cookie: {}\r\n", "x".repeat(15_000))),
    );
}

#[test]
fn origins_that_are_not_admitted_get_403() {
    let origins = |origins: &[Option<&str>]| {
        Running::new(Config {
            origins: Some(origins.iter().map(|o| o.map(str::to_owned)).collect()),
            ..Config::default()
        })
    };
    let server = origins(&[Some("https://good.example")]);
    accepted(&server, with("Origin: https://good.example\r\n"));
    for origin in ["https://evil.example", "https://good.example.evil", "null"] {
        let request = with(&format!("Origin: {origin}\r\n"));
        expect(&server, request, 403, "Origin");
    }
    expect(&server, with(""), 403, "Origin");
    let server = origins(&[Some("https://good.example"), None]);
    accepted(&server, with(""));
    expect(
        &server,
        with("Origin: https://evil.example\r\n"),
        403,
        "Origin",
    );
}

#[test]
fn the_first_supported_offer_is_agreed() {
    let server = Running::new(Config {
        subprotocols: vec!["chat".into(), "echo".into()],
        ..Config::default()
    });
    let agreed = |lines: &str| {
        let head = accepted(&server, with(lines));
        head.split("\r\n")
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "))
            .map(str::to_owned)
    };
    assert_eq!(agreed(""), None);
    assert_eq!(agreed("Sec-WebSocket-Protocol: soap\r\n"), None);
    assert_eq!(
        agreed("Sec-WebSocket-Protocol: soap, echo, chat\r\n").as_deref(),
        Some("echo")
    );
    assert_eq!(
        agreed("Sec-WebSocket-Protocol: soap\r\nSec-WebSocket-Protocol: chat\r\n").as_deref(),
        Some("chat")
    );
}

#[test]
fn good_requests_come_in_many_forms() {
    let server = Running::new(Config::default());
    let head = accepted(&server, with(""));
    // The example of RFC 6455 section 1.3.
    assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    accepted(&server, changed("GET / ", "GET ws://localhost/path?query "));
    accepted(
        &server,
        changed("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
    );
    accepted(
        &server,
        changed("Connection: Upgrade", "Connection: keep-alive, upgrade"),
    );
    accepted(
        &server,
        changed(
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: upgrade",
        ),
    );
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Running::new(Config::default());
    let mut raw = Raw::connect(server.address());
    for byte in with("").bytes() {
        raw.send([byte]);
    }
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    raw.echo(BINARY, b"hello");
}

#[test]
fn frames_may_come_with_the_request() {
    let server = Running::new(Config::default());
    let long = vec![0x5a; 300_000];
    let bytes = [
        with("").into_bytes(),
        frame(TEXT, "first"),
        frame(PING, "second"),
        frame(BINARY, &long),
    ]
    .concat();
    // Cut in the request, after it, in a header and in a payload.
    let end = with("").len();
    for cut in [end - 1, end, end + 1, end + 3, end + 8, bytes.len()] {
        let mut raw = Raw::connect(server.address());
        raw.send(&bytes[..cut]);
        raw.send(&bytes[cut..]);
        raw.read_head();
        assert_eq!(raw.read_frame(), Frame::new(TEXT, "first"), "cut at {cut}");
        assert_eq!(raw.read_frame(), Frame::new(PONG, "second"));
        assert_eq!(raw.read_frame(), Frame::new(BINARY, &long[..]));
    }
}

#[test]
fn a_request_that_does_not_end_gets_408() {
    let server = Running::new(Config {
        open_timeout: Duration::from_millis(50),
        ..Config::default()
    });
    for beginning in ["", "GET / HT", REQUEST] {
        expect(&server, beginning, 408, "open_timeout");
    }
}

#[test]
fn one_client_too_many_gets_503() {
    let server = Running::new(Config {
        max_connections: Some(2),
        ..Config::default()
    });
    let mut first = Raw::open(&server);
    let second = Raw::open(&server);
    let head = expect(&server, with(""), 503, "max_connections");
    assert!(head.contains("\r\nRetry-After: "), "{head}");
    // Told only after reading the request: other faults, and plain requests, get their own answer.
    expect(&server, "GET / HTTP/1.1\r\n\r\n", 426, "WebSocket");
    first.echo(TEXT, b"still here");
    drop(second);
    server.wait_for(|stats| stats.clients_closed == 1);
    accepted(&server, with(""));
}
