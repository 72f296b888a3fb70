//! What callbacks return to be awaited, and how it is driven a step.

use super::calls::{Stage, named};
use super::enter::{call, enter};
use super::errors::type_name;
use super::imported::imported;
use super::values::NoReply;
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// What has to be driven if a callback has returned something that has to be awaited: that, or a coroutine around it.
pub(super) fn awaited<'py>(reply: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = reply.py();
    // What callbacks mostly return: the abstract classes take long to say no.
    if reply.is_none()
        || reply.is_exact_instance_of::<PyString>()
        || reply.is_exact_instance_of::<NoReply>()
    {
        return Ok(None);
    }
    let imported = imported(py)?;
    if reply.get_type().is(&imported.coroutine) {
        return Ok(Some(reply.clone()));
    }
    if reply.is_exact_instance_of::<PyBytes>()
        || !reply.is_instance(imported.any_awaitable.bind(py))?
    {
        return Ok(None);
    }
    if reply.is_instance(imported.any_coroutine.bind(py))? {
        return Ok(Some(reply.clone()));
    }
    call(imported.awaited.bind(py), (reply,)).map(Some)
}

/// Where no event loop runs the callbacks, what would have to be awaited is an error of the callback that has returned
/// it.
pub(super) fn refuse(
    stage: Stage,
    callback: &Bound<'_, PyAny>,
    reply: Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    let Some(coroutine) = awaited(&reply)? else {
        return Ok(reply.unbind());
    };
    // It was never begun, so nothing of it runs.
    coroutine.call_method0(intern!(reply.py(), "close"))?;
    Err(PyTypeError::new_err(format!(
        "{} returned {}, but is no `async def` itself: make it one, or serve on an event loop",
        named(stage, callback),
        type_name(&reply)
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
