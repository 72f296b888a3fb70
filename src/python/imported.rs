//! What the binding uses of Python's modules, imported with the first server: later there may be no descriptors left to
//! read a module with, and at the end of the interpreter nothing can be imported.

use super::enter::{call, enter_with};
use super::errors;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyType};
use std::time::Duration;

pub(super) struct Imported {
    /// `echoserver.headers.Headers`.
    pub(super) headers: Py<PyAny>,
    /// `echoserver.sending.send`.
    pub(super) send: Py<PyAny>,
    /// `echoserver.sending.awaited`.
    pub(super) awaited: Py<PyAny>,
    /// `types.CoroutineType`, and the abstract classes of what else is one or can be awaited.
    pub(super) coroutine: Py<PyAny>,
    pub(super) any_coroutine: Py<PyType>,
    pub(super) any_awaitable: Py<PyType>,
    are_green: Py<PyAny>,
    loop_runs: Py<PyAny>,
    leave_to_others: Py<PyAny>,
    get_logger: Py<PyAny>,
}

impl Imported {
    /// Whether threads of `threading` share one of the operating system's.
    pub(super) fn are_green(&self, py: Python<'_>) -> PyResult<bool> {
        call(self.are_green.bind(py), ())?.is_truthy()
    }

    /// Whether an asyncio loop runs in this thread.
    pub(super) fn loop_runs(&self, py: Python<'_>) -> PyResult<bool> {
        call(self.loop_runs.bind(py), ())?.is_truthy()
    }

    /// Other green threads of this one run meanwhile; `false` where they can't.
    ///
    /// # Errors
    /// What another green thread raises in this one, such as a timeout.
    pub(super) fn leave_to_others(&self, py: Python<'_>, time: Duration) -> PyResult<bool> {
        call(self.leave_to_others.bind(py), (time.as_secs_f64(),))?.is_truthy()
    }

    /// The logger of that name, which is made when it is first used.
    pub(super) fn logger<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        call(self.get_logger.bind(py), (name,))
    }
}

pub(super) fn imported(py: Python<'_>) -> PyResult<&'static Imported> {
    static IMPORTED: PyOnceLock<Imported> = PyOnceLock::new();
    IMPORTED.get_or_try_init(py, || {
        let get = |module: &str, name: &str| py.import(module)?.getattr(name);
        errors::import(py);
        warm_up_printing(py)?;
        Ok(Imported {
            headers: get("echoserver.headers", "Headers")?.unbind(),
            send: get("echoserver.sending", "send")?.unbind(),
            awaited: get("echoserver.sending", "awaited")?.unbind(),
            any_awaitable: get("collections.abc", "Awaitable")?
                .cast_into::<PyType>()?
                .unbind(),
            coroutine: get("types", "CoroutineType")?.unbind(),
            any_coroutine: get("collections.abc", "Coroutine")?
                .cast_into::<PyType>()?
                .unbind(),
            are_green: get("echoserver.threads", "are_green")?.unbind(),
            loop_runs: get("echoserver.threads", "loop_runs")?.unbind(),
            leave_to_others: get("echoserver.threads", "leave_to_others")?.unbind(),
            get_logger: get("logging", "getLogger")?.unbind(),
        })
    })
}

/// From 3.15 on Python imports some of what it prints exceptions with when it first does.
fn warm_up_printing(py: Python<'_>) -> PyResult<()> {
    let nowhere = py.import("io")?.getattr("StringIO")?.call0()?;
    let print = py.import("traceback")?.getattr("print_exception")?;
    let exception = PyException::new_err(()).into_value(py);
    let options = [("file", nowhere)].into_py_dict(py)?;
    enter_with(&print, &(exception,).into_pyobject(py)?, Some(&options)).map(drop)
}

/// What prints.
pub(super) fn printing(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "echoserver.printing"))
}
