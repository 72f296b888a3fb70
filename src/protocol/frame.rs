//! Frame headers (RFC 6455 section 5.2).

use super::violation::Violation;

/// The longest header that a server sends.
pub const MAX_SERVER_HEADER: usize = 10;
/// The longest header that a client sends: with a masking key.
pub const MAX_CLIENT_HEADER: usize = 14;
/// Bytes of the shortest client header.
pub const MIN_CLIENT_HEADER: usize = 6;
/// The longest payload of a control frame (section 5.5).
pub const MAX_CONTROL: usize = 125;

/// The bit of the first byte that tells a compressed message (RFC 7692 section 6).
pub const RSV1: u8 = 0x40;
/// The bit that marks, between here and whoever answers, a message that must not be compressed. Never on the wire.
pub const AS_IT_IS: u8 = 0x20;

/// The opcode nibble of the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0,
    /// The first or only frame of a text message.
    Text = 1,
    /// The first or only frame of a binary message.
    Binary = 2,
    /// A close frame.
    Close = 8,
    /// A ping.
    Ping = 9,
    /// A pong.
    Pong = 10,
}

impl Opcode {
    /// Whether this is a control opcode (section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A client's frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// RSV1: the first frame of a compressed message (RFC 7692 section 6).
    pub compressed: bool,
    /// What the payload is.
    pub opcode: Opcode,
    /// Payload bytes.
    pub len: u64,
    /// Masking key.
    pub key: [u8; 4],
    /// Bytes of the header itself.
    pub size: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` while it is incomplete. `has_deflate`: the extension was
    /// agreed, so that RSV1 is allowed where it has a meaning.
    ///
    /// # Errors
    /// 1002 at the first byte that breaks a rule, even if the header is incomplete.
    #[inline]
    pub fn parse(bytes: &[u8], has_deflate: bool) -> Result<Option<Self>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            check_rsv(first, has_deflate)?;
        }
        let fin = first & 0x80 != 0;
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => {
                return Err(Violation::protocol(
                    "reserved opcode (RFC 6455 section 5.2)",
                ));
            }
        };
        if opcode.is_control() && !fin {
            return Err(Violation::protocol(
                "fragmented control frame (RFC 6455 section 5.5)",
            ));
        }
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        if second & 0x80 == 0 {
            return Err(Violation::protocol(
                "client frames must be masked (RFC 6455 section 5.1)",
            ));
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL {
            return Err(Violation::protocol(
                "control frame over 125 bytes (RFC 6455 section 5.5)",
            ));
        }
        let (len, size) = match short {
            126 => {
                let Some(&length) = bytes[2..].first_chunk() else {
                    return Ok(None);
                };
                let len = u64::from(u16::from_be_bytes(length));
                if len < 126 {
                    return Err(NON_MINIMAL);
                }
                (len, 4)
            }
            127 => {
                if bytes.get(2).is_some_and(|top| top & 0x80 != 0) {
                    return Err(Violation::protocol(
                        "length with the top bit set (RFC 6455 section 5.2)",
                    ));
                }
                let Some(&length) = bytes[2..].first_chunk() else {
                    return Ok(None);
                };
                let len = u64::from_be_bytes(length);
                if len < 1 << 16 {
                    return Err(NON_MINIMAL);
                }
                (len, 10)
            }
            len => (u64::from(len), 2),
        };
        let Some(&key) = bytes[size..].first_chunk() else {
            return Ok(None);
        };
        Ok(Some(Self {
            fin,
            compressed: first & RSV1 != 0,
            opcode,
            len,
            key,
            size: size + 4,
        }))
    }
}

/// Checks RSV bits that are not all 0. Cold: most clients never send any.
#[cold]
fn check_rsv(first: u8, has_deflate: bool) -> Result<(), Violation> {
    if !has_deflate || first & 0x30 != 0 {
        return Err(Violation::protocol(
            "RSV bits must be 0 without an extension (RFC 6455 section 5.2)",
        ));
    }
    match first & 0x0f {
        1 | 2 => Ok(()),
        _ => Err(Violation::protocol(
            "RSV1 outside the first frame of a message (RFC 7692 section 6)",
        )),
    }
}

const NON_MINIMAL: Violation =
    Violation::protocol("length is not in its shortest form (RFC 6455 section 5.2)");

/// Bytes of a server's header for a payload of `len` bytes.
#[must_use]
#[inline]
pub const fn server_header_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Writes a server's header at the start of `out`, which has room for it, and returns its length.
#[inline]
pub fn write_server_header(out: &mut [u8], fin: bool, opcode: Opcode, len: usize) -> usize {
    out[0] = if fin { 0x80 } else { 0 } | opcode as u8;
    // The casts cut nothing: each branch is taken only for lengths that fit.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the length was compared with the type's range"
    )]
    match server_header_len(len) {
        2 => {
            out[1] = len as u8;
            2
        }
        4 => {
            out[1] = 126;
            out[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            out[1] = 127;
            out[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    }
}

/// The header of a server's frame whose first byte is `first`, with FIN or without, and its length.
#[must_use]
pub(crate) fn server_header(first: u8, fin: bool, len: usize) -> ([u8; MAX_SERVER_HEADER], usize) {
    let mut header = [0; MAX_SERVER_HEADER];
    let header_len = write_server_header(&mut header, fin, Opcode::Continuation, len);
    header[0] |= first;
    (header, header_len)
}

/// One whole frame as a server sends it.
#[must_use]
pub fn server_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(server_header_len(payload.len()) + payload.len());
    push_server_frame(&mut frame, opcode, payload.len(), [payload].into_iter());
    frame
}

/// Appends one to `out`, whose payload of `len` bytes comes in pieces, and returns the length of its header.
#[inline]
pub fn push_server_frame<'a>(
    out: &mut Vec<u8>,
    opcode: Opcode,
    len: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> usize {
    let mut header = [0; MAX_SERVER_HEADER];
    let header_len = write_server_header(&mut header, true, opcode, len);
    out.reserve(header_len + len);
    out.extend_from_slice(&header[..header_len]);
    pieces.for_each(|piece| out.extend_from_slice(piece));
    header_len
}

/// Whether the first frame in `bytes` is a close frame, of which not all has to be there.
#[must_use]
pub fn begins_close(bytes: &[u8]) -> bool {
    bytes
        .first()
        .is_some_and(|first| first & 0x0F == Opcode::Close as u8)
}

/// The first frame in `bytes`, which are whole frames of a server: its first byte, its payload, and what follows it.
#[must_use]
pub(crate) fn split_server_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[first, short], rest) = bytes.split_first_chunk()?;
    let (len, rest) = match short {
        126 => {
            let (&len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(len)), rest)
        }
        127 => {
            let (&len, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(len)).ok()?, rest)
        }
        len => (usize::from(len), rest),
    };
    let (payload, rest) = rest.split_at_checked(len)?;
    Some((first, payload, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(bytes: &[u8]) -> Option<u16> {
        Header::parse(bytes, false)
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
            let header = Header::parse(bytes, false).unwrap().unwrap();
            assert_eq!(
                (header.len, header.size, header.key),
                (len, size, [1, 2, 3, 4])
            );
            for end in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..end], false), Ok(None), "{end} bytes");
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
        let code = |first: u8| Header::parse(&[first], true).err().map(|error| error.code);
        for first in [0xc1, 0xc2, 0x41, 0x42, 0x81, 0x00] {
            assert_eq!(code(first), None, "{first:#x}");
        }
        for first in [0xc0, 0x40, 0xc8, 0xc9, 0xca, 0xa1, 0x91, 0xe1, 0xc3] {
            assert_eq!(code(first), Some(1002), "{first:#x}");
        }
        let header = Header::parse(&[0xc1, 0x80, 1, 2, 3, 4], true);
        assert!(header.unwrap().unwrap().compressed);
        let header = Header::parse(&[0x81, 0x80, 1, 2, 3, 4], true);
        assert!(!header.unwrap().unwrap().compressed);
    }

    #[test]
    fn server_headers_have_the_shortest_form() {
        for len in [0, 125, 126, 65535, 65536] {
            let frame = server_frame(Opcode::Binary, &vec![7; len]);
            assert_eq!(frame.len(), server_header_len(len) + len);
            assert_eq!(frame[0], 0x82);
        }
        assert_eq!(
            server_frame(Opcode::Text, &[0; 126])[..4],
            [0x81, 126, 0, 126]
        );
        assert_eq!(
            server_frame(Opcode::Text, &vec![0; 65536])[..10],
            [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]
        );
    }
}
