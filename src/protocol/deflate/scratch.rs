//! What both halves work with, and pay with.

use std::cell::RefCell;

/// Bytes inflated or compressed in one step.
pub const STEP: usize = 64 << 10;
/// What costs more than its bytes, in bytes of the budget: to take an inflater and a window, or a compressor.
pub(super) const START: usize = 2 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `STEP` bytes of this thread's.
pub(in crate::protocol) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take();
    scratch.resize(STEP, 0);
    let done = work(&mut scratch);
    SCRATCH.set(scratch);
    done
}

/// Gives it back to the allocator.
pub(super) fn forget() {
    SCRATCH.take();
}
