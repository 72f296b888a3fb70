//! Waits of Python on Rust: without the interpreter, and so that Ctrl-C is answered.

use super::crossing;
use crate::server::after;
use crate::sockets;
use pyo3::prelude::*;
use std::time::{Duration, Instant};

/// Waits of the main thread are cut into pieces of this length, between which Ctrl-C is looked for.
pub(super) const SIGNAL_CHECK: Duration = Duration::from_millis(50);

/// Waits with `wait`, which gives up at the time that it is given: `false` after `timeout`, `None` waits for ever.
///
/// # Errors
/// What a signal handler raises.
pub(super) fn wait(
    py: Python<'_>,
    timeout: Option<Duration>,
    wait: impl Fn(Instant) -> bool + Sync,
) -> PyResult<bool> {
    let deadline = timeout.map(after);
    loop {
        let slice = Instant::now() + SIGNAL_CHECK;
        let until = deadline.map_or(slice, |deadline| deadline.min(slice));
        if detached(py, || wait(until)) {
            return Ok(true);
        }
        py.check_signals()?;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(false);
        }
    }
}

/// Waits for other threads, without the interpreter; in a hook of a fork also without the locks that it holds.
pub(super) fn detached<R: Send>(py: Python<'_>, wait: impl FnOnce() -> R + Send) -> R {
    py.detach(|| crossing::lend(|| sockets::lend(wait)))
}
