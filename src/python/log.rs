//! What goes to Python's logging, to the logger `echoserver`. How that is set up is the application's affair.

use super::imported::imported;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

/// An exception of a callback, as it is told.
pub(super) struct Failure<'py> {
    /// What has failed, and for whom.
    pub(super) text: String,
    pub(super) error: Bound<'py, PyAny>,
    pub(super) callback: Option<Bound<'py, PyAny>>,
    /// The `Client`, if it was for one.
    pub(super) client: Option<Bound<'py, PyAny>>,
}

/// At ERROR, with its traceback.
pub(super) fn failure(failure: &Failure<'_>) -> PyResult<()> {
    let py = failure.error.py();
    let options = [(intern!(py, "exc_info"), &failure.error)].into_py_dict(py)?;
    imported(py)?
        .logger(py)?
        .call_method(intern!(py, "error"), ("%s", &failure.text), Some(&options))
        .map(drop)
}
