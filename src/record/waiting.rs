//! Waiting until something has happened.

use super::Record;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

impl Record {
    /// Waits until something has happened since the count was `since`: `false` at the deadline. `None` waits for ever.
    #[must_use]
    pub fn wait(&self, since: u64, deadline: Option<Instant>) -> bool {
        let mut state = self.lock();
        state.threads += 1;
        while state.count == since {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            state = match left {
                None => self
                    .news
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    self.news
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
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
