//! What goes to Python's logging, to the loggers `echoserver` and `echoserver.connections`. How that is set up is the
//! application's affair. Beside its text a record has what it says as a dictionary, in its attribute `echoserver`.

use super::enter::{call_method, enter_with};
use super::events::{Ended, Refusal};
use super::imported::imported;
use crate::client::Client;
use crate::error::quoted;
use crate::handler::Wants;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict, PyTuple};

/// `logging.DEBUG`.
const DEBUG: u8 = 10;
/// The loggers.
const SERVER: &str = "echoserver";
const CONNECTIONS: &str = "echoserver.connections";
/// Characters that are shown of what a client has chosen.
const MOST_SHOWN: usize = 200;

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
    let error = imported(py)?
        .logger(py, SERVER)?
        .getattr(intern!(py, "error"))?;
    let arguments = ("%s", &failure.text).into_pyobject(py)?;
    enter_with(&error, &arguments, Some(&options)).map(drop)
}

/// What of the clients is to be told, as the levels are now. Refusals always are, so that a level that changes holds for
/// them: they are few, or too many to be queued.
pub(super) fn wants(py: Python<'_>) -> PyResult<Wants> {
    let is_at_debug = |name| {
        let logger = imported(py)?.logger(py, name)?;
        call_method(&logger, intern!(py, "isEnabledFor"), (DEBUG,))?.is_truthy()
    };
    let mut wants = Wants::REFUSAL;
    if is_at_debug(SERVER)? {
        wants = wants | Wants::OPEN;
    }
    if is_at_debug(CONNECTIONS)? {
        wants = wants | Wants::SUMMARY;
    }
    Ok(wants)
}

/// At INFO: whoever can connect can cause it, as often as it likes. `unlogged` are those before it that were not queued.
pub(super) fn refusal(
    py: Python<'_>,
    text: &str,
    refusal: &Refusal,
    unlogged: u64,
) -> PyResult<()> {
    let info = imported(py)?
        .logger(py, SERVER)?
        .getattr(intern!(py, "info"))?;
    let said = facts(py, refusal.event)?;
    said.set_item(intern!(py, "reason"), &refusal.reason)?;
    if let Some(peer) = &refusal.peer {
        let peer = peer.to_string();
        said.set_item(intern!(py, "peer"), &peer)?;
        say(&info, (text, peer, &refusal.reason), &said)?;
    } else {
        say(&info, (text, &refusal.reason), &said)?;
    }
    rest(
        &info,
        "%d more were refused, too many at once to be logged",
        unlogged,
    )
}

/// At DEBUG.
pub(super) fn connected(py: Python<'_>, client: &Client) -> PyResult<()> {
    let debug = imported(py)?
        .logger(py, SERVER)?
        .getattr(intern!(py, "debug"))?;
    let (peer, path) = (client.peer().to_string(), path(client));
    let said = facts(py, "connected")?;
    said.set_item(intern!(py, "client"), client.id)?;
    said.set_item(intern!(py, "peer"), &peer)?;
    said.set_item(intern!(py, "path"), &path)?;
    say(
        &debug,
        ("client %d from %s connected: %s", client.id, peer, path),
        &said,
    )
}

/// At DEBUG, with all that there was. `unlogged` are those before it that were not queued.
pub(super) fn ended(py: Python<'_>, ended: &Ended, unlogged: u64) -> PyResult<()> {
    let logger = imported(py)?.logger(py, CONNECTIONS)?;
    let debug = logger.getattr(intern!(py, "debug"))?;
    let Ended {
        client, summary, ..
    } = ended;
    let (code, reason) = client
        .ended()
        .map_or((0, ""), |(code, reason)| (*code, reason));
    let (peer, path) = (client.peer().to_string(), path(client));
    let proxied_by = client.proxied_by().map(|balancer| balancer.to_string());
    let subprotocol = client.subprotocol.as_deref().map(shortened);
    let (received, sent) = (summary.received.sum(), summary.sent.sum());
    let seconds = summary.time.as_secs_f64();
    let said = facts(py, "disconnected")?;
    said.set_item(intern!(py, "client"), client.id)?;
    said.set_item(intern!(py, "peer"), &peer)?;
    said.set_item(intern!(py, "proxied_by"), &proxied_by)?;
    said.set_item(intern!(py, "path"), &path)?;
    said.set_item(intern!(py, "subprotocol"), &subprotocol)?;
    said.set_item(intern!(py, "code"), code)?;
    said.set_item(intern!(py, "reason"), reason)?;
    said.set_item(intern!(py, "seconds"), seconds)?;
    said.set_item(intern!(py, "messages_received"), received.messages)?;
    said.set_item(intern!(py, "bytes_received"), received.bytes)?;
    said.set_item(intern!(py, "messages_sent"), sent.messages)?;
    said.set_item(intern!(py, "bytes_sent"), sent.bytes)?;
    let by = proxied_by.map_or_else(String::new, |by| format!(" proxied_by={by}"));
    let text = format!(
        "code={code} reason={} path={} subprotocol={} seconds={seconds:.3} messages_received={} bytes_received={} \
         messages_sent={} bytes_sent={}{by}",
        quoted(reason),
        quoted(&path),
        subprotocol
            .as_deref()
            .map_or_else(|| "None".to_owned(), quoted),
        received.messages,
        received.bytes,
        sent.messages,
        sent.bytes,
    );
    say(
        &debug,
        ("client %d from %s disconnected: %s", client.id, peer, text),
        &said,
    )?;
    rest(
        &debug,
        "%d more were disconnected, too many at once to be logged",
        unlogged,
    )
}

/// The path that it has asked for, or the beginning of it.
fn path(client: &Client) -> String {
    let head = client.head();
    shortened(head.as_ref().map_or("", |head| head.path()))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// Those that were not queued, if there were any.
fn rest(log: &Bound<'_, PyAny>, text: &str, unlogged: u64) -> PyResult<()> {
    if unlogged == 0 {
        return Ok(());
    }
    let said = facts(log.py(), "unlogged")?;
    said.set_item(intern!(log.py(), "count"), unlogged)?;
    say(log, (text, unlogged), &said)
}

/// What a record says, for programs.
fn facts<'py>(py: Python<'py>, event: &str) -> PyResult<Bound<'py, PyDict>> {
    [(intern!(py, "event"), event)].into_py_dict(py)
}

/// Has a logger's method say that.
fn say<'py, A>(log: &Bound<'py, PyAny>, arguments: A, said: &Bound<'py, PyDict>) -> PyResult<()>
where
    A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    PyErr: From<A::Error>,
{
    let py = log.py();
    let extra = [(intern!(py, "echoserver"), said)].into_py_dict(py)?;
    let options = [(intern!(py, "extra"), extra)].into_py_dict(py)?;
    let arguments = arguments.into_pyobject(py)?;
    enter_with(log, &arguments, Some(&options)).map(drop)
}
