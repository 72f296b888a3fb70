//! Tests of `request.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::protocol::head::Head;

#[test]
fn a_head_shows_what_was_sent() {
    let head = Head::parse(
        b"GET /chat/a%20b?x=1&y=?2 HTTP/1.1\r\nHost: example.com\r\nX-Name:  caf\xe9 \t\r\nx-name: two\r\nEmpty:\r\n\r\nframes: no",
    )
    .unwrap();
    assert_eq!(head.method(), "GET");
    assert_eq!(head.target(), "/chat/a%20b?x=1&y=?2");
    assert_eq!(head.path(), "/chat/a%20b");
    assert_eq!(head.query(), "x=1&y=?2");
    let fields: Vec<_> = head.fields().collect();
    assert_eq!(
        fields,
        [
            ("Host", &b"example.com"[..]),
            ("X-Name", b"caf\xe9"),
            ("x-name", b"two"),
            ("Empty", b""),
        ]
    );
    assert_eq!(head.field_joined("X-NAME").unwrap(), "caf\u{e9}, two");
    assert_eq!(head.field_joined("empty").unwrap(), "");
    assert_eq!(head.field_joined("frames"), None);
}

#[test]
fn path_and_query_are_found_in_every_form_of_target() {
    for (target, path, query) in [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a?b=/c", "/a", "b=/c"),
        ("//two", "//two", ""),
        ("ws://host:1/a?b", "/a", "b"),
        ("HTTP://host", "/", ""),
        ("wss://host?q", "/", "q"),
        ("/to?url=http://other/", "/to", "url=http://other/"),
    ] {
        let line = format!("\r\nGET {target} HTTP/1.1\r\n");
        let head = Head::parse(line.as_bytes()).unwrap();
        assert_eq!((head.path(), head.query()), (path, query), "{target}");
        assert_eq!(head.fields().count(), 0);
    }
    assert!(Head::parse(b"GET / HTTP/1.1").is_none());
    assert!(Head::parse(b"\x16\x03\x01").is_none());
}

#[test]
fn hosts_are_names_or_addresses_with_or_without_a_port() {
    for good in [
        "a",
        "localhost:1234",
        "127.0.0.1",
        "[::1]",
        "[::1]:80",
        "[fe80::1%eth0]",
        "[fe80::1%25eth0]:80",
        "[fe80::1%eth0.100]",
        "[fe80::1%4]",
        "a_b.example.",
        "host:",
        "%41b",
        "xn--bcher-kva.ch",
        "host:65535",
    ] {
        assert!(is_host(good.as_bytes()), "{good}");
    }
    for bad in [
        "",
        ":80",
        "user@host",
        "user:pw@host",
        "a b",
        "a,b",
        "a/b",
        "a?b",
        "host:x",
        "host:65536",
        "host:+1",
        "host:1:2",
        "::1",
        "[::1",
        "[::1]x",
        "[::1]80",
        "[]",
        "[host]",
        "[fe80::1%]",
        "[fe80::1%a%b]",
        "[fe80::1%a b]",
        "[%eth0]",
        "[127.0.0.1%eth0]",
        "fe80::1%eth0",
        "%4",
        "%zz",
        "http://a",
        "b\u{fc}cher",
        "a\tb",
    ] {
        assert!(!is_host(bad.as_bytes()), "{bad}");
    }
    assert!(!is_host(b"\xff"));
}

#[test]
fn tokens_are_told() {
    for (text, is) in [
        (&b"chat.v1"[..], true),
        (b"!#$%&'*+-.^_`|~", true),
        (b"", false),
        (b"a b", false),
        (b"a,b", false),
        (b"\xff", false),
    ] {
        assert_eq!(is_token(text), is, "{text:?}");
    }
}
