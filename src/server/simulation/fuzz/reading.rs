//! A client's bytes read a second time, all at once and as simply as possible: what the server has to make of them.

use crate::protocol::close;
use crate::protocol::message::Kind;
use std::collections::BTreeMap;

/// What a client has said.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) messages: Vec<(Kind, Vec<u8>)>,
    pub(super) pings: Vec<Vec<u8>>,
    pub(super) end: End,
}

/// Where that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Between two frames.
    Between,
    /// In the middle of a frame, which may be wrong already.
    Within,
    /// With a close frame, which has this code if it has one.
    Close(Option<u16>),
    /// With what a client may not send.
    Violation,
    /// With what only an inflater could read.
    Unknown,
}

/// What compressed messages are, by where their frames begin; `None`: nothing may be compressed.
pub(super) type Plain = Option<BTreeMap<usize, Vec<u8>>>;

/// A message that is not complete.
#[derive(Debug)]
struct Parts {
    kind: Kind,
    bytes: Vec<u8>,
    plain: Option<Vec<u8>>,
}

/// Reads `wire`, whose messages may have `limit` bytes.
pub(super) fn read(wire: &[u8], limit: usize, plain: &Plain) -> Reading {
    let mut reading = Reading {
        messages: Vec::new(),
        pings: Vec::new(),
        end: End::Between,
    };
    let (mut at, mut parts) = (0, None);
    loop {
        match reading.frame(wire, at, &mut parts, limit, plain) {
            Ok(len) => at += len,
            Err(end) => {
                reading.end = end;
                return reading;
            }
        }
    }
}

impl Reading {
    /// Reads the frame at `at` and returns its length.
    fn frame(
        &mut self,
        wire: &[u8],
        at: usize,
        parts: &mut Option<Parts>,
        limit: usize,
        plain: &Plain,
    ) -> Result<usize, End> {
        let bytes = &wire[at..];
        let [first, second, ..] = *bytes else {
            return Err(if bytes.is_empty() {
                End::Between
            } else {
                End::Within
            });
        };
        // It is judged when it is whole.
        let (start, len) = header(bytes)?;
        let (opcode, is_last) = (first & 0x0f, first & 0x80 != 0);
        let (is_control, is_compressed) = (opcode & 8 != 0, first & 0x40 != 0);
        let is_good = match opcode {
            0 => parts.is_some(),
            1 | 2 => parts.is_none(),
            8..=10 => is_last && second & 0x7f <= 125,
            _ => false,
        };
        let may_compress = plain.is_some() && matches!(opcode, 1 | 2);
        if !is_good || first & 0x30 != 0 || second & 0x80 == 0 || is_compressed && !may_compress {
            return Err(End::Violation);
        }
        if !is_control {
            let before = parts.as_ref().map_or(0, |parts| parts.bytes.len());
            let is_plain =
                !is_compressed && parts.as_ref().is_none_or(|parts| parts.plain.is_none());
            if len > limit as u64 || before as u64 + len > limit as u64 {
                return Err(if is_plain {
                    End::Violation
                } else {
                    End::Unknown
                });
            }
        }
        let len = usize::try_from(len).unwrap();
        let Some(masked) = bytes.get(start..start + len) else {
            return Err(End::Within);
        };
        let key = bytes[start - 4..start].iter().cycle();
        let payload: Vec<u8> = masked
            .iter()
            .zip(key)
            .map(|(byte, key)| byte ^ key)
            .collect();
        match opcode {
            8 => {
                return Err(match close::parse(&payload) {
                    Ok(said) => End::Close(said.map(|(code, _)| code)),
                    Err(_) => End::Violation,
                });
            }
            9 => self.pings.push(payload),
            10 => {}
            _ => {
                let mut whole = parts.take().unwrap_or(Parts {
                    kind: if opcode == 1 {
                        Kind::Text
                    } else {
                        Kind::Binary
                    },
                    bytes: Vec::new(),
                    plain: None,
                });
                if is_compressed {
                    let known = plain.as_ref().and_then(|plain| plain.get(&at));
                    whole.plain = Some(known.ok_or(End::Unknown)?.clone());
                }
                whole.bytes.extend(payload);
                *parts = self.message(whole, is_last, limit)?;
            }
        }
        Ok(start + len)
    }

    /// A further part of a message has come.
    fn message(&mut self, parts: Parts, is_last: bool, limit: usize) -> Result<Option<Parts>, End> {
        let known = parts.plain.as_ref().unwrap_or(&parts.bytes);
        if known.len() > limit {
            return Err(End::Violation);
        }
        if parts.kind == Kind::Text
            && let Err(error) = std::str::from_utf8(known)
            && (is_last || error.error_len().is_some())
        {
            return Err(End::Violation);
        }
        if !is_last {
            return Ok(Some(parts));
        }
        let Parts { kind, bytes, plain } = parts;
        self.messages.push((kind, plain.unwrap_or(bytes)));
        Ok(None)
    }
}

/// Lengths of the header, with the key, and of the payload.
fn header(bytes: &[u8]) -> Result<(usize, u64), End> {
    let (start, len) = match bytes[1] & 0x7f {
        126 => {
            let len = bytes.get(2..4).ok_or(End::Within)?;
            let len = u64::from(u16::from_be_bytes(len.try_into().unwrap()));
            (8, Some(len).filter(|len| *len > 125))
        }
        127 => {
            let len = bytes.get(2..10).ok_or(End::Within)?;
            let len = u64::from_be_bytes(len.try_into().unwrap());
            (14, Some(len).filter(|len| *len > 0xffff && len >> 63 == 0))
        }
        len => (6, Some(len.into())),
    };
    let len = len.ok_or(End::Violation)?;
    if bytes.len() < start {
        return Err(End::Within);
    }
    Ok((start, len))
}
