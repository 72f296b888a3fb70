//! That something has happened, and who waits for that: the one place where all that a waiting program may look at is
//! announced, whoever has changed it. What it was, nobody says here; whoever waits looks for himself.

use crate::condition::wait_while;
use crate::wakers::Wakers;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// What has happened, as a count.
#[derive(Debug, Default)]
pub struct News {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Goes up with everything that happens.
    count: u64,
    /// Threads and tasks that wait.
    threads: usize,
    tasks: Wakers,
}

impl News {
    /// Something has happened, and can be seen: tells those who wait.
    pub fn tell(&self) {
        let mut state = self.lock();
        state.count += 1;
        if state.threads > 0 {
            self.told.notify_all();
        }
        let tasks = state.tasks.take();
        drop(state);
        tasks.for_each(Waker::wake);
    }

    /// Goes up with everything that happens. Whoever reads it before he looks misses nothing: what he does not find comes
    /// with another count.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// Waits until something has happened since the count was `since`: `false` at the deadline. `None` waits for ever.
    #[must_use]
    pub fn wait(&self, since: u64, deadline: Option<Instant>) -> bool {
        let mut state = self.lock();
        state.threads += 1;
        let is_on = |state: &mut State| state.count == since;
        let mut state = wait_while(&self.told, state, deadline, is_on);
        state.threads -= 1;
        state.count != since
    }

    /// Ready when something has. May be dropped at any time.
    #[must_use]
    pub fn heard(self: &Arc<Self>, since: u64) -> Heard {
        Heard {
            news: self.clone(),
            since,
            key: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait for something to happen, as a task does it.
#[derive(Debug)]
pub struct Heard {
    news: Arc<News>,
    since: u64,
    key: Option<u64>,
}

impl Heard {
    /// Ready when something has.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.news.lock();
        if state.count != self.since {
            return Poll::Ready(());
        }
        state.tasks.keep(&mut self.key, cx);
        Poll::Pending
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.news.lock().tasks.forget(key);
            // After the lock: the runtime behind it may go with it.
            drop(waker);
        }
    }
}
