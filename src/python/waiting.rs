//! Waits of Python on Rust: without the interpreter, and so that Ctrl-C is answered.

use super::crossing;
use super::driving;
use super::imported::imported;
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

/// A green thread looks so often, and leaves its thread to the others in between. No round number: a timeout of this length
/// is ours (`threads.py`).
const GREEN_TURN: Duration = Duration::from_micros(2_017);

/// Waits with `wait`, which gives up at the time that it is given: `false` after `timeout`, `None` waits for ever. Other
/// green threads run meanwhile: what is waited for may be up to one of them.
///
/// # Errors
/// What a signal handler raises, or one of those that end a green thread.
pub(super) fn wait(
    py: Python<'_>,
    timeout: Option<Duration>,
    wait: impl Fn(Instant) -> bool + Sync,
) -> PyResult<bool> {
    let deadline = timeout.map(after);
    let mut is_green = imported(py)?.are_green(py)?;
    loop {
        let now = Instant::now();
        let slice = if is_green { now } else { now + SIGNAL_CHECK };
        let until = deadline.map_or(slice, |deadline| deadline.min(slice));
        if wait_here(py, until, &wait) {
            return Ok(true);
        }
        py.check_signals()?;
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(false);
        }
        if is_green {
            let turn = deadline.map_or(GREEN_TURN, |deadline| GREEN_TURN.min(deadline - now));
            is_green = imported(py)?.leave_to_others(py, turn)?;
        }
    }
}

/// Waits for what commonly is a matter of a moment, in which no Python code runs, and then as `wait` does.
///
/// # Errors
/// As `wait`.
pub(super) fn wait_undisturbed(
    py: Python<'_>,
    wait_until: impl Fn(Instant) -> bool + Sync,
) -> PyResult<()> {
    if !moment(py, &wait_until) {
        wait(py, None, wait_until)?;
    }
    Ok(())
}

/// Waits for a moment: whether it has come. No Python code runs.
pub(super) fn moment(py: Python<'_>, wait: impl Fn(Instant) -> bool + Sync) -> bool {
    wait_here(py, Instant::now() + SIGNAL_CHECK, &wait)
}

/// Waits with `wait` until then. If this thread has clients of its own it serves them meanwhile: what is waited for may be
/// up to one of them.
fn wait_here(py: Python<'_>, until: Instant, wait: &(impl Fn(Instant) -> bool + Sync)) -> bool {
    if driving::has_clients() {
        detached(py, || driving::wait(until, wait))
    } else {
        detached(py, || wait(until))
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
