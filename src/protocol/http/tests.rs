//! Tests of `http.rs`.

use super::*;

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in lines {
        fields.push(name, value).unwrap();
    }
    fields
}

fn written(response: &Response) -> String {
    let bytes = response.to_bytes("echoserver", UNIX_EPOCH);
    bytes.into_iter().map(char::from).collect()
}

#[test]
fn a_response_is_written_as_it_was_made() {
    let lines = [
        ("WWW-Authenticate", "Basic realm=\"a\tb\""),
        ("Set-Cookie", "a=1"),
        ("set-cookie", "b=é"),
        ("X-Empty", ""),
    ];
    let response = Response::text(401, fields(&lines), "wer da?\nκόσμε").unwrap();
    let text: String = "wer da?\nκόσμε".bytes().map(char::from).collect();
    assert_eq!(
        written(&response),
        format!(
            "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nServer: echoserver\r\n\
            Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nWWW-Authenticate: Basic realm=\"a\tb\"\r\nSet-Cookie: a=1\r\n\
            set-cookie: b=é\r\nX-Empty: \r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 18\r\n\r\n{text}"
        )
    );
}

#[test]
fn what_the_application_says_replaces_what_the_server_would() {
    let lines = [
        ("server", "mine"),
        ("DATE", "today"),
        ("content-type", "text/html"),
    ];
    let response = Response::text(599, fields(&lines), "<p>").unwrap();
    assert_eq!(
        written(&response),
        "HTTP/1.1 599 \r\nConnection: close\r\nserver: mine\r\nDATE: today\r\ncontent-type: text/html\r\n\
        Content-Length: 3\r\n\r\n<p>"
    );
}

#[test]
fn a_426_names_the_protocol_and_a_304_no_length() {
    let upgrade = Response::new(426, fields(&[("Server", "x")]), Vec::new()).unwrap();
    assert!(written(&upgrade).starts_with(
        "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nDate: "
    ));
    let same = Response::text(304, fields(&[("ETag", "\"1\"")]), "").unwrap();
    let text = written(&same);
    assert!(text.ends_with("ETag: \"1\"\r\n\r\n"), "{text}");
    assert!(!text.contains("Content-"), "{text}");
}

/// What is wrong with a header line.
fn flaw(pushed: Result<(), Invalid>) -> &'static str {
    match pushed {
        Err(Invalid::Field { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_can_not_be_written_is_not_made() {
    let mut fields = Fields::default();
    for name in ["", "a b", "a:", "a\r\nb", "é", "\0"] {
        assert!(flaw(fields.push(name, "x")).contains("token"));
    }
    for name in OURS {
        for name in [name.to_owned(), name.to_uppercase()] {
            let error = fields.push(&name, "x").unwrap_err();
            assert!(matches!(&error, Invalid::Field { text, .. } if *text == name));
            assert!(flaw(Err(error)).starts_with("the server"));
        }
    }
    for value in [" a", "a ", "\ta", "a\t"] {
        assert!(flaw(fields.push("X", value)).contains("space"));
    }
    for value in ["a\r\nb", "a\rb", "a\nb", "a\0b", "\u{7f}", "\u{1b}[", "κ"] {
        assert!(flaw(fields.push("X", value)).contains("characters"));
    }
    assert_eq!(fields, Fields::default());
    for status in [0, 100, 101, 200, 299, 600, 999, u16::MAX] {
        let error = Response::new(status, Fields::default(), Vec::new()).unwrap_err();
        assert_eq!(error, Invalid::Status(status));
    }
    let modified = Response::text(304, Fields::default(), "x");
    assert_eq!(modified, Err(Invalid::Body(1)));
}

#[test]
fn the_responses_are_written_as_specified() {
    let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
    let agreed = Agreement {
        accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        subprotocol: Some("chat"),
        deflate: None,
    };
    let mut extra = Fields::default();
    extra.push("X-Extra", "1").unwrap();
    extra.push("x-extra", "2").unwrap();
    assert_eq!(
        String::from_utf8(accept_response(&agreed, "test", now, &extra)).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\nServer: test\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Extra: 1\r\nx-extra: 2\r\n\r\n"
    );
    let response =
        |refusal: &Refusal| String::from_utf8(refuse_response(refusal, "", now)).unwrap();
    assert_eq!(
        response(&Refusal::not_http()),
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: 28\r\n\r\nthis is not an HTTP request\n"
    );
    let plain = response(&Refusal {
        head: true,
        ..Refusal::upgrade_required("another")
    });
    assert!(plain.starts_with(
        "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    ));
    assert!(plain.ends_with("Content-Length: 8\r\n\r\n"));
    let later = response(&Refusal {
        extra: &[("Retry-After", "5")],
        ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "later")
    });
    assert!(later.starts_with(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n"
    ));
    assert!(later.ends_with("\r\n\r\nlater\n"));
}

#[test]
fn a_clock_that_is_far_off_leaves_the_date_out() {
    let far = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    for (now, has_date) in [
        (UNIX_EPOCH - Duration::from_secs(1), false),
        (UNIX_EPOCH, true),
        (far - Duration::from_secs(1), true),
        (far, false),
    ] {
        let response = refuse_response(&Refusal::not_http(), "", now);
        assert_eq!(
            String::from_utf8(response).unwrap().contains("\r\nDate: "),
            has_date
        );
    }
}
