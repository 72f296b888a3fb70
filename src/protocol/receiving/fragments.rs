//! Fragments that lie whole in the window, one right behind the other: they are put together where they lie.

use super::Receiver;
use super::event::Event;
use crate::protocol::account::Account;
use crate::protocol::frame::{self, MAX_SERVER_HEADER};
use crate::protocol::masking;
use crate::protocol::message::Kind;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;
use std::ops::Range;

/// Most messages that come in fragments are longer than what the shortest header is for, and hardly any needs the longest.
const LEAST: usize = 126;
/// Payload for which the longest one is needed.
const LONG: usize = 1 << 16;

impl Receiver {
    /// The data frame that has begun, which lies whole in the window, and those of its message right behind it that do: an
    /// event if they end the message, and otherwise they are kept.
    pub(super) fn fragments(
        &mut self,
        window: &mut Window<'_>,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        let room = self.room();
        let (mut start, most) = match self.partial_len() {
            // With room for a header: it can be sent as it lies.
            0 => {
                let header = frame::server_header_len(self.missing.max(LEAST));
                let most = match header {
                    MAX_SERVER_HEADER => room,
                    _ => room.min(LONG - 1),
                };
                (window.read.min(window.write + header), most)
            }
            _ => (window.read, room),
        };
        let mut end = self.join(window, start, start.saturating_add(most), account)?;
        if !self.fin
            && most < room
            && let Some(to) = self.go_on_long(window, start..end, room)
        {
            (start, end) = (to, to + end - start);
            if self.notes_frames {
                self.note_frame(self.missing, false, account)?;
            }
            end = self.join(window, end, start.saturating_add(room), account)?;
        }
        if self.fin {
            return self.end_frame(start..end);
        }
        let piece = &window.bytes[start..end];
        if self.partial().push(piece, room, account).is_err() {
            return Err(account.exhausted());
        }
        self.end_frame(0..0)
    }

    /// Moves the payload at the window's read position to `end`, and behind it that of each fragment that follows, as long
    /// as it does not end after `most`. Returns where they end.
    fn join(
        &mut self,
        window: &mut Window<'_>,
        mut end: usize,
        most: usize,
        account: &mut Account,
    ) -> Result<usize, Violation> {
        let (mut len, mut key, mut fin) = (self.missing, self.key, self.fin);
        let is_noted = self.notes_frames;
        loop {
            masking::unmask(window.bytes, window.read, end, len, key);
            window.read += len;
            let piece = end..end + len;
            end = piece.end;
            if self.kind == Some(Kind::Text) {
                let piece = &window.bytes[piece];
                self.utf8.push(piece).or(Err(Violation::TEXT))?;
            }
            self.fin = fin;
            if fin {
                return Ok(end);
            }
            let bytes = &window.bytes[window.read..];
            let Some((next, more)) = self.continuation(bytes, most - end) else {
                return Ok(end);
            };
            window.read += next.size;
            (len, key, fin) = (more, next.key, next.fin);
            if is_noted {
                self.note_frame(len, false, account)?;
            }
        }
    }

    /// Enters the next fragment, if it is one and makes the message longer than what there is room for a header for. It has a
    /// header of its own, which nobody needs any more: what has `begun` moves there, to where this tells.
    #[cold]
    fn go_on_long(
        &mut self,
        window: &mut Window<'_>,
        begun: Range<usize>,
        room: usize,
    ) -> Option<usize> {
        let bytes = &window.bytes[window.read..];
        let (next, len) = self.continuation(bytes, room.saturating_sub(begun.len()))?;
        (self.missing, self.key, self.fin) = (len, next.key, next.fin);
        window.read += next.size;
        let to = (window.write + MAX_SERVER_HEADER).min(window.read - begun.len());
        window.bytes.copy_within(begun, to);
        Some(to)
    }
}
