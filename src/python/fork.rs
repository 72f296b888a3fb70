//! How often this process is a child of a fork. Only of the forks that Python knows of.

use std::sync::atomic::{AtomicU32, Ordering};

/// An atomic load instead of a system call for each look.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// How often this process is a child of a fork.
pub(super) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// It has become one.
pub(super) fn count() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
