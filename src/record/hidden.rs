//! Messages of one client that have no answer yet, and do not show until they have.

use super::frames::{first, messages};

/// Those messages, as whole frames of a server.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    frames: Vec<u8>,
    /// Where the first of them begins; what is before it has been shown.
    from: usize,
    count: usize,
}

impl Hidden {
    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, frames: &[u8]) {
        self.count += messages(frames).count();
        self.frames.extend_from_slice(frames);
    }

    /// The first of them, such that `left` are left; `None` if there are no more than these.
    pub(super) fn take(&mut self, left: usize) -> Option<Vec<u8>> {
        let shown = self.count.checked_sub(left).filter(|shown| *shown > 0)?;
        let taken = first(&self.frames[self.from..], shown).to_vec();
        self.from += taken.len();
        self.count -= shown;
        // Not for each, since the answers may come one by one.
        if self.from > self.frames.len() / 2 {
            self.frames.drain(..self.from);
            self.frames.shrink_to(2 * self.frames.len());
            self.from = 0;
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::Hidden;
    use crate::protocol::message::Kind;
    use crate::record::frames::push;

    #[test]
    fn they_come_in_their_order_and_take_room_for_no_more_than_are_left() {
        let mut hidden = Hidden::default();
        let frames: Vec<_> = (0..1000)
            .map(|number: usize| {
                let text = number.to_string();
                let mut frames = Vec::new();
                push(
                    &mut frames,
                    Kind::Text,
                    text.len(),
                    [text.as_bytes()].into_iter(),
                );
                hidden.push(&frames);
                frames
            })
            .collect();
        assert_eq!(hidden.take(1000), None);
        assert_eq!(hidden.take(998), Some(frames[..2].concat()));
        for (number, one) in frames.iter().enumerate().skip(2) {
            assert!(!hidden.is_empty());
            assert_eq!(hidden.take(999 - number).as_ref(), Some(one));
            assert!(hidden.frames.len() - hidden.from <= 5 * (999 - number));
            assert!(hidden.frames.capacity() <= 4 * 5 * (1000 - number) + 64);
        }
        assert!(hidden.is_empty());
        assert_eq!(hidden.take(0), None);
    }
}
