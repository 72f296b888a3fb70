//! `_core.ManualClock`: the clock of servers whose test advances it.

use super::argument::Argument;
use super::catching_up::catch_up;
use super::control::Awaited;
use super::crossing;
use super::fork::forks;
use super::imported::imported;
use super::link::Link;
use super::lock::lock;
use super::waiting;
use crate::manual_clock::{Advance, ManualClock};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::{Arc, Mutex, Weak};

/// A clock for the timers of servers that stands still until a test advances it: `EchoServer(clock=ManualClock())`.
///
/// Several servers may share one, and it may outlive them. Any thread. In a process that was forked after it was made
/// every call raises RuntimeError.
#[pyclass(frozen, name = "ManualClock", module = "echoserver._core")]
pub(super) struct PyManualClock {
    clock: Arc<ManualClock>,
    /// Forks of this process when it was made.
    forks: u32,
    /// The servers that have it.
    links: Mutex<Vec<Weak<Link>>>,
}

#[pymethods]
impl PyManualClock {
    #[new]
    fn new() -> Self {
        Self {
            clock: Arc::default(),
            forks: forks(),
            links: Mutex::default(),
        }
    }

    /// Seconds by which it was advanced in all.
    #[getter]
    fn time(&self) -> PyResult<f64> {
        self.check_process()?;
        Ok(self.clock.shown().as_secs_f64())
    }

    /// Lets `seconds` pass in one jump, and returns when the servers have done all that was due by then.
    ///
    /// What clients had sent before, as far as it has arrived, is seen at the old time. Then the clock shows the new
    /// one, and everything due by then happens once, in the order of its times on all connections of all servers; what
    /// that arms counts from the new time: `advance(100)` with a `ping_interval` of 20 brings one ping, and 20 s later
    /// the next is due. Each server waits for its clients again then; callbacks are queued, and not awaited.
    ///
    /// With no server that serves it only shows another time. Of several threads one advances after the other, each by
    /// its own seconds. Ctrl-C ends the wait, and not what was begun. TypeError or ValueError for what is no number
    /// from 0 to a year. RuntimeError in a callback of one of the servers, and in the thread of a running event loop,
    /// which waiting would stop: there use `advance_async()`.
    fn advance(&self, py: Python<'_>, seconds: Bound<'_, PyAny>) -> PyResult<()> {
        let seconds = Argument::of("seconds", seconds).advance()?;
        self.check("advance()")?;
        if imported(py)?.loop_runs(py)? {
            return Err(PyRuntimeError::new_err(
                "advance() would stop the event loop that runs in this thread: await advance_async() instead",
            ));
        }
        self.catch_up(py)?;
        let advance = py.detach(|| self.clock.advance(seconds));
        waiting::wait(py, None, |until| advance.wait(Some(until)))?;
        Ok(())
    }

    /// As `advance`, to be awaited, on any event loop. It begins with the call; cancelled, it goes on all the same.
    ///
    /// RuntimeError in a callback, and where no event loop runs.
    fn advance_async<'py>(
        &self,
        py: Python<'py>,
        seconds: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let seconds = Argument::of("seconds", seconds).advance()?;
        self.check("advance_async()")?;
        // Nothing happens where nobody can wait for it.
        pyo3_async_runtimes::get_running_loop(py)?;
        self.catch_up(py)?;
        let advance = py.detach(|| self.clock.advance(seconds));
        let advance = Arc::new(Mutex::new(advance));
        crossing::future(py, advance.clone(), move |cx| lock(&advance).poll(cx))
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<ManualClock {} s>", self.time()?))
    }
}

impl Awaited for Mutex<Advance> {
    fn has_ended(&self) -> bool {
        lock(self).is_over()
    }
}

impl PyManualClock {
    fn check_process(&self) -> PyResult<()> {
        if self.forks == forks() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "this clock belongs to the process that was forked, as the servers that have it: make one here",
        ))
    }

    /// What callbacks have sent before is done when the clock is advanced.
    ///
    /// # Errors
    /// What a signal's handler raises.
    fn catch_up(&self, py: Python<'_>) -> PyResult<()> {
        let links: Vec<_> = lock(&self.links).iter().filter_map(Weak::upgrade).collect();
        links
            .iter()
            .try_for_each(|link| catch_up(py, link).map(drop))
    }

    /// # Errors
    /// `RuntimeError` in a forked process, and where `call` comes from a callback.
    fn check(&self, call: &str) -> PyResult<()> {
        self.check_process()?;
        let links = lock(&self.links);
        let mut callbacks = links
            .iter()
            .filter_map(|link| link.upgrade()?.own_callback());
        callbacks.next().map_or(Ok(()), |name| {
            Err(PyRuntimeError::new_err(format!(
                "{call} in a callback, {name}: what it brings about waits for that to return; \
                advance the clock in the test instead"
            )))
        })
    }
}

/// The option `clock`.
pub(super) fn option(argument: &Argument<'_>) -> PyResult<Arc<ManualClock>> {
    let clock = argument.value().cast::<PyManualClock>();
    let clock = clock.map(Bound::get);
    let clock = clock
        .map_err(|_error| argument.wrong_type("a ManualClock of echoserver.testing, or None"))?;
    clock.check_process()?;
    Ok(clock.clock.clone())
}

/// A server with these options is made: its callbacks can't advance its clock.
pub(super) fn note(options: &Bound<'_, PyDict>, link: &Arc<Link>) -> PyResult<()> {
    if let Some(clock) = options.get_item("clock")?
        && let Ok(clock) = clock.cast::<PyManualClock>()
    {
        let mut links = lock(&clock.get().links);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }
    Ok(())
}
