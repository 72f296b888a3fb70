//! The least of RFC 6455 that an echo can do with: an upgrade without checks, and frames turned into
//! their echoes in place. No fragments, no UTF-8 or reserved-bit checks: a limit, not a server.

use std::io;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const FIN: u8 = 0x80;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a real server would accept at most here.
const MAX_PAYLOAD: usize = 64 << 20;

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The answer to an upgrade request, and the request's length; `None` while it is incomplete.
///
/// # Errors
/// When there is no key in it, or no end.
pub fn upgrade(request: &[u8]) -> io::Result<Option<(usize, Vec<u8>)>> {
    let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if request.len() > 8192 {
            Err(invalid())
        } else {
            Ok(None)
        };
    };
    let text = std::str::from_utf8(&request[..end]).map_err(|_| invalid())?;
    let mut fields = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let key = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let accept = derive_accept_key(key.ok_or_else(invalid)?.1.trim().as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Ok(Some((end + 4, response.into_bytes())))
}

/// What became of a buffer of frames.
#[derive(Debug, Default)]
pub struct Turn {
    /// `buf[..out]` is the reply.
    pub out: usize,
    /// `buf[used..]` is the beginning of a frame.
    pub used: usize,
    /// How many bytes that frame has in all (0 = not known yet).
    pub need: usize,
    /// The reply ends with a close frame.
    pub close: bool,
}

/// Moves `n` bytes down from `from` to `to`, unmasked.
#[inline]
fn unmask_to(buf: &mut [u8], from: usize, to: usize, n: usize, mask: [u8; 4]) {
    let m = u32::from_ne_bytes(mask);
    let m8 = u64::from(m) << 32 | u64::from(m);
    assert!(to <= from && from + n <= buf.len());
    let p = buf.as_mut_ptr();
    // SAFETY: both ranges lie in `buf` (asserted). The destination never lies after the source, and each
    // step reads before it writes, so a forward pass sees only bytes that are still unread.
    unsafe {
        let mut i = 0;
        while i + 32 <= n {
            let a = p.add(from + i).cast::<[u64; 4]>().read_unaligned();
            let b = [a[0] ^ m8, a[1] ^ m8, a[2] ^ m8, a[3] ^ m8];
            p.add(to + i).cast::<[u64; 4]>().write_unaligned(b);
            i += 32;
        }
        while i + 8 <= n {
            let a = p.add(from + i).cast::<u64>().read_unaligned();
            p.add(to + i).cast::<u64>().write_unaligned(a ^ m8);
            i += 8;
        }
        while i < n {
            *p.add(to + i) = *p.add(from + i) ^ mask[i & 3];
            i += 1;
        }
    }
}

/// Header length without the mask, and payload length; `None` while they are incomplete.
#[inline]
fn lengths(b: &[u8]) -> Option<(usize, usize)> {
    match (b.get(1)? & 0x7f, b) {
        (126, [_, _, x, y, ..]) => Some((4, u16::from_be_bytes([*x, *y]).into())),
        (127, [_, _, a, b, c, d, e, f, g, h, ..]) => {
            let n = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            Some((10, usize::try_from(n).unwrap_or(usize::MAX)))
        }
        (126 | 127, _) => None,
        (n, _) => Some((2, n.into())),
    }
}

/// Turns client frames into their echoes within the buffer: a server header is 4 bytes shorter
/// than the client's, so the reply always fits before what is yet to be read.
///
/// # Errors
/// When a frame is not masked, or too long.
#[inline]
pub fn echo_in_place(buf: &mut [u8]) -> io::Result<Turn> {
    let mut turn = Turn::default();
    let (mut at, mut out) = (0, 0);
    loop {
        let frame = &buf[at..];
        let Some((header, n)) = lengths(frame) else {
            break;
        };
        let (first, second) = (frame[0], frame[1]);
        if second & 0x80 == 0 || n > MAX_PAYLOAD {
            return Err(invalid());
        }
        let total = header + 4 + n;
        if frame.len() < total {
            turn.need = total;
            break;
        }
        let opcode = first & 0x0f;
        if opcode != PONG {
            let mask = [
                frame[header],
                frame[header + 1],
                frame[header + 2],
                frame[header + 3],
            ];
            // A short header has no more than its two bytes, so the usual frame skips the call.
            if header > 2 {
                buf.copy_within(at + 2..at + header, out + 2);
            }
            buf[out] = if opcode == PING { FIN | PONG } else { first };
            buf[out + 1] = second & 0x7f;
            unmask_to(buf, at + header + 4, out + header, n, mask);
            out += header + n;
        }
        at += total;
        if opcode == CLOSE {
            turn.close = true;
            break;
        }
    }
    (turn.out, turn.used) = (out, at);
    Ok(turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_frames_are_echoed_and_a_part_is_left() {
        let mut buf = vec![0x82, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3];
        buf.extend_from_slice(&[0x81, 0x81, 9, 9, 9, 9, b'x' ^ 9]);
        buf.extend_from_slice(&[0x82, 0x85, 1, 1]);
        let turn = echo_in_place(&mut buf).unwrap();
        assert_eq!(&buf[..turn.out], b"\x82\x03abc\x81\x01x");
        assert_eq!((turn.used, turn.need, turn.close), (16, 11, false));
    }

    #[test]
    fn long_frames_keep_their_lengths() {
        for n in [126usize, 65535, 65536, 100_001] {
            let mut buf = vec![0x82];
            if n < 65536 {
                buf.push(0xfe);
                buf.extend_from_slice(&(n as u16).to_be_bytes());
            } else {
                buf.push(0xff);
                buf.extend_from_slice(&(n as u64).to_be_bytes());
            }
            let header = buf.clone();
            buf.extend_from_slice(&[5, 6, 7, 8]);
            buf.extend((0..n).map(|i| [5, 6, 7, 8][i & 3] ^ (i % 251) as u8));
            let turn = echo_in_place(&mut buf).unwrap();
            assert_eq!(
                (turn.out, turn.used),
                (header.len() + n, header.len() + 4 + n)
            );
            assert_eq!(buf[1], header[1] & 0x7f);
            assert_eq!(buf[2..header.len()], header[2..]);
            assert!((0..n).all(|i| buf[header.len() + i] == (i % 251) as u8));
        }
    }
}
