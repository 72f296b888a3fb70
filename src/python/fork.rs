//! How often this process is a child of a fork. Only of the forks that Python knows of.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Atomic loads instead of a system call for each look.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Threads that are between the hooks of a fork, of this process.
static FORKING: AtomicU32 = AtomicU32::new(0);
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// How often this process is a child of a fork.
pub(super) fn forks() -> u32 {
    if FORKING.load(Ordering::Relaxed) > 0 {
        // Who looks may be a hook of the program's, called before ours.
        look();
    }
    FORKS.load(Ordering::Relaxed)
}

/// This thread is about to fork.
pub(super) fn before_fork() {
    PROCESS.store(process::id(), Ordering::Relaxed);
    FORKING.fetch_add(1, Ordering::Relaxed);
}

/// It has.
pub(super) fn after_fork_in_parent() {
    FORKING.fetch_sub(1, Ordering::Relaxed);
}

/// Between the hooks of a fork, or in the child after it: there is no other thread in a child then.
pub(super) fn look() {
    let process = process::id();
    if FORKING.load(Ordering::Relaxed) > 0 && PROCESS.swap(process, Ordering::Relaxed) != process {
        FORKING.store(0, Ordering::Relaxed);
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
}
