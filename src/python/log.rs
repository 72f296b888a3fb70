//! What goes to Python's logging, to the logger `echoserver`. How that is set up is the application's affair.

use super::enter::{call_method, enter_with};
use super::events::Refusal;
use super::imported::imported;
use crate::client::Client;
use crate::handler::Wants;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

/// `logging.DEBUG`.
const DEBUG: u8 = 10;

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
    let error = imported(py)?.logger(py)?.getattr(intern!(py, "error"))?;
    let arguments = ("%s", &failure.text).into_pyobject(py)?;
    enter_with(&error, &arguments, Some(&options)).map(drop)
}

/// What of the clients is to be told, as the level is now. Refusals always are, so that a level that changes holds for
/// them: they are few, or too many to be queued.
pub(super) fn wants(py: Python<'_>) -> PyResult<Wants> {
    let logger = imported(py)?.logger(py)?;
    let is_enabled = call_method(&logger, intern!(py, "isEnabledFor"), (DEBUG,))?.is_truthy()?;
    Ok(if is_enabled {
        Wants::REFUSAL | Wants::OPEN | Wants::CLOSE
    } else {
        Wants::REFUSAL
    })
}

/// At INFO: whoever can connect can cause it, as often as it likes. `unlogged` are those before it that were not queued.
pub(super) fn refusal(py: Python<'_>, refusal: &Refusal, unlogged: u64) -> PyResult<()> {
    let (logger, info) = (imported(py)?.logger(py)?, intern!(py, "info"));
    let peer = refusal.peer.to_string();
    call_method(&logger, info, (refusal.text, peer, &refusal.reason))?;
    if unlogged > 0 {
        let text = "%d more were refused, too many at once to be logged";
        call_method(&logger, info, (text, unlogged))?;
    }
    Ok(())
}

/// At DEBUG.
pub(super) fn connected(py: Python<'_>, client: &Client) -> PyResult<()> {
    let head = client.head();
    let path = head.as_ref().map_or("", |head| head.path());
    let text = "client %d from %s connected: %s";
    debug(py, (text, client.id, client.peer().to_string(), path))
}

/// At DEBUG, with the close code.
pub(super) fn disconnected(py: Python<'_>, client: &Client) -> PyResult<()> {
    let code = client.ended().map(|(code, _)| *code);
    let text = "client %d from %s disconnected: %s";
    debug(py, (text, client.id, client.peer().to_string(), code))
}

fn debug(
    py: Python<'_>,
    arguments: (&str, u64, String, impl for<'py> IntoPyObject<'py>),
) -> PyResult<()> {
    let logger = imported(py)?.logger(py)?;
    call_method(&logger, intern!(py, "debug"), arguments).map(drop)
}
