//! The client's opening handshake, and the blocking calls that need no event loop.

use crate::deflate::Offer;
use crate::messages::{
    CLOSE, FIN, Messages, PING, PONG, Rng, parse_server_header, push_client_frame,
};
use crate::options::Options;
use crate::stream::{Stream, tls_config};
use crate::sys;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::ClientConfig;
use std::sync::Arc;

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

fn accept_for(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

/// One upgrade request and the answer it wants.
pub(crate) struct Upgrade {
    pub(crate) request: Vec<u8>,
    accept: String,
    offer: Option<Offer>,
}

impl Upgrade {
    pub(crate) fn new(rng: &mut Rng, o: &Options) -> Self {
        let key = base64(&[rng.next().to_le_bytes(), rng.next().to_le_bytes()].concat());
        let offer = o.deflate.map_or(String::new(), |offer| {
            format!("Sec-WebSocket-Extensions: {}\r\n", offer.header())
        });
        let port = o.port;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
        );
        Self {
            request: request.into_bytes(),
            accept: accept_for(&key),
            offer: o.deflate,
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
        let (mut accepted, mut granted) = (None, None);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            match name.to_ascii_lowercase().as_str() {
                "sec-websocket-accept" => accepted = Some(value.trim()),
                "sec-websocket-extensions" => granted = Some(value.trim()),
                _ => {}
            }
        }
        if accepted != Some(&self.accept) {
            return Err("wrong Sec-WebSocket-Accept".into());
        }
        match (self.offer, granted) {
            (None, None) => Ok(Some(end + 4)),
            (Some(offer), granted) => offer
                .check(granted.unwrap_or("no extension"))
                .map(|()| Some(end + 4)),
            (None, Some(_)) => Err("an extension that was not offered".into()),
        }
    }
}

/// Opens connections, blocking.
pub(crate) struct Door<'a> {
    o: &'a Options,
    tls: Option<Arc<ClientConfig>>,
    rng: Rng,
}

impl<'a> Door<'a> {
    pub(crate) fn new(o: &'a Options) -> Self {
        let tls = o.tls.then(tls_config);
        let rng = Rng::new(0xC0FFEE);
        Self { o, tls, rng }
    }

    /// A connection that has been upgraded, if it is not for plain TCP, and what came after the response. Waits at most
    /// ten seconds.
    pub(crate) fn open(&mut self, source: u8) -> Result<(Stream, Vec<u8>), String> {
        let fd = sys::connect(self.o.port, source, false).map_err(|e| format!("connect: {e}"))?;
        sys::set_timeouts(fd, 10);
        let mut stream = match &self.tls {
            Some(config) => Stream::tls(fd, config)?,
            None => Stream::plain(fd),
        };
        if self.o.tcp {
            return Ok((stream, vec![]));
        }
        let upgrade = Upgrade::new(&mut self.rng, self.o);
        let rest = shake(&mut stream, &upgrade)?;
        Ok((stream, rest))
    }
}

fn shake(stream: &mut Stream, upgrade: &Upgrade) -> Result<Vec<u8>, String> {
    let io = |e: std::io::Error| format!("handshake: {e}");
    stream.send_all(&upgrade.request).map_err(io)?;
    let mut received = Vec::new();
    let mut part = [0u8; 4096];
    loop {
        match stream.recv(&mut part).map_err(io)? {
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
    stream: &mut Stream,
    sent: &Messages,
    index: usize,
    carry: &mut Vec<u8>,
) -> Result<(), String> {
    let index = index % sent.len();
    let io = |e: std::io::Error| format!("echo: {e}");
    stream.send_all(sent.frame(index)).map_err(io)?;
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
                    stream.send_all(&pong).map_err(io)?;
                }
                PONG => {}
                CLOSE => return Err(format!("closed by the server: {body:?}")),
                _ if frame == sent.echo(index as u64).0 => return Ok(()),
                _ => return Err("wrong echo".into()),
            }
        }
        match stream.recv(&mut part).map_err(io)? {
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
}
