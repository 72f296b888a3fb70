//! A letterbox between threads: what is posted is collected, and the reader is woken once for all of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Letters for which room is kept once they are read: many at once are rare, and nobody is charged for their room.
const KEPT: usize = 1024;

/// A letterbox for letters of one kind, and one reader.
#[derive(Debug)]
pub struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    letters: Vec<T>,
    waker: Option<Waker>,
    closed: bool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let inner = Inner {
            letters: Vec::new(),
            waker: None,
            closed: false,
        };
        Self {
            inner: Mutex::new(inner),
        }
    }
}

impl<T> Mailbox<T> {
    /// Hands over what is in `letters`, which is empty after it. Any thread; never blocks for long.
    pub fn post(&self, letters: &mut Vec<T>) {
        self.add(&mut *letters, Vec::append);
        letters.clear();
    }

    /// Hands over one.
    pub fn post_one(&self, letter: T) {
        self.add(letter, Vec::push);
    }

    /// `given` is dropped after the lock if nobody will read it.
    fn add<G>(&self, given: G, add: impl FnOnce(&mut Vec<T>, G)) {
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            return;
        }
        add(&mut inner.letters, given);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether nobody takes anything any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Throws away what nobody will take any more, and what may still come.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let letters = std::mem::take(&mut inner.letters);
        let waker = inner.waker.take();
        // Dropped after the lock: sockets are closed here, and the runtime behind the waker goes.
        drop(inner);
        drop((letters, waker));
    }

    /// Takes what has come into `letters`, which is empty before it. The task of the last call is woken for what comes.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, letters: &mut Vec<T>) -> Poll<()> {
        letters.shrink_to(KEPT);
        let mut inner = self.lock();
        std::mem::swap(&mut inner.letters, letters);
        if letters.is_empty() {
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing that can panic runs under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
