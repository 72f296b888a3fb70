//! What is charged for a client: until its connection has ended, and nobody keeps anything of it that waits.

use crate::protocol::account::{Account, Memory};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The charge, and how many keep it: the connection, and each [`super::held::Held`].
#[derive(Debug)]
pub(super) struct Charge {
    memory: Arc<Memory>,
    pub(super) bytes: usize,
    keepers: AtomicUsize,
}

impl Charge {
    /// Kept by the connection.
    pub(super) fn new(account: Account) -> Self {
        let (memory, bytes) = account.into_charge();
        Self {
            memory,
            bytes,
            keepers: AtomicUsize::new(1),
        }
    }

    /// One keeps it no more.
    pub(super) fn let_go(&self) {
        if self.keepers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.memory.give_back(self.bytes);
        }
    }

    /// One more keeps it: `false` if nobody does any more.
    pub(super) fn keep(&self) -> bool {
        let more = |keepers| (keepers > 0).then_some(keepers + 1);
        let kept = self
            .keepers
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        kept.is_ok()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Of a client whose connection never came to be.
        if *self.keepers.get_mut() > 0 {
            self.memory.give_back(self.bytes);
        }
    }
}
