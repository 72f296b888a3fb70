//! Messages and replies as Python objects.

use super::answers::Answer;
use super::errors::type_name;
use crate::protocol::message::Kind;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

/// The type of `NO_REPLY`.
#[pyclass(frozen, name = "NoReply", module = "echoserver._core")]
pub(super) struct NoReply;

#[pymethods]
impl NoReply {
    #[new]
    pub(super) const fn new() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the interpreter calls it so")]
    const fn __repr__(&self) -> &'static str {
        "NO_REPLY"
    }

    #[expect(
        clippy::unused_self,
        reason = "pickled and copied as the one object it is"
    )]
    const fn __reduce__(&self) -> &'static str {
        "NO_REPLY"
    }
}

/// A message as callbacks get it.
pub(super) fn to_python<'py>(
    py: Python<'py>,
    kind: Kind,
    payload: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    match kind {
        Kind::Text => PyString::from_bytes(py, payload).map(Bound::into_any),
        Kind::Binary => Ok(PyBytes::new(py, payload).into_any()),
    }
}

/// What the example prints before one.
pub(super) const fn printed(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "Message received",
        Kind::Binary => "Binary Message received",
    }
}

/// What a callback has returned.
pub(super) enum Reply<'py> {
    Echo,
    Send(Payload<'py>),
    Nothing,
}

impl<'py> Reply<'py> {
    /// `None` echoes, text and bytes are sent instead, `NO_REPLY` sends nothing.
    pub(super) fn of(name: impl FnOnce() -> String, reply: &Bound<'py, PyAny>) -> PyResult<Self> {
        if reply.is_none() {
            return Ok(Self::Echo);
        }
        if reply.is_instance_of::<NoReply>() {
            return Ok(Self::Nothing);
        }
        let Some(payload) = payload(reply)? else {
            return Err(PyTypeError::new_err(format!(
                "{} returned {}, not None, str, bytes-like or NO_REPLY",
                name(),
                reply.get_type().name()?
            )));
        };
        if let Err(error) = payload.bytes() {
            let what = format!("{} returned a lone surrogate", name());
            return Err(explained(reply.py(), error, &what));
        }
        Ok(Self::Send(payload))
    }

    pub(super) fn answer(&self) -> Answer<'_> {
        match self {
            Self::Echo => Answer::Echo,
            // What is no UTF-8 was found when the reply was made.
            Self::Send(payload) => payload
                .bytes()
                .map_or(Answer::Nothing, |bytes| Answer::Send(payload.kind, bytes)),
            Self::Nothing => Answer::Nothing,
        }
    }
}

/// What can be sent, as found in a Python object.
pub(super) struct Payload<'py> {
    pub(super) kind: Kind,
    object: Bound<'py, PyAny>,
}

impl Payload<'_> {
    /// # Errors
    /// `UnicodeEncodeError` for text with a lone surrogate.
    pub(super) fn bytes(&self) -> PyResult<&[u8]> {
        match self.object.cast::<PyString>() {
            Ok(text) => Ok(text.to_str()?.as_bytes()),
            Err(_) => Ok(self.object.cast::<PyBytes>()?.as_bytes()),
        }
    }
}

/// A `UnicodeEncodeError`, which says where the surrogate is, with what it is about.
fn explained(py: Python<'_>, error: PyErr, what: &str) -> PyErr {
    // It has the attribute, and any other error says enough.
    let _ = error.value(py).setattr(intern!(py, "reason"), what);
    error
}

/// Text for a `str`, binary for anything bytes-like, `None` for the rest.
pub(super) fn payload<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Payload<'py>>> {
    if object.is_instance_of::<PyString>() {
        return Ok(Some(Payload {
            kind: Kind::Text,
            object: object.clone(),
        }));
    }
    if object.is_instance_of::<PyBytes>() {
        return Ok(Some(Payload {
            kind: Kind::Binary,
            object: object.clone(),
        }));
    }
    // memoryview reads every buffer, whatever its item type and layout.
    let view = match PyMemoryView::from(object) {
        Ok(view) => view,
        Err(error) if error.is_instance_of::<PyTypeError>(object.py()) => return Ok(None),
        Err(error) => return Err(error),
    };
    let object = view.call_method0(intern!(object.py(), "tobytes"))?;
    Ok(Some(Payload {
        kind: Kind::Binary,
        object,
    }))
}

/// What is sent by this method of the API.
///
/// # Errors
/// `TypeError`, which names the method.
pub(super) fn sendable<'py>(method: &str, object: &Bound<'py, PyAny>) -> PyResult<Payload<'py>> {
    let payload = payload(object)?.ok_or_else(|| {
        let actual = type_name(object);
        PyTypeError::new_err(format!(
            "{method}() takes str or bytes-like data, not {actual}"
        ))
    })?;
    if let Err(error) = payload.bytes() {
        let what = format!("{method}() takes no lone surrogates");
        return Err(explained(object.py(), error, &what));
    }
    Ok(payload)
}
