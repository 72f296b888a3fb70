//! What a client hears: the server's frames, which have to be right in every bit.

use super::answers::Message;
use crate::protocol::close;
use crate::protocol::frame::server_header_len;
use crate::protocol::message::Kind;
use crate::server::simulation::codec::{COMPRESSED, Codec};
use crate::server::simulation::{CLOSE, PING, PONG, TEXT};

/// The server's bytes, and what they say.
#[derive(Default)]
pub(super) struct Hearing {
    bytes: Vec<u8>,
    /// The status of the response, when that has come.
    pub(super) status: Option<String>,
    pub(super) messages: Vec<Message>,
    pub(super) pongs: Vec<Vec<u8>>,
    /// Code of the close frame, 1005 if it has none.
    pub(super) close: Option<u16>,
}

impl Hearing {
    /// Takes what has come; `codec` is there if compression was agreed.
    pub(super) fn hear(&mut self, bytes: &[u8], codec: &mut Option<Codec>) {
        self.bytes.extend(bytes);
        if self.status.is_none() {
            let head = self.bytes.windows(4).position(|end| end == b"\r\n\r\n");
            let Some(len) = head.map(|at| at + 4) else {
                return;
            };
            let head = String::from_utf8(self.bytes.drain(..len).collect()).unwrap();
            self.status = head.split(' ').nth(1).map(ToOwned::to_owned);
        }
        if self.is_upgraded() {
            while self.frame(codec) {}
        }
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.status.as_deref() == Some("101")
    }

    /// Whether all that has come was a frame's, to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes.is_empty()
    }

    fn frame(&mut self, codec: &mut Option<Codec>) -> bool {
        let (start, len) = match *self.bytes {
            [_, len @ 0..126, ..] => (2, usize::from(len)),
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, 127, 0, 0, 0, 0, a, b, c, d, ..] => {
                (10, u32::from_be_bytes([a, b, c, d]).try_into().unwrap())
            }
            [_, 0..=127, ..] | [] | [_] => return false,
            _ => panic!("a masked frame"),
        };
        assert_eq!(start, server_header_len(len), "a length that is too long");
        if self.bytes.len() < start + len {
            return false;
        }
        assert!(self.close.is_none(), "a frame after the close frame");
        let mut frame: Vec<u8> = self.bytes.drain(..start + len).collect();
        let (first, payload) = (frame[0], frame.split_off(start));
        match first {
            CLOSE => {
                let code = close::parse(&payload).unwrap().map(|(code, _)| code);
                self.close = Some(code.unwrap_or(close::NO_STATUS));
            }
            PING | PONG => {
                assert!(payload.len() <= 125, "a control frame that is too long");
                if first == PONG {
                    self.pongs.push(payload);
                }
            }
            _ => {
                let codec = codec.as_mut().filter(|_| first & COMPRESSED != 0);
                let (first, payload) = match codec {
                    Some(codec) => {
                        let (first, payload) = codec.message((first, payload));
                        (first & !COMPRESSED, payload)
                    }
                    None => (first, payload),
                };
                assert!(matches!(first, 0x81 | 0x82), "no frame: {first:#x}");
                let is_text = first == TEXT;
                assert!(!is_text || std::str::from_utf8(&payload).is_ok());
                let kind = if is_text { Kind::Text } else { Kind::Binary };
                self.messages.push((kind, payload));
            }
        }
        true
    }
}
