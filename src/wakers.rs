//! Tasks that wait for the same thing. One that is polled again is in here once, and one that waits no longer not at all.

use std::collections::BTreeMap;
use std::mem;
use std::task::{Context, Waker};

/// Those tasks.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    all: BTreeMap<u64, Waker>,
    last: u64,
}

impl Wakers {
    /// Adds the task, or keeps it. `key` is the task's, `None` at first; one that waits no longer has to be forgotten.
    pub(crate) fn keep(&mut self, key: &mut Option<u64>, cx: &Context<'_>) {
        let key = *key.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        self.all.insert(key, cx.waker().clone());
    }

    /// Takes a task out. Its waker is to be dropped without a lock: the runtime behind it may go with it.
    pub(crate) fn forget(&mut self, key: u64) -> Option<Waker> {
        self.all.remove(&key)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Takes all out, to be woken without a lock.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        mem::take(&mut self.all).into_values()
    }
}
