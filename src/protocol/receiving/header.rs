//! The headers of a client's frames, cut as they may be, and the order in which frames may follow each other.

use super::Receiver;
use crate::protocol::frame::{Header, MAX_CLIENT_HEADER, Opcode};
use crate::protocol::message::Kind;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;

impl Receiver {
    /// The header at the window's read position, with what the last window had of it.
    pub(super) fn header(&mut self, window: &mut Window<'_>) -> Result<Option<Header>, Violation> {
        let bytes = &window.bytes[window.read..];
        if !self.has_cut() {
            let header = Header::parse(bytes, self.deflate.is_some())?;
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
        let header = Header::parse(cut, self.deflate.is_some())?;
        match &header {
            Some(header) => {
                window.read += header.size - before;
                *cut = Vec::new();
            }
            None => window.read = window.bytes.len(),
        }
        Ok(header)
    }

    /// Checks a header against what came before it and enters its frame. Short messages come past it (`short.rs`).
    pub(super) fn begin(&mut self, header: Header) -> Result<(), Violation> {
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
            if let Some(frame) = &self.frame_limit
                && usize::try_from(header.len).map_or(true, |len| len > frame.bytes)
            {
                return Err(Violation::frame_too_big(**frame));
            }
            // Compressed, the limit is for what comes of it; but that much can't come of nothing.
            let room = if self.compressed {
                usize::MAX
            } else {
                self.room()
            };
            if usize::try_from(header.len).map_or(true, |len| len > room) {
                return Err(Violation::message_too_big(*self.limit));
            }
        }
        // Within `usize`: a data frame was just compared with the limit, a control frame has at most 125 bytes.
        self.missing = usize::try_from(header.len).unwrap_or(usize::MAX);
        self.key = header.key;
        self.fin = header.fin;
        self.opcode = header.opcode;
        self.inside = true;
        Ok(())
    }
}
