//! In which frames a message came, for whoever wants to know.

use super::Receiver;
use crate::protocol::account::{Account, Exhausted};
use crate::protocol::violation::Violation;
use std::mem;

/// Room for that many at first; it doubles.
const FIRST: usize = 16;
/// Of a message no more are told apart: a frame costs its sender 6 bytes, and whoever is told of it far more.
const MOST: usize = 4096;

impl Receiver {
    /// From the next message on [`Self::take_frames`] says in which frames it came.
    pub fn note_frames(&mut self) {
        self.notes_frames = true;
    }

    /// The lengths of the payloads of the frames of the last message, in their order: none of one that came in a single
    /// frame, or compressed. From the 4096th on they are one. What they take is given back to `account`.
    pub fn take_frames(&mut self, account: &mut Account) -> Vec<usize> {
        let kept = self.kept.as_mut();
        let frames = kept.map_or_else(Vec::new, |kept| mem::take(&mut kept.frames));
        account.release(frames.capacity() * size_of::<usize>());
        frames
    }

    /// A data frame begins whose payload has `len` bytes; not one that is a whole message.
    #[inline(never)]
    pub(super) fn note_frame(
        &mut self,
        len: usize,
        is_first: bool,
        account: &mut Account,
    ) -> Result<(), Violation> {
        let frames = &mut self.kept.get_or_insert_default().frames;
        if is_first {
            // Nobody has taken those of the last.
            frames.clear();
        }
        if let Some(last) = frames.get_mut(MOST - 1) {
            // Within `usize`: it is a part of the message.
            *last += len;
            return Ok(());
        }
        if frames.len() == frames.capacity() {
            let before = frames.capacity();
            let mut more = Vec::with_capacity(before.max(FIRST / 2) * 2);
            let size = (more.capacity() - before) * size_of::<usize>();
            if let Err(Exhausted) = account.charge(size) {
                return Err(account.exhausted());
            }
            more.append(frames);
            *frames = more;
        }
        frames.push(len);
        Ok(())
    }
}
