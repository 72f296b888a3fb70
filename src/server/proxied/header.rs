//! The header of the PROXY protocol, version 1 or 2: where it ends, and whom it names.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>
//!
//! What is in it is read by `ppp`, which is shown whole headers only: it takes a header that is cut before its last port
//! for a bad one. Nor is it shown those that name nobody (UNKNOWN and LOCAL), of which a receiver has to ignore the rest.

use ppp::v1;
use ppp::v2::{self, Command, Protocol};
use std::borrow::Cow;
use std::net::SocketAddr;

/// Bytes of the longest header of version 1 (section 2.1).
pub(super) const MAX_TEXT: usize = 107;
/// Bytes of the longest header of version 2 that is taken: its addresses, and what a balancer tells of certificates.
pub(super) const MAX_BINARY: usize = 4096;
/// What version 1 begins with, and version 2.
const TEXT: &[u8] = b"PROXY ";
const BINARY: &[u8] = v2::PROTOCOL_PREFIX;
/// Of version 2: up to the length of what follows.
const FIXED: usize = 16;
/// Version 1: nobody is named.
const UNKNOWN: &[u8] = b"PROXY UNKNOWN";
/// Version and command of version 2: the balancer's own connection, such as a check of health.
const LOCAL: u8 = 0x20;

/// Why somebody who may send a header is refused.
pub(super) type Reason = Cow<'static, str>;

/// What there is of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Not all of it.
    Part,
    /// So many bytes, and the client; `None` if it names none, and whoever has connected is meant.
    Whole(usize, Option<SocketAddr>),
}

/// Looks at what has come.
///
/// # Errors
/// It is no header.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, Reason> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(one, other)| one == other);
    if begins(BINARY) {
        binary(bytes)
    } else if begins(TEXT) {
        text(bytes)
    } else {
        Err("there is none".into())
    }
}

fn text(bytes: &[u8]) -> Result<Header, Reason> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n");
    let end = match end.map(|at| at + 2) {
        Some(end) if end <= MAX_TEXT => end,
        None if bytes.len() < MAX_TEXT => return Ok(Header::Part),
        _ => return Err("it is longer than the 107 bytes of version 1".into()),
    };
    let rest = bytes[..end].strip_prefix(UNKNOWN);
    if rest.is_some_and(|rest| rest == b"\r\n" || rest.starts_with(b" ")) {
        return Ok(Header::Whole(end, None));
    }
    let header = v1::Header::try_from(&bytes[..end]).map_err(|error| malformed(&error))?;
    let client = match header.addresses {
        v1::Addresses::Unknown => None,
        // Rust's numbers may have a sign.
        _ if bytes[..end].contains(&b'+') => {
            return Err("it is malformed: a port has a sign".into());
        }
        v1::Addresses::Tcp4(ends) => Some((ends.source_address, ends.source_port).into()),
        v1::Addresses::Tcp6(ends) => Some((ends.source_address, ends.source_port).into()),
    };
    Ok(Header::Whole(end, client))
}

fn binary(bytes: &[u8]) -> Result<Header, Reason> {
    let Some(&[.., command, _, high, low]) = bytes.first_chunk::<FIXED>() else {
        return Ok(Header::Part);
    };
    let end = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if end > MAX_BINARY {
        return Err("it is longer than 4096 bytes".into());
    }
    if command == LOCAL {
        return Ok(if bytes.len() < end {
            Header::Part
        } else {
            Header::Whole(end, None)
        });
    }
    let header = match v2::Header::try_from(bytes) {
        Ok(header) => header,
        Err(v2::ParseError::Incomplete(_) | v2::ParseError::Partial(..)) => {
            return Ok(Header::Part);
        }
        Err(error) => return Err(malformed(&error)),
    };
    let client = match (header.command, header.protocol, header.addresses) {
        (Command::Proxy, Protocol::Stream, v2::Addresses::IPv4(ends)) => {
            Some((ends.source_address, ends.source_port).into())
        }
        (Command::Proxy, Protocol::Stream, v2::Addresses::IPv6(ends)) => {
            Some((ends.source_address, ends.source_port).into())
        }
        // A path of Unix, datagrams: whoever has connected.
        _ => None,
    };
    if client.is_some()
        && let Some(error) = header.tlvs().find_map(Result::err)
    {
        return Err(malformed(&error));
    }
    Ok(Header::Whole(end, client))
}

fn malformed(error: &impl ToString) -> Reason {
    let error = error.to_string();
    let error = error.trim_end_matches('.').replace("\r\n", "\\r\\n");
    format!("it is malformed: {error}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One of version 2.
    fn made(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap();
        [BINARY, &[command, family], &len.to_be_bytes(), rest].concat()
    }

    fn ipv4() -> Vec<u8> {
        vec![192, 0, 2, 1, 198, 51, 100, 1, 0x1f, 0x90, 1, 0xbb]
    }

    fn ipv6() -> Vec<u8> {
        let mut ends = vec![0; 36];
        (ends[0], ends[1], ends[15], ends[31]) = (0x20, 1, 5, 1);
        ends[32..].copy_from_slice(&[0x1f, 0x90, 1, 0xbb]);
        ends
    }

    /// Whole headers and the clients that they name.
    fn headers() -> Vec<(Vec<u8>, Option<SocketAddr>)> {
        let client = |text: &str| Some(text.parse().unwrap());
        let tlv = [4, 0, 3, b'a', b'b', b'c'];
        let long = [&[5, 0xf, 0x80][..], &[0; 0xf80]].concat();
        vec![
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 8080 443\r\n".into(),
                client("192.0.2.1:8080"),
            ),
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 0 65535\r\n".into(),
                client("192.0.2.1:0"),
            ),
            (
                b"PROXY TCP6 2001::5 ::1 8080 443\r\n".into(),
                client("[2001::5]:8080"),
            ),
            (b"PROXY UNKNOWN\r\n".into(), None),
            (
                b"PROXY UNKNOWN ffff::ffff ffff::1 65535 65535\r\n".into(),
                None,
            ),
            (b"PROXY UNKNOWN a b c d e f\xff \r x\r\n".into(), None),
            (made(0x21, 0x11, &ipv4()), client("192.0.2.1:8080")),
            (made(0x21, 0x21, &ipv6()), client("[2001::5]:8080")),
            (
                made(0x21, 0x11, &[ipv4(), tlv.into()].concat()),
                client("192.0.2.1:8080"),
            ),
            (
                made(0x21, 0x11, &[ipv4(), long].concat()),
                client("192.0.2.1:8080"),
            ),
            // LOCAL, with and without addresses; neither a family nor a protocol; datagrams; paths.
            (made(0x20, 0x00, &[]), None),
            (made(0x20, 0x11, &ipv4()), None),
            // What else LOCAL says is to be ignored: a family without its addresses, and one that nobody knows.
            (made(0x20, 0x11, &[]), None),
            (made(0x20, 0x21, &ipv4()), None),
            (made(0x20, 0xff, &[1, 2, 3]), None),
            (made(0x21, 0x00, &[]), None),
            (made(0x21, 0x00, &[1, 2, 3]), None),
            (made(0x21, 0x12, &ipv4()), None),
            (made(0x21, 0x31, &[b'x'; 216]), None),
        ]
    }

    #[test]
    fn it_may_be_cut_anywhere_and_nothing_behind_it_is_looked_at() {
        for (header, client) in headers() {
            for cut in 0..header.len() {
                assert_eq!(
                    parse(&header[..cut]),
                    Ok(Header::Part),
                    "{cut} of {header:?}"
                );
            }
            for more in [
                &b""[..],
                b"GET / HTTP/1.1\r\n",
                b"\x16\x03\x01",
                b"\r\n",
                b"\xff+",
            ] {
                let bytes = [&header, more].concat();
                assert_eq!(parse(&bytes), Ok(Header::Whole(header.len(), client)));
            }
        }
    }

    /// Else it would be read on for ever.
    #[test]
    fn what_is_all_there_is_never_a_part() {
        for first in 0..=u16::MAX {
            let [command, family] = first.to_be_bytes();
            for len in [0, 1, 11, 12, 13, 15, 35, 36, 39, 215, 216, 217, 4080] {
                let header = made(command, family, &vec![0; len]);
                assert_ne!(parse(&header), Ok(Header::Part), "{command} {family} {len}");
            }
        }
    }

    #[test]
    fn what_is_none_is_told_from_what_is_bad() {
        let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (b"GET / HTTP/1.1\r\n".into(), "there is none"),
            (b"\x16\x03\x01".into(), "there is none"),
            (b"\r\n\r\n\0\r\nQUIX".into(), "there is none"),
            (b"PROXYx".into(), "there is none"),
            (b"proxy ".into(), "there is none"),
            (
                too_long.clone().into(),
                "it is longer than the 107 bytes of version 1",
            ),
            (
                too_long[..107].into(),
                "it is longer than the 107 bytes of version 1",
            ),
            (
                b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n".into(),
                "it is malformed: ",
            ),
            (
                b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n".into(),
                "it is malformed: ",
            ),
            (
                b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n".into(),
                "it is malformed: ",
            ),
            (
                b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n".into(),
                "it is malformed: ",
            ),
            (
                b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n".into(),
                "it is malformed: a port has a sign",
            ),
            (
                b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n".into(),
                "it is malformed: ",
            ),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n".into(), "it is malformed: "),
            (
                b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n".into(),
                "it is malformed: ",
            ),
            (
                b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rx\r\n".into(),
                "it is malformed: ",
            ),
            (b"PROXY UNKNOWN\xff\r\n".into(), "it is malformed: "),
            (b"PROXY UNKNOWN\rx\r\n".into(), "it is malformed: "),
            (b"PROXY \r\n".into(), "it is malformed: "),
            (made(0x11, 0x11, &ipv4()), "it is malformed: "),
            (made(0x22, 0x11, &ipv4()), "it is malformed: "),
            (made(0x10, 0x00, &[]), "it is malformed: "),
            (made(0x20, 0x00, &[0; 4081]), "it is longer than 4096 bytes"),
            (made(0x21, 0x41, &ipv4()), "it is malformed: "),
            (made(0x21, 0x13, &ipv4()), "it is malformed: "),
            (made(0x21, 0x21, &ipv4()), "it is malformed: "),
            (
                made(0x21, 0x11, &[ipv4(), vec![4, 0]].concat()),
                "it is malformed: ",
            ),
            (
                made(0x21, 0x11, &[ipv4(), vec![4, 0, 9, 1]].concat()),
                "it is malformed: ",
            ),
            (made(0x21, 0x11, &[0; 4081]), "it is longer than 4096 bytes"),
            // As soon as that is known.
            (
                made(0x21, 0x11, &[0; 4081])[..16].into(),
                "it is longer than 4096 bytes",
            ),
        ];
        for (bytes, expected) in cases {
            let reason = parse(&bytes).unwrap_err();
            assert!(reason.starts_with(expected), "{bytes:?}: {reason}");
            assert!(!reason.contains(char::is_control), "{reason:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(
            is_text: bool,
            rest in prop::collection::vec(any::<u8>(), 0..200),
            cut in 0..300usize,
        ) {
            let mut bytes = if is_text { TEXT } else { BINARY }.to_vec();
            bytes.extend(rest);
            bytes.truncate(cut);
            if let Ok(Header::Whole(len, _)) = parse(&bytes) {
                prop_assert!(len <= bytes.len());
                prop_assert_eq!(parse(&bytes[..len]), parse(&bytes));
                for cut in 0..len {
                    prop_assert_eq!(parse(&bytes[..cut]), Ok(Header::Part));
                }
            }
        }
    }
}
