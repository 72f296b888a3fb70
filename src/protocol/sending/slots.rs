//! The order of replies: a reply that is there waits for the answers before it.

use crate::protocol::account::Account;
use crate::protocol::partial::Chunk;
use std::collections::VecDeque;

/// Messages that may wait for their answers; beyond it the client is not read from.
const MAX_UNANSWERED: usize = 1024;
/// Bytes of them.
const MAX_UNANSWERED_BYTES: usize = 1 << 20;
/// What a slot costs: its place in a queue that doubles.
const COST: usize = 2 * size_of::<Slot>();

/// A place in the order of replies, behind what is awaited first.
#[derive(Debug)]
enum Slot {
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

/// What is behind the answers that are awaited first. Begins with replies that are held.
#[derive(Debug, Default)]
struct Behind(VecDeque<Slot>);

#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Nothing is read before the client is admitted.
    is_gated: bool,
    /// Nothing is to be read while the connection is open.
    pub(super) is_paused: bool,
    /// Answers that are awaited before all that is queued. Mostly there is nothing else, and nothing is allocated.
    awaited: usize,
    behind: Option<Box<Behind>>,
    /// Messages that have no answer yet, or whose reply is held.
    messages: usize,
    bytes: usize,
}

impl Slots {
    /// With a gate, if it is closed.
    pub(super) fn new(is_admitted: bool) -> Self {
        Self {
            is_gated: !is_admitted,
            ..Self::default()
        }
    }

    /// Whether a reply has nothing to wait for.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.messages == 0 && !self.is_gated
    }

    pub(super) const fn is_admitted(&self) -> bool {
        !self.is_gated
    }

    /// Whether nothing is owed to the client for what it sent.
    pub(super) const fn is_settled(&self) -> bool {
        self.messages == 0 || self.is_gated
    }

    /// Messages that have no answer yet, or whose reply is held.
    pub(super) const fn messages(&self) -> usize {
        self.messages
    }

    /// Whether so much is owed that no more is read.
    #[inline]
    pub(super) const fn is_full(&self) -> bool {
        self.messages >= MAX_UNANSWERED || self.bytes >= MAX_UNANSWERED_BYTES || self.is_gated
    }

    pub(super) const fn admit(&mut self) {
        self.is_gated = false;
    }

    /// A message of `len` bytes is answered later. `false` if that passes the memory limit.
    pub(super) fn expect(&mut self, len: usize, account: &mut Account) -> bool {
        self.messages += 1;
        self.bytes += len;
        match self.last() {
            None => self.awaited += 1,
            Some(Slot::Awaited(count)) => *count += 1,
            Some(Slot::Held(_)) => return self.push(Slot::Awaited(1), account),
        }
        true
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
        if !matches!(self.last(), Some(Slot::Held(_))) {
            let held = Held {
                frames: Chunk::new(Vec::new(), 0),
                messages: 0,
            };
            fits = self.push(Slot::Held(held), account);
        }
        if let Some(Slot::Held(held)) = self.last() {
            held.messages += 1;
            fits &= held.frames.append(header, len, pieces, account);
        }
        fits
    }

    /// An answer has come to the oldest message that awaits one: `false` if none does.
    pub(super) const fn answer(&mut self) -> bool {
        let Some(left) = self.awaited.checked_sub(1) else {
            return false;
        };
        self.awaited = left;
        self.messages -= 1;
        true
    }

    /// Messages of that many bytes are answered.
    pub(super) const fn answered(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// What waits for nothing any more.
    #[inline]
    pub(super) fn take_held(&mut self, account: &mut Account) -> Option<Held> {
        if self.awaited > 0 || self.behind.is_none() {
            return None;
        }
        self.take_first(account)
    }

    fn take_first(&mut self, account: &mut Account) -> Option<Held> {
        let Some(Slot::Held(held)) = self.pop(account) else {
            return None;
        };
        let next = self.behind.as_ref().and_then(|behind| behind.0.front());
        if let Some(Slot::Awaited(count)) = next {
            self.awaited = *count;
            self.pop(account);
        }
        self.messages -= held.messages;
        self.bytes = self.bytes.saturating_sub(held.frames.bytes().len());
        Some(held)
    }

    /// Nothing is waited for any more, and what is held is given up.
    pub(super) fn clear(&mut self, account: &mut Account) {
        let behind = self.behind.take();
        *self = Self {
            is_paused: self.is_paused,
            ..Self::default()
        };
        for slot in behind.map_or_else(VecDeque::new, |behind| behind.0) {
            account.release(COST);
            if let Slot::Held(held) = slot {
                held.frames.free(account);
            }
        }
    }

    fn last(&mut self) -> Option<&mut Slot> {
        self.behind.as_mut()?.0.back_mut()
    }

    fn push(&mut self, slot: Slot, account: &mut Account) -> bool {
        self.behind.get_or_insert_default().0.push_back(slot);
        account.charge_anyway(COST)
    }

    fn pop(&mut self, account: &mut Account) -> Option<Slot> {
        let queue = &mut self.behind.as_mut()?.0;
        let slot = queue.pop_front()?;
        account.release(COST);
        if queue.is_empty() {
            self.behind = None;
        }
        Some(slot)
    }
}
