//! Fragments that lie whole in the window, one right behind the other: they are put together where they lie.

use super::Receiver;
use super::event::Event;
use crate::protocol::account::Account;
use crate::protocol::frame;
use crate::protocol::masking;
use crate::protocol::message::Kind;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;

/// Most messages that come in fragments are longer than what the shortest header is for, and hardly any needs the longest.
const LEAST: usize = 126;

impl Receiver {
    /// The data frame that has begun, which lies whole in the window, and those of its message right behind it that do: an
    /// event if they end the message, and otherwise they are kept.
    pub(super) fn fragments(
        &mut self,
        window: &mut Window<'_>,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        let start = match self.partial_len() {
            // With room for a header: it can be sent as it lies.
            0 => {
                let header = frame::server_header_len(self.missing.max(LEAST));
                window.read.min(window.write + header)
            }
            _ => window.read,
        };
        let mut end = start;
        let room = self.room();
        let (mut len, mut key, mut fin) = (self.missing, self.key, self.fin);
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
                return self.end_frame(start..end);
            }
            let bytes = &window.bytes[window.read..];
            let most = room.saturating_sub(end - start);
            let Some((next, more)) = self.continuation(bytes, most) else {
                break;
            };
            window.read += next.size;
            (len, key, fin) = (more, next.key, next.fin);
        }
        let piece = &window.bytes[start..end];
        if self.partial().push(piece, room, account).is_err() {
            return Err(account.exhausted());
        }
        self.end_frame(0..0)
    }
}
