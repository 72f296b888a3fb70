//! What is kept is charged: what connections keep beyond a read buffer that they share is bounded.
//!
//! Nothing waits for memory: a step that does not fit is refused at once, and that connection is closed with 1013.
//!
//! Large buffers are kept by the thread that frees them and used again: 1 MiB messages cost half as much more with
//! buffers that are given back to the system, and fetched again page by page, for each of them.

use super::close::code;
use super::limit::Limit;
use super::violation::Violation;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that all connections of a server may keep together.
#[derive(Debug)]
pub struct Memory {
    limit: Limit,
    used: AtomicUsize,
}

impl Memory {
    /// A budget.
    #[must_use]
    pub fn new(limit: Limit) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// Gives back what an account was charged with that has ended ([`Account::into_charge`]).
    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes charged at the moment.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// One connection's part of a [`Memory`]; what it still holds goes back when it is dropped.
#[derive(Debug)]
pub struct Account {
    memory: Arc<Memory>,
    held: usize,
}

/// Buffers from this size on are kept for use again; the allocator is good at smaller ones.
const MIN_SPARE: usize = 64 << 10;
/// Bytes that one thread keeps at most.
const MAX_SPARE: usize = 8 << 20;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A kept buffer for `bytes` that is not much larger.
fn take_spare(bytes: usize) -> Option<Vec<u8>> {
    if bytes < MIN_SPARE {
        return None;
    }
    SPARE.with_borrow_mut(|spare| {
        let fits = |buffer: &Vec<u8>| (bytes..=bytes + bytes / 4).contains(&buffer.capacity());
        let index = spare.iter().position(fits)?;
        Some(spare.swap_remove(index))
    })
}

/// An empty buffer with room for `bytes` that nothing is charged for; large ones in few sizes, so that they fit again.
pub(crate) fn buffer(bytes: usize) -> Vec<u8> {
    if bytes < MIN_SPARE {
        return Vec::with_capacity(bytes);
    }
    let bytes = bytes.next_power_of_two();
    take_spare(bytes).unwrap_or_else(|| Vec::with_capacity(bytes))
}

fn keep_spare(mut buffer: Vec<u8>) {
    if buffer.capacity() < MIN_SPARE {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        let kept: usize = spare.iter().map(Vec::capacity).sum();
        if kept + buffer.capacity() <= MAX_SPARE {
            buffer.clear();
            spare.push(buffer);
        }
    });
}

/// Gives the large buffers that this thread has kept back to the allocator.
pub(crate) fn forget_spare() {
    SPARE.take();
}

/// A charge did not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Account {
    /// An account that holds nothing yet.
    #[must_use]
    pub const fn new(memory: Arc<Memory>) -> Self {
        Self { memory, held: 0 }
    }

    /// Ends it; what it holds stays charged, until it is given back ([`Memory::give_back`]).
    pub(crate) fn into_charge(mut self) -> (Arc<Memory>, usize) {
        (self.memory.clone(), std::mem::take(&mut self.held))
    }

    /// Bytes that it holds.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// What a connection is failed with that can't have more: close code 1013.
    #[must_use]
    pub fn exhausted(&self) -> Violation {
        let Limit { name, bytes } = self.memory.limit;
        Violation {
            code: code::TRY_AGAIN,
            reason: format!("{name} of {bytes} bytes is used up, try again later").into(),
        }
    }

    /// Takes `bytes`.
    ///
    /// # Errors
    /// [`Exhausted`] if they do not fit; nothing is taken then.
    pub fn charge(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let fits = |used: usize| {
            used.checked_add(bytes)
                .filter(|&sum| sum <= self.memory.limit.bytes)
        };
        match self
            .memory
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
        {
            Ok(_) => {
                self.held += bytes;
                Ok(())
            }
            Err(_) => Err(Exhausted),
        }
    }

    /// Gives a full buffer room for `bytes` more.
    ///
    /// # Errors
    /// As [`Self::charge`].
    pub fn grow(&mut self, buffer: &mut Vec<u8>, bytes: usize) -> Result<(), Exhausted> {
        self.charge(bytes)?;
        buffer.reserve_exact(bytes);
        Ok(())
    }

    /// An empty buffer with room for `bytes`, or somewhat more; its capacity is charged.
    ///
    /// # Errors
    /// As [`Self::charge`].
    pub fn allocate(&mut self, bytes: usize) -> Result<Vec<u8>, Exhausted> {
        if let Some(spare) = take_spare(bytes) {
            match self.charge(spare.capacity()) {
                Ok(()) => return Ok(spare),
                Err(Exhausted) => keep_spare(spare),
            }
        }
        let buffer = Vec::with_capacity(bytes);
        self.charge(buffer.capacity())?;
        Ok(buffer)
    }

    /// Gives back a buffer that was charged with `bytes`.
    pub fn free(&mut self, buffer: Vec<u8>, bytes: usize) {
        self.release(bytes);
        keep_spare(buffer);
    }

    /// Takes `bytes` even beyond the limit, for output that exists already. `false`: the limit is passed, and the
    /// connection has to end after it.
    pub fn charge_anyway(&mut self, bytes: usize) -> bool {
        let used = self.memory.used.fetch_add(bytes, Ordering::Relaxed);
        self.held += bytes;
        used.saturating_add(bytes) <= self.memory.limit.bytes
    }

    /// Whether more is taken than the limit allows.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.memory.used() > self.memory.limit.bytes
    }

    /// Bytes that can be charged at the moment.
    #[must_use]
    #[inline]
    pub fn room(&self) -> usize {
        self.memory.limit.bytes.saturating_sub(self.memory.used())
    }

    /// Gives `bytes` back.
    pub fn release(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.held, "more released than held");
        self.held -= bytes;
        self.memory.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.held > 0 {
            self.memory.used.fetch_sub(self.held, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_and_given_back() {
        let memory = Memory::new(Limit::new(&"memory_limit", 100));
        let (mut a, mut b) = (Account::new(memory.clone()), Account::new(memory.clone()));
        assert_eq!(a.charge(60), Ok(()));
        assert_eq!(b.charge(41), Err(Exhausted));
        assert_eq!(b.charge(40), Ok(()));
        assert!(!b.charge_anyway(1));
        a.release(10);
        drop(a);
        assert_eq!(memory.used(), 41);
        drop(b);
        assert_eq!(memory.used(), 0);
    }
}
