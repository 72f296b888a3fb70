//! A lock that a fork holds, so that the child does not get what it guards as another thread had it half changed.
//!
//! Between the hooks of a fork any Python code may run, in the thread that forks as well. That thread uses what is
//! guarded all the same, and lends the lock to the others while it waits for them.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::LocalKey;

/// Where a thread keeps the lock while it forks.
pub(crate) type Held<T> = RefCell<Option<MutexGuard<'static, T>>>;

/// The lock; only what neither blocks nor locks it again runs under it.
#[derive(Debug)]
pub(crate) struct ForkLock<T: 'static> {
    mutex: &'static Mutex<T>,
    held: &'static LocalKey<Held<T>>,
}

impl<T> ForkLock<T> {
    pub(crate) const fn new(mutex: &'static Mutex<T>, held: &'static LocalKey<Held<T>>) -> Self {
        Self { mutex, held }
    }

    /// Does something with what is guarded.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        if !self.is_held() {
            return act(&mut self.lock());
        }
        self.held.with_borrow_mut(|held| match held {
            Some(guard) => act(guard),
            None => act(&mut self.lock()),
        })
    }

    /// Whether this thread forks. One that has ended so far that it has no such values any more does not.
    pub(crate) fn is_held(&self) -> bool {
        self.held
            .try_with(|held| held.borrow().is_some())
            .unwrap_or(false)
    }

    /// This thread is about to fork.
    pub(crate) fn hold(&self) {
        // A child that forks between the hooks of the fork it comes from has it already.
        if !self.is_held() {
            self.held.set(Some(self.lock()));
        }
    }

    /// It has forked.
    pub(crate) fn release(&self) {
        drop(self.held.take());
    }

    /// Waits with `wait` for other threads, which may have the lock meanwhile.
    pub(crate) fn lend<R>(&self, wait: impl FnOnce() -> R) -> R {
        if !self.is_held() {
            return wait();
        }
        self.release();
        let waited = wait();
        self.hold();
        waited
    }

    fn lock(&self) -> MutexGuard<'static, T> {
        self.mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
