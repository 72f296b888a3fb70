//! The client's opening handshake, and the blocking calls that need no event loop.

use crate::messages::{
    CLOSE, FIN, Messages, PING, PONG, Rng, parse_server_header, push_client_frame,
};
use crate::sys;

fn base64(data: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for c in data.chunks(3) {
        let byte = |i: usize| u32::from(c.get(i).copied().unwrap_or(0));
        let v = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = ALPHABET[(v >> (18 - 6 * i)) as usize & 63] as char;
            out.push(if i <= c.len() { digit } else { '=' });
        }
    }
    out
}

/// Of our own, as base64 is: a generator without dependencies builds at once and everywhere.
fn sha1(data: &[u8]) -> [u8; 20] {
    let mut h: [u32; 5] = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0];
    let mut padded = data.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - data.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let end = padded.len();
    padded[end - 8..].copy_from_slice(&((data.len() as u64) * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w = [0u32; 80];
        for (word, c) in w.iter_mut().zip(block.chunks(4)) {
            *word = u32::from_be_bytes([c[0], c[1], c[2], c[3]]);
        }
        for i in 16..80 {
            w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = h;
        for (i, word) in w.iter().enumerate() {
            let (f, k) = match i / 20 {
                0 => ((b & c) | (!b & d), 0x5A827999),
                1 => (b ^ c ^ d, 0x6ED9EBA1),
                2 => ((b & c) | (b & d) | (c & d), 0x8F1BBCDC),
                _ => (b ^ c ^ d, 0xCA62C1D6u32),
            };
            let t = a
                .rotate_left(5)
                .wrapping_add(f)
                .wrapping_add(e)
                .wrapping_add(k);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, t.wrapping_add(*word));
        }
        for (x, y) in h.iter_mut().zip([a, b, c, d, e]) {
            *x = x.wrapping_add(y);
        }
    }
    let mut out = [0u8; 20];
    for (bytes, word) in out.chunks_mut(4).zip(h) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn accept_for(key: &str) -> String {
    base64(&sha1(
        format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
    ))
}

/// One upgrade request and the answer it wants.
pub(crate) struct Upgrade {
    pub(crate) request: Vec<u8>,
    accept: String,
}

impl Upgrade {
    pub(crate) fn new(rng: &mut Rng, port: u16) -> Self {
        let key = base64(&[rng.next().to_le_bytes(), rng.next().to_le_bytes()].concat());
        let request = format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        Self {
            request: request.into_bytes(),
            accept: accept_for(&key),
        }
    }

    /// `Ok(None)`: more bytes are needed. `Ok(Some(n))`: upgraded, and n bytes were the response.
    pub(crate) fn check(&self, received: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = received.windows(4).position(|w| w == b"\r\n\r\n") else {
            return if received.len() > 16384 {
                Err("response is too long".into())
            } else {
                Ok(None)
            };
        };
        let head = std::str::from_utf8(&received[..end]).map_err(|_| "response is not text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or("");
        if !status.starts_with("HTTP/1.1 101") {
            return Err(format!("not upgraded: {status}"));
        }
        let accepted = lines.filter_map(|line| line.split_once(':')).any(|(k, v)| {
            k.eq_ignore_ascii_case("sec-websocket-accept") && v.trim() == self.accept
        });
        if accepted {
            Ok(Some(end + 4))
        } else {
            Err("wrong Sec-WebSocket-Accept".into())
        }
    }
}

/// Opens and upgrades a connection, blocking. Returns the socket and what came after the response.
pub(crate) fn open(upgrade: &Upgrade, port: u16, source: u8) -> Result<(i32, Vec<u8>), String> {
    let fd = open_tcp(port, source)?;
    shake(fd, upgrade)
        .map(|rest| (fd, rest))
        .inspect_err(|_| sys::close(fd))
}

/// Opens a blocking connection that waits at most ten seconds.
pub(crate) fn open_tcp(port: u16, source: u8) -> Result<i32, String> {
    let fd = sys::connect(port, source, false).map_err(|e| format!("connect: {e}"))?;
    sys::set_timeouts(fd, 10);
    Ok(fd)
}

fn shake(fd: i32, upgrade: &Upgrade) -> Result<Vec<u8>, String> {
    sys::send_all(fd, &upgrade.request).map_err(|e| format!("handshake: {e}"))?;
    let mut received = Vec::new();
    let mut part = [0u8; 4096];
    loop {
        match sys::recv(fd, &mut part).map_err(|e| format!("handshake: {e}"))? {
            Some(0) => return Err("handshake: closed".into()),
            Some(n) => received.extend_from_slice(&part[..n]),
            None => return Err("handshake: timed out".into()),
        }
        if let Some(n) = upgrade.check(&received)? {
            return Ok(received.split_off(n));
        }
    }
}

/// Sends a message and waits for its echo, blocking; answers pings on the way.
pub(crate) fn echo_once(
    fd: i32,
    sent: &Messages,
    index: usize,
    carry: &mut Vec<u8>,
) -> Result<(), String> {
    let index = index % sent.len();
    let io = |e: std::io::Error| format!("echo: {e}");
    sys::send_all(fd, sent.frame(index)).map_err(io)?;
    let mut part = vec![0u8; 65536];
    loop {
        while let Some((header, n)) = parse_server_header(carry)? {
            let total = header + n as usize;
            if carry.len() < total {
                break;
            }
            let rest = carry.split_off(total);
            let frame = std::mem::replace(carry, rest);
            let body = &frame[header..];
            match frame[0] & 0x0f {
                PING => {
                    let mut pong = vec![];
                    push_client_frame(FIN | PONG, [1, 2, 3, 4], body, &mut pong);
                    sys::send_all(fd, &pong).map_err(io)?;
                }
                PONG => {}
                CLOSE => return Err(format!("closed by the server: {body:?}")),
                _ if frame[0] == FIN | sent.opcode && body == sent.payloads[index] => return Ok(()),
                _ => return Err("wrong echo".into()),
            }
        }
        match sys::recv(fd, &mut part).map_err(io)? {
            Some(0) => return Err("echo: connection closed".into()),
            Some(n) => carry.extend_from_slice(&part[..n]),
            None => return Err("echo: timed out".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_has_the_accept_value_of_the_rfc() {
        assert_eq!(
            accept_for("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn sha1_of_a_full_block_is_right() {
        let digest = sha1(&[b'a'; 64]).map(|b| format!("{b:02x}")).concat();
        assert_eq!(digest, "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    }
}
