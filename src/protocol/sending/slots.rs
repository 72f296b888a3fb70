//! The order of replies: a reply that is there waits for the answers before it.

use crate::protocol::account::Account;
use crate::protocol::partial::Chunk;
use std::collections::VecDeque;
use std::mem;

/// Messages that may wait for their answers; beyond it the client is not read from.
const MAX_UNANSWERED: usize = 1024;
/// Bytes of them.
const MAX_UNANSWERED_BYTES: usize = 1 << 20;
/// What a slot costs: its place in a queue that doubles.
const COST: usize = 2 * size_of::<Slot>();

/// A place in the order of replies.
#[derive(Debug)]
pub(super) enum Slot {
    /// Nothing is read before the client is admitted. Always the first.
    Gate,
    /// That many answers are awaited.
    Awaited(usize),
    /// Replies that wait for the ones before them.
    Held(Held),
}

/// Whole frames, with marks.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) frames: Chunk,
    pub(super) messages: usize,
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    queue: VecDeque<Slot>,
    /// Messages that have no answer yet, or whose reply is held.
    messages: usize,
    bytes: usize,
}

impl Slots {
    /// With a gate, if it is closed.
    pub(super) fn new(is_admitted: bool, account: &mut Account) -> Self {
        let mut slots = Self::default();
        if !is_admitted {
            slots.push(Slot::Gate, account);
        }
        slots
    }

    /// Whether a reply has nothing to wait for.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn is_admitted(&self) -> bool {
        !matches!(self.queue.front(), Some(Slot::Gate))
    }

    /// Whether nothing is owed to the client for what it sent.
    pub(super) fn is_settled(&self) -> bool {
        self.is_empty() || !self.is_admitted()
    }

    /// Messages that have no answer yet, or whose reply is held.
    pub(super) const fn messages(&self) -> usize {
        self.messages
    }

    /// Whether so much is owed that no more is read.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.messages >= MAX_UNANSWERED || self.bytes >= MAX_UNANSWERED_BYTES || !self.is_admitted()
    }

    pub(super) fn admit(&mut self, account: &mut Account) {
        if !self.is_admitted() {
            self.pop(account);
        }
    }

    /// A message of `len` bytes is answered later. `false` if that passes the memory limit.
    pub(super) fn expect(&mut self, len: usize, account: &mut Account) -> bool {
        self.messages += 1;
        self.bytes += len;
        if let Some(Slot::Awaited(count)) = self.queue.back_mut() {
            *count += 1;
            return true;
        }
        self.push(Slot::Awaited(1), account)
    }

    /// A reply that has to wait: the header of its frame, and a payload of `len` bytes in pieces. `false` if that passes
    /// the memory limit.
    pub(super) fn hold<'a>(
        &mut self,
        header: &[u8],
        len: usize,
        pieces: impl Iterator<Item = &'a [u8]>,
        account: &mut Account,
    ) -> bool {
        self.messages += 1;
        self.bytes += header.len() + len;
        let mut fits = true;
        if !matches!(self.queue.back(), Some(Slot::Held(_))) {
            let held = Held {
                frames: Chunk::new(Vec::new(), 0),
                messages: 0,
            };
            fits = self.push(Slot::Held(held), account);
        }
        if let Some(Slot::Held(held)) = self.queue.back_mut() {
            held.messages += 1;
            fits &= held.frames.append(header, len, pieces, account);
        }
        fits
    }

    /// An answer has come to the oldest message that awaits one: `false` if none does.
    pub(super) fn answer(&mut self, account: &mut Account) -> bool {
        let Some(Slot::Awaited(count)) = self.queue.front_mut() else {
            return false;
        };
        *count -= 1;
        self.messages -= 1;
        if *count == 0 {
            self.pop(account);
        }
        true
    }

    /// Messages of that many bytes are answered.
    pub(super) const fn answered(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// What waits for nothing any more.
    pub(super) fn take_held(&mut self, account: &mut Account) -> Option<Held> {
        if !matches!(self.queue.front(), Some(Slot::Held(_))) {
            return None;
        }
        let Some(Slot::Held(held)) = self.pop(account) else {
            return None;
        };
        self.messages -= held.messages;
        self.bytes = self.bytes.saturating_sub(held.frames.bytes().len());
        Some(held)
    }

    /// Nothing is waited for any more, and what is held is given up.
    pub(super) fn clear(&mut self, account: &mut Account) {
        for slot in mem::take(&mut self.queue) {
            account.release(COST);
            if let Slot::Held(held) = slot {
                held.frames.free(account);
            }
        }
        (self.messages, self.bytes) = (0, 0);
    }

    fn push(&mut self, slot: Slot, account: &mut Account) -> bool {
        self.queue.push_back(slot);
        account.charge_anyway(COST)
    }

    fn pop(&mut self, account: &mut Account) -> Option<Slot> {
        let slot = self.queue.pop_front()?;
        account.release(COST);
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        Some(slot)
    }
}
