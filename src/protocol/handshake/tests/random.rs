//! Bytes at random.

use super::*;
use crate::protocol::head::Head;
use proptest::prelude::*;

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
