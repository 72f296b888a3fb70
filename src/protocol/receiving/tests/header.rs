//! Headers, each for itself.

use super::*;
use crate::protocol::extensions::{Deflate, Negotiation};
use crate::protocol::receiving::header::Header;

const PLAIN: Terms = Terms::new(Limit::new(&"max_message_size", 0));

fn code(bytes: &[u8]) -> Option<u16> {
    Header::parse(bytes, &PLAIN)
        .err()
        .map(|violation| violation.code)
}

#[test]
fn headers_of_every_length_are_read() {
    let cases: [(&[u8], u64, usize); 5] = [
        (&[0x82, 0x80, 1, 2, 3, 4], 0, 6),
        (&[0x82, 0xfd, 1, 2, 3, 4], 125, 6),
        (&[0x82, 0xfe, 0, 126, 1, 2, 3, 4], 126, 8),
        (&[0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4], 65535, 8),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], 65536, 14),
    ];
    for (bytes, len, size) in cases {
        let header = Header::parse(bytes, &PLAIN).unwrap().unwrap();
        assert_eq!(
            (header.len, header.size, header.key),
            (len, size, [1, 2, 3, 4])
        );
        for end in 0..bytes.len() {
            assert_eq!(
                Header::parse(&bytes[..end], &PLAIN),
                Ok(None),
                "{end} bytes"
            );
        }
    }
}

#[test]
fn rules_are_checked_at_the_first_byte_that_breaks_them() {
    for first in [0xc2, 0xa2, 0x92, 0x83, 0x8b, 0x08, 0x09] {
        assert_eq!(code(&[first]), Some(1002), "{first:#x}");
    }
    assert_eq!(code(&[0x82, 0x05]), Some(1002));
    assert_eq!(code(&[0x89, 0xfe]), Some(1002));
    assert_eq!(code(&[0x82, 0xfe, 0, 125]), Some(1002));
    assert_eq!(code(&[0x82, 0xff, 0x80]), Some(1002));
    assert_eq!(
        code(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
        Some(1002)
    );
}

#[test]
fn rsv1_is_for_the_first_frame_of_a_message_where_it_was_agreed() {
    let mut negotiation = Negotiation::default();
    negotiation.add(b"permessage-deflate", Some(&Deflate::default()));
    let terms = Terms {
        deflate: negotiation.verdict().unwrap(),
        ..PLAIN
    };
    let code = |first: u8| {
        Header::parse(&[first], &terms)
            .err()
            .map(|error| error.code)
    };
    for first in [0xc1, 0xc2, 0x41, 0x42, 0x81, 0x00] {
        assert_eq!(code(first), None, "{first:#x}");
    }
    for first in [0xc0, 0x40, 0xc8, 0xc9, 0xca, 0xa1, 0x91, 0xe1, 0xc3] {
        assert_eq!(code(first), Some(1002), "{first:#x}");
    }
    let header = Header::parse(&[0xc1, 0x80, 1, 2, 3, 4], &terms);
    assert!(header.unwrap().unwrap().compressed);
    let header = Header::parse(&[0x81, 0x80, 1, 2, 3, 4], &terms);
    assert!(!header.unwrap().unwrap().compressed);
}
