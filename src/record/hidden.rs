//! Messages of one client that have no answer yet, and do not show until they have.

use super::frames::{first, messages};
use std::collections::VecDeque;
use std::mem;

/// Those messages, as whole frames of a server. Answers come in the order of the messages, so that those are counted,
/// too, for which there was no room.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    frames: Vec<u8>,
    /// Where the first of them begins; what is before it has been shown.
    from: usize,
    /// Messages that wait for an answer, with those that are lost.
    count: usize,
    /// Where some are lost.
    gaps: VecDeque<Gap>,
    /// Messages after the last gap.
    last: usize,
}

/// Messages, and how many were lost behind them. There are no more of these than times that the record was cleared while
/// messages waited.
#[derive(Debug)]
struct Gap {
    messages: usize,
    lost: usize,
}

impl Hidden {
    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, frames: &[u8]) {
        let count = messages(frames).count();
        self.count += count;
        self.last += count;
        self.frames.extend_from_slice(frames);
    }

    /// So many messages come here of which there is nothing.
    pub(super) fn lose(&mut self, lost: usize) {
        if lost == 0 {
            return;
        }
        self.count += lost;
        if self.last == 0
            && let Some(gap) = self.gaps.back_mut()
        {
            gap.lost += lost;
            return;
        }
        let messages = mem::take(&mut self.last);
        self.gaps.push_back(Gap { messages, lost });
    }

    /// The first of them, such that `left` wait; `None` if there are none of which there is something.
    pub(super) fn take(&mut self, left: usize) -> Option<Vec<u8>> {
        let shown = self.count.checked_sub(left)?;
        self.count = left;
        let shown = self.without_lost(shown);
        if shown == 0 {
            return None;
        }
        let taken = first(&self.frames[self.from..], shown).to_vec();
        self.from += taken.len();
        // Not for each, since the answers may come one by one.
        if self.from > self.frames.len() / 2 {
            self.frames.drain(..self.from);
            self.frames.shrink_to(2 * self.frames.len());
            self.from = 0;
        }
        Some(taken)
    }

    /// How many of the first `count` are not lost. They are forgotten.
    fn without_lost(&mut self, mut count: usize) -> usize {
        let mut kept = 0;
        while let Some(gap) = self.gaps.front_mut()
            && count > 0
        {
            let messages = count.min(gap.messages);
            let lost = (count - messages).min(gap.lost);
            gap.messages -= messages;
            gap.lost -= lost;
            kept += messages;
            count -= messages + lost;
            if gap.lost == 0 {
                self.gaps.pop_front();
            }
        }
        self.last -= count;
        kept + count
    }
}

#[cfg(test)]
mod tests {
    use super::Hidden;
    use crate::protocol::frame::{Opcode, server_frame};

    #[test]
    fn they_come_in_their_order_and_take_room_for_no_more_than_are_left() {
        let mut hidden = Hidden::default();
        let frames: Vec<_> = (0..1000)
            .map(|number: usize| {
                let text = number.to_string();
                let frame = server_frame(Opcode::Text, text.as_bytes());
                hidden.push(&frame);
                frame
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

    #[test]
    fn each_shows_with_its_own_answer_whatever_was_lost_around_it() {
        let one = |text: &[u8]| server_frame(Opcode::Text, text);
        // All of four messages that are kept or lost, `true` for kept, and all ways in which their answers come.
        for kept in 0_u8..16 {
            let kept: Vec<_> = (0..4).map(|bit| kept & 1 << bit != 0).collect();
            for stops in 0_u8..16 {
                let mut hidden = Hidden::default();
                for (number, kept) in kept.iter().enumerate() {
                    match kept {
                        true => hidden.push(&one(number.to_string().as_bytes())),
                        false => hidden.lose(1),
                    }
                }
                let mut from = 0;
                for to in (1..=4).filter(|to| stops & 1 << (to - 1) != 0) {
                    let expected: Vec<_> = (from..to)
                        .filter(|number| kept[*number])
                        .flat_map(|number| one(number.to_string().as_bytes()))
                        .collect();
                    let shown = hidden.take(4 - to).unwrap_or_default();
                    assert_eq!(shown, expected, "{kept:?}, answers {from} to {to}");
                    from = to;
                }
                assert_eq!(hidden.is_empty(), from == 4);
            }
        }
    }
}
