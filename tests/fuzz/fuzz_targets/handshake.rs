//! The request check, fed with anything.
//!
//! The first byte of the input chooses the policy, the second where the rest is split. What must hold, whatever comes:
//! nothing panics; a verdict on the beginning stays the verdict on the whole; at most `MAX_HEAD` bytes are ever needed; what is
//! accepted is a request to httparse too; what is answered is a response to httparse, on which it can rely for its length.
#![no_main]

use std::time::UNIX_EPOCH;

use echoserver::protocol::handshake::{MAX_FIELDS, MAX_HEAD, Policy, Verdict, check};
use echoserver::protocol::head::Head;
use echoserver::protocol::http::{Fields, Refusal, accept_response, refuse_response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (choice, split, bytes) = input;
    let policy = policy(choice);
    let name = if choice & 16 == 0 { "" } else { "fuzz" };
    let whole = check(bytes, &policy);

    let beginning = &bytes[..usize::from(split).min(bytes.len())];
    match check(beginning, &policy) {
        Verdict::Incomplete => assert!(beginning.len() < MAX_HEAD),
        verdict => assert_eq!(told(&verdict), told(&whole)),
    }
    assert_eq!(
        told(&check(&bytes[..bytes.len().min(MAX_HEAD)], &policy)),
        told(&whole)
    );

    match &whole {
        Verdict::Incomplete => assert!(bytes.len() < MAX_HEAD),
        Verdict::Upgrade(upgrade) => {
            is_request(bytes, upgrade.head_len);
            let response = accept_response(&upgrade.agreement(), name, UNIX_EPOCH, &Fields::default());
            assert_eq!(body_len(&response, 101), 0);
        }
        Verdict::Plain(plain) => {
            is_request(bytes, plain.head_len);
            let refusal = Refusal {
                head: plain.method_is_head,
                ..Refusal::upgrade_required("plain")
            };
            is_refusal(&refusal, name);
        }
        Verdict::Refuse(refusal) => is_refusal(refusal, name),
    }
});

/// Two bits for the subprotocols, two for the origins.
fn policy(choice: u8) -> Policy {
    let subprotocols: &[&str] =
        [&[][..], &["chat"], &["superchat", "chat"], &["a"]][usize::from(choice & 3)];
    let origins: Option<&[Option<&str>]> = [
        None,
        Some(&[][..]),
        Some(&[None]),
        Some(&[Some("http://example.com"), None]),
    ][usize::from(choice >> 2 & 3)];
    Policy {
        subprotocols: subprotocols.iter().map(ToString::to_string).collect(),
        origins: origins.map(|origins| {
            origins
                .iter()
                .map(|origin| origin.map(str::to_owned))
                .collect()
        }),
        compression: None,
    }
}

fn told(verdict: &Verdict) -> String {
    format!("{verdict:?}")
}

fn is_request(bytes: &[u8], head_len: usize) {
    assert!(head_len <= MAX_HEAD);
    let head = &bytes[..head_len];
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(
        request.parse(head),
        Ok(httparse::Status::Complete(head_len))
    );

    let shown = Head::parse(head).expect("an accepted head can be shown");
    assert_eq!(Some(shown.method()), request.method);
    assert_eq!(Some(shown.target()), request.path);
    assert!(shown.target().contains(shown.path()) || shown.path() == "/");
    assert!(shown.target().ends_with(shown.query()));
    let fields = request
        .headers
        .iter()
        .map(|field| (field.name, field.value));
    assert!(shown.fields().eq(fields));
    for (name, _) in shown.fields() {
        assert!(shown.field_joined(name).is_some());
    }
}

fn is_refusal(refusal: &Refusal, name: &str) {
    assert!(!refusal.reason.contains(['\r', '\n', '\0']));
    let response = refuse_response(refusal, name, UNIX_EPOCH);
    let body = body_len(&response, refusal.status.as_u16());
    assert_eq!(
        body,
        if refusal.head {
            0
        } else {
            refusal.reason.len() + 1
        }
    );
}

/// Bytes after the head of a response that httparse accepts. A length, where it is told, is that of the body, or the body is
/// left out.
fn body_len(response: &[u8], status: u16) -> usize {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(head_len)) = parsed.parse(response) else {
        panic!("not a response: {}", String::from_utf8_lossy(response));
    };
    assert_eq!(parsed.code, Some(status));
    let body = response.len() - head_len;
    for field in parsed
        .headers
        .iter()
        .filter(|field| field.name == "Content-Length")
    {
        assert!(body == 0 || field.value == body.to_string().as_bytes());
    }
    body
}
