//! Frames (RFC 6455 section 5.2): which there are, and those of a server. A client's are read by the receiver.

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
    /// That of a frame which begins with this byte, if it is none that is reserved.
    #[must_use]
    #[inline]
    pub const fn of(first: u8) -> Option<Self> {
        Some(match first & 0x0f {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether this is a control opcode (section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

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
