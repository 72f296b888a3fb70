//! The headers of a client's frames, cut as they may be: whether they are well formed, and whether this frame may come, by
//! what was agreed ([`Terms`]) and what came before it. Short messages come past it (`short.rs`).

use super::Receiver;
use crate::protocol::account::Account;
use crate::protocol::frame::{MAX_CLIENT_HEADER, MAX_CONTROL, Opcode, RSV1};
use crate::protocol::message::Kind;
use crate::protocol::terms::Terms;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;

/// A client's frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The last frame of its message.
    pub(super) fin: bool,
    /// RSV1: the first frame of a compressed message (RFC 7692 section 6).
    pub(super) compressed: bool,
    /// What the payload is.
    pub(super) opcode: Opcode,
    /// Payload bytes.
    pub(super) len: u64,
    /// Masking key.
    pub(super) key: [u8; 4],
    /// Bytes of the header itself.
    pub(super) size: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` while it is incomplete.
    ///
    /// # Errors
    /// 1002 at the first byte that breaks a rule, even if the header is incomplete.
    #[expect(
        clippy::inline_always,
        reason = "each of a hundred fragments of a read costs a quarter more where it is called"
    )]
    #[inline(always)]
    pub(super) fn parse(bytes: &[u8], terms: &Terms) -> Result<Option<Self>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            check_rsv(first, terms)?;
        }
        let fin = first & 0x80 != 0;
        let Some(opcode) = Opcode::of(first) else {
            return Err(Violation::protocol(
                "reserved opcode (RFC 6455 section 5.2)",
            ));
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
fn check_rsv(first: u8, terms: &Terms) -> Result<(), Violation> {
    if terms.deflate.is_none() || first & 0x30 != 0 {
        return Err(Violation::protocol(
            "RSV bits must be 0 without an extension (RFC 6455 section 5.2)",
        ));
    }
    match Opcode::of(first).and_then(Kind::of) {
        Some(_) => Ok(()),
        None => Err(Violation::protocol(
            "RSV1 outside the first frame of a message (RFC 7692 section 6)",
        )),
    }
}

const NON_MINIMAL: Violation =
    Violation::protocol("length is not in its shortest form (RFC 6455 section 5.2)");

impl Receiver {
    /// The header at the window's read position, with what the last window had of it.
    pub(super) fn header(&mut self, window: &mut Window<'_>) -> Result<Option<Header>, Violation> {
        let bytes = &window.bytes[window.read..];
        if !self.has_cut() {
            let header = Header::parse(bytes, &self.terms)?;
            if let Some(header) = &header {
                window.read += header.size;
            } else {
                let cut = &mut self.kept.get_or_insert_default().cut;
                cut.extend_from_slice(bytes);
                window.read = window.bytes.len();
            }
            return Ok(header);
        }
        let cut = &mut self.kept.get_or_insert_default().cut;
        let before = cut.len();
        cut.extend_from_slice(&bytes[..bytes.len().min(MAX_CLIENT_HEADER - before)]);
        let header = Header::parse(cut, &self.terms)?;
        match &header {
            Some(header) => {
                window.read += header.size - before;
                *cut = Vec::new();
            }
            None => window.read = window.bytes.len(),
        }
        Ok(header)
    }

    /// Checks a header against what came before it and enters its frame.
    pub(super) fn begin(&mut self, header: Header, account: &mut Account) -> Result<(), Violation> {
        if !header.opcode.is_control() {
            match (Kind::of(header.opcode), self.kind) {
                (None, None) => {
                    return Err(Violation::protocol(
                        "continuation without a message (RFC 6455 section 5.4)",
                    ));
                }
                (None, Some(_)) => {}
                (Some(_), Some(_)) => {
                    return Err(Violation::protocol(
                        "data frame inside a fragmented message (RFC 6455 section 5.4)",
                    ));
                }
                (Some(kind), None) => self.kind = Some(kind),
            }
            if header.opcode != Opcode::Continuation {
                self.compressed = header.compressed;
            }
            if let Some(frame) = self.terms.frame
                && usize::try_from(header.len).map_or(true, |len| len > frame.bytes)
            {
                return Err(Violation::frame_too_big(frame));
            }
            // Compressed, the limit is for what comes of it; but that much can't come of nothing.
            let room = if self.compressed {
                usize::MAX
            } else {
                self.room()
            };
            if usize::try_from(header.len).map_or(true, |len| len > room) {
                return Err(Violation::message_too_big(self.terms.message));
            }
        }
        // Within `usize`: a data frame was just compared with the limit, a control frame has at most 125 bytes.
        self.missing = usize::try_from(header.len).unwrap_or(usize::MAX);
        self.key = header.key;
        self.fin = header.fin;
        self.opcode = header.opcode;
        self.inside = true;
        let is_whole = header.fin && header.opcode != Opcode::Continuation;
        let is_noted = self.notes_frames && !self.compressed && !is_whole;
        if is_noted && !header.opcode.is_control() {
            let is_first = header.opcode != Opcode::Continuation;
            self.note_frame(self.missing, is_first, account)?;
        }
        Ok(())
    }

    /// The next fragment of a plain message and the length of its payload, if `bytes` have all of it and nothing is wrong
    /// with it: else it goes the long way, where that is told. The message takes `most` bytes more.
    #[expect(clippy::inline_always, reason = "as for the header")]
    #[inline(always)]
    pub(super) fn continuation(&self, bytes: &[u8], most: usize) -> Option<(Header, usize)> {
        let header = Header::parse(bytes, &self.terms).ok()??;
        let len = usize::try_from(header.len).ok()?;
        let is_next = header.opcode == Opcode::Continuation
            && len <= bytes.len() - header.size
            && len <= most
            && len <= self.terms.whole();
        is_next.then_some((header, len))
    }
}
