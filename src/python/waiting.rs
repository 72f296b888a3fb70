//! Waits of Python on Rust: without the interpreter, and so that Ctrl-C is answered.

use super::crossing;
use super::lock::lock;
use crate::error::Error;
use crate::server::after;
use crate::sockets;
use crate::tls::Patience;
use pyo3::prelude::*;
use std::mem;
use std::sync::Mutex;
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

/// Does what may wait for a file, without the interpreter.
///
/// # Errors
/// What a signal handler raises meanwhile, or what `work` does.
pub(super) fn patiently<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(Patience<'_>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let raised = Mutex::new(None);
    let done = py.detach(|| {
        work(&|| {
            Python::attach(|py| match py.check_signals() {
                Ok(()) => true,
                Err(error) => {
                    *lock(&raised) = Some(error);
                    false
                }
            })
        })
    });
    let raised = lock(&raised).take();
    raised.map_or_else(|| Ok(done?), Err)
}

/// Keeps an object for ever.
#[pyfunction]
pub(super) fn keep_for_ever(object: Py<PyAny>) {
    // An event loop that ends in a forked child would change the selector of its parent.
    mem::forget(object);
}

/// Waits for other threads, without the interpreter; in a hook of a fork also without the locks that it holds.
pub(super) fn detached<R: Send>(py: Python<'_>, wait: impl FnOnce() -> R + Send) -> R {
    py.detach(|| crossing::lend(|| sockets::lend(wait)))
}
