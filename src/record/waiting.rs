//! Waiting until something has happened.

use super::{Record, State};
use crate::condition::wait_while;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

impl Record {
    /// Waits until something has happened since the count was `since`: `false` at the deadline. `None` waits for ever.
    #[must_use]
    pub fn wait(&self, since: u64, deadline: Option<Instant>) -> bool {
        let mut state = self.lock();
        state.threads += 1;
        let is_on = |state: &mut State| state.count == since;
        let mut state = wait_while(&self.news, state, deadline, is_on);
        state.threads -= 1;
        state.count != since
    }

    /// Ready when something has. May be dropped at any time.
    #[must_use]
    pub fn news(self: &Arc<Self>, since: u64) -> News {
        News {
            record: self.clone(),
            since,
            key: None,
        }
    }
}

/// The wait for something to happen, as a task does it.
#[derive(Debug)]
pub struct News {
    record: Arc<Record>,
    since: u64,
    key: Option<u64>,
}

impl News {
    /// Ready when something has.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.record.lock();
        if state.count != self.since {
            return Poll::Ready(());
        }
        state.tasks.keep(&mut self.key, cx);
        Poll::Pending
    }
}

impl Drop for News {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.record.lock().tasks.forget(key);
            // After the lock: the runtime behind it may go with it.
            drop(waker);
        }
    }
}
