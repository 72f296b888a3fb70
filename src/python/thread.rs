//! A thread of the operating system's, for programs in which `threading` makes green ones (gevent, eventlet): a green
//! thread that runs the callbacks would stop all others of its thread. It touches no lock of Python's, which may be green
//! as well.

use super::argument::Argument;
use super::enter::enter;
use super::lock::lock;
use super::waiting;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// Whether the thread has ended, and who waits for that.
type End = (Mutex<bool>, Condvar);

/// Says so also if the thread panics.
struct Ended(Arc<End>);

impl Drop for Ended {
    fn drop(&mut self) {
        let (ended, condition) = &*self.0;
        *lock(ended) = true;
        condition.notify_all();
    }
}

/// A daemon thread of the operating system's that `threading` does not know of.
#[pyclass(frozen, name = "Thread", module = "echoserver._core")]
pub(super) struct NativeThread {
    /// What it is to call; `None` once it was started.
    target: Mutex<Option<Py<PyAny>>>,
    /// As the operating system shows it.
    #[pyo3(get)]
    name: String,
    end: Arc<End>,
}

#[pymethods]
impl NativeThread {
    #[new]
    fn new(target: Py<PyAny>, name: String) -> Self {
        Self {
            target: Mutex::new(Some(target)),
            name,
            end: Arc::default(),
        }
    }

    /// Starts it, once. RuntimeError if there is no thread to be had.
    fn start(&self) -> PyResult<()> {
        let Some(target) = lock(&self.target).take() else {
            return Err(PyRuntimeError::new_err("threads can only be started once"));
        };
        let ended = Ended(self.end.clone());
        let run = move || {
            let _ended = ended;
            Python::attach(|py| {
                let target = target.into_bound(py);
                if let Err(error) = enter(&target, &PyTuple::empty(py)) {
                    error.write_unraisable(py, Some(&target));
                }
            });
        };
        thread::Builder::new()
            .name(self.name.clone())
            .spawn(run)
            .map(drop)
            .map_err(|error| PyRuntimeError::new_err(format!("can't start a thread: {error}")))
    }

    /// Waits until it has ended, at most `timeout` seconds; signal handlers run meanwhile.
    fn join(&self, py: Python<'_>, timeout: Bound<'_, PyAny>) -> PyResult<()> {
        let timeout = Argument::of("timeout", timeout).seconds()?;
        let (ended, condition) = &*self.end;
        waiting::wait(py, Some(timeout), |until| {
            let left = until.saturating_duration_since(Instant::now());
            drop(condition.wait_timeout_while(lock(ended), left, |ended| !*ended));
            *lock(ended)
        })
        .map(drop)
    }

    /// Whether it has not ended.
    fn is_alive(&self) -> bool {
        !*lock(&self.end.0)
    }
}
