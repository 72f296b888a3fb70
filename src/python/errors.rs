//! [`Error`] as a Python exception: the only place where that is decided.

use crate::error::{Error, shortened};
use crate::order::SendError;
use crate::protocol::frame::MAX_CONTROL;
use crate::protocol::http;
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::io;

mod imported {

    pyo3::import_exception!(echoserver.exceptions, BindError);
    pyo3::import_exception!(echoserver.exceptions, SendQueueFull);
    pyo3::import_exception!(echoserver.exceptions, ClientClosed);
}
use imported::{BindError, ClientClosed, SendQueueFull};

/// Imports the classes of these exceptions.
pub(super) fn import(py: Python<'_>) {
    let _ = (
        BindError::type_object(py),
        ClientClosed::type_object(py),
        SendQueueFull::type_object(py),
    );
}

impl From<http::Invalid> for PyErr {
    fn from(invalid: http::Invalid) -> Self {
        Error::from(invalid).into()
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Invalid { .. } | Error::Content { .. } => PyValueError::new_err(text),
            Error::File {
                option,
                path,
                source,
            } => {
                // As Python's own: the file's name apart, and the reason without the number.
                let reason = source.to_string();
                let reason = reason.split(" (os error").next().unwrap_or_default();
                PyOSError::new_err((
                    source.raw_os_error(),
                    format!("{option}: {reason}"),
                    path.into_os_string(),
                ))
            }
            Error::Listen { source, host, .. } => {
                let errno = source.raw_os_error().or_else(|| lookup_error(&host));
                BindError::new_err((errno, text))
            }
            Error::ListenUnix { source, .. } => BindError::new_err((source.raw_os_error(), text)),
            Error::Start { source } => os_error(&source, text),
            Error::State(_) => PyRuntimeError::new_err(text),
        }
    }
}

/// The number of a failed look-up, which the standard library does not tell: Python's does.
fn lookup_error(host: &str) -> Option<i32> {
    Python::attach(|py| {
        let socket = py.import("socket").ok()?;
        let error = socket.call_method1("getaddrinfo", (host, 0)).err()?;
        error.value(py).getattr("errno").ok()?.extract().ok()
    })
}

fn os_error(source: &io::Error, text: String) -> PyErr {
    PyOSError::new_err((source.raw_os_error(), text))
}

/// What an error shows of a value: its `repr()`, shortened; something also if that raises.
#[pyfunction]
pub(super) fn shown(value: &Bound<'_, PyAny>) -> String {
    value.repr().map_or_else(
        |error| {
            format!(
                "<{} whose repr() raises {}>",
                type_name(value),
                type_name(error.value(value.py()))
            )
        },
        |text| shortened(&text.to_string_lossy()).into_owned(),
    )
}

/// The name of a value's type.
pub(super) fn type_name(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name();
    name.map_or_else(|_| "something else".into(), |name| name.to_string())
}

/// Why a message for client `id` was not taken.
pub(super) fn send_error(error: &SendError, id: u64, limit: usize) -> PyErr {
    match error {
        SendError::Closed => ClientClosed::new_err(format!("client {id} is closed")),
        SendError::Full(queued) => SendQueueFull::new_err(format!(
            "{queued} bytes wait to be sent to client {id}, max_send_queue={limit} has no room for more"
        )),
        SendError::PingTooLong(len) => PyValueError::new_err(format!(
            "payload of {len} bytes: a ping has at most {MAX_CONTROL} (RFC 6455 section 5.5)"
        )),
    }
}

/// What every call gets in a process that was forked from the one that made the server.
pub(super) fn forked() -> PyErr {
    PyRuntimeError::new_err(
        "this server belongs to the process that was forked; its threads are not in the child: make a server here",
    )
}
