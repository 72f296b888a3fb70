//! Coroutines that callbacks return: what they are, and how one is driven a step.

use super::enter::enter;
use super::imported::imported;
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// Whether a callback has returned something that has to be awaited.
pub(super) fn is_coroutine(reply: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = reply.py();
    if reply.is_none() || reply.is_exact_instance_of::<PyString>() {
        return Ok(false);
    }
    let imported = imported(py)?;
    if reply.get_type().is(&imported.coroutine) {
        return Ok(true);
    }
    if reply.is_exact_instance_of::<PyBytes>() {
        return Ok(false);
    }
    reply.is_instance(imported.any_coroutine.bind(py))
}

/// Where no event loop runs the callbacks, a coroutine is an error of the callback that has returned it.
pub(super) fn refuse(name: &str, reply: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    if !is_coroutine(reply)? {
        return Ok(reply.clone().unbind());
    }
    // It was never begun, so nothing of it runs.
    reply.call_method0(intern!(reply.py(), "close"))?;
    Err(PyTypeError::new_err(format!(
        "{name} returned a coroutine, but is no `async def` itself: make it one, or serve on an event loop"
    )))
}

/// How far a step of a coroutine has come.
pub(super) enum Step {
    /// To its end.
    Done(PyResult<Py<PyAny>>),
    /// It waits for this.
    Yielded(Py<PyAny>),
}

/// Runs a coroutine in `context` up to where it waits.
pub(super) fn step(
    coroutine: &Bound<'_, PyAny>,
    context: &Bound<'_, PyAny>,
    thrown: Option<PyErr>,
) -> Step {
    let py = coroutine.py();
    let begin = || {
        let arguments = match thrown {
            None => (coroutine.getattr(intern!(py, "send"))?, py.None()).into_pyobject(py)?,
            Some(error) => {
                let throw = coroutine.getattr(intern!(py, "throw"))?;
                (throw, error.into_value(py)).into_pyobject(py)?
            }
        };
        enter(&context.getattr(intern!(py, "run"))?, &arguments)
    };
    match begin() {
        Ok(yielded) => Step::Yielded(yielded.unbind()),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => Step::Done(
            error
                .value(py)
                .getattr(intern!(py, "value"))
                .map(Bound::unbind),
        ),
        Err(error) => Step::Done(Err(error)),
    }
}
