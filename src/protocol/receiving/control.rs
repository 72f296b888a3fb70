//! Control frames, which may come between the fragments of a message.

use super::Receiver;
use super::event::{Control, Event};
use crate::protocol::close;
use crate::protocol::frame::Opcode;
use crate::protocol::masking;
use crate::protocol::utf8::Utf8;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;

impl Receiver {
    /// Payload of a control frame.
    pub(super) fn control_payload(
        &mut self,
        window: &mut Window<'_>,
    ) -> Result<Option<Event>, Violation> {
        let from = window.read;
        let len = self.missing.min(window.bytes.len() - from);
        masking::unmask(window.bytes, from, from, len, self.key);
        self.key = masking::rotate(self.key, len);
        window.read += len;
        self.missing -= len;
        let piece = &window.bytes[from..from + len];
        if self.missing > 0 {
            let cut = &mut self.kept.get_or_insert_default().cut;
            cut.extend_from_slice(piece);
            close_so_far(self.opcode, cut)?;
            return Ok(None);
        }
        let kept = self.kept.as_mut();
        let cut = kept.map_or_else(Vec::new, |kept| std::mem::take(&mut kept.cut));
        // Boxed, so that the event of a message stays small.
        let control = Box::new(Control::new(&cut, piece));
        self.inside = false;
        Ok(Some(match self.opcode {
            Opcode::Ping => Event::Ping(control),
            Opcode::Pong => Event::Pong(control),
            Opcode::Close => {
                close::parse(control.payload())?;
                Event::Close(control)
            }
            data => {
                debug_assert!(!data.is_control(), "{data:?} is not told");
                return Ok(None);
            }
        }))
    }
}

/// Fails a close frame whose payload is still coming at its first bad byte.
fn close_so_far(opcode: Opcode, cut: &[u8]) -> Result<(), Violation> {
    if opcode == Opcode::Close && cut.len() >= 2 {
        close::parse(&cut[..2])?;
        let mut utf8 = Utf8::NEW;
        if utf8.push(&cut[2..]).is_err() {
            close::parse(cut)?;
        }
    }
    Ok(())
}
