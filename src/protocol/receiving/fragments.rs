//! Fragments that lie whole in the window, one right behind the other: they are put together where they lie.

use super::Receiver;
use super::event::Event;
use crate::protocol::account::Account;
use crate::protocol::frame::{self, Header, Opcode};
use crate::protocol::masking;
use crate::protocol::message::Kind;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;

/// Most messages that come in fragments are longer than what the shortest header is for, and hardly any needs the longest.
const LEAST: usize = 126;

/// Bytes of its payload, its key, and whether it is the last.
type Fragment = (usize, [u8; 4], bool);

impl Receiver {
    /// The data frame that has begun, which lies whole in the window, and those of its message right behind it that do: an
    /// event if they end the message, and otherwise they are kept.
    pub(super) fn fragments(
        &mut self,
        window: &mut Window<'_>,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        let before = self.partial_len();
        let start = match before {
            // With room for a header: it can be sent as it lies.
            0 => {
                let header = frame::server_header_len(self.missing.max(LEAST));
                window.read.min(window.write + header)
            }
            _ => window.read,
        };
        let mut end = start;
        let mut frame = (self.missing, self.key, self.fin);
        loop {
            let (len, key, fin) = frame;
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
            let Some((size, next)) = self.continuation(bytes, before + end - start) else {
                break;
            };
            window.read += size;
            frame = next;
        }
        let expected = self.room();
        let kept = self.partial();
        if kept
            .push(&window.bytes[start..end], expected, account)
            .is_err()
        {
            return Err(account.exhausted());
        }
        self.end_frame(0..0)
    }

    /// The length of its header, and that of its payload, key and FIN of the next fragment, if `bytes` have all of it and
    /// nothing is wrong with it: else it goes the long way, where that is told. The message has `len` bytes before it.
    #[inline]
    fn continuation(&self, bytes: &[u8], len: usize) -> Option<(usize, Fragment)> {
        let header = Header::parse(bytes, false).ok()??;
        let more = usize::try_from(header.len).ok()?;
        let is_next = header.opcode == Opcode::Continuation
            && more <= bytes.len() - header.size
            && more <= self.limit.bytes.saturating_sub(len)
            && more <= self.whole_limit();
        is_next.then_some((header.size, (more, header.key, header.fin)))
    }
}
