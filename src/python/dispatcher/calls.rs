//! The callbacks of a server, and what one is called with.

use super::super::client::PyClient;
use super::super::handshake::PyRequest;
use crate::admission::Request;
use crate::client::Client;
use crate::handler::Wants;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::mem;
use std::sync::Arc;
use std::thread;

/// What the embedding program wants to be called.
#[expect(clippy::struct_field_names, reason = "the names of the Python API")]
pub(in crate::python) struct Callbacks {
    pub(in crate::python) on_handshake: Option<Py<PyAny>>,
    pub(in crate::python) on_connect: Option<Py<PyAny>>,
    pub(in crate::python) on_text: Option<Py<PyAny>>,
    pub(in crate::python) on_binary: Option<Py<PyAny>>,
    pub(in crate::python) on_disconnect: Option<Py<PyAny>>,
    pub(in crate::python) on_closed: Option<Py<PyAny>>,
}

/// What a callback is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::python) enum Stage {
    Handshake,
    Open,
    Text,
    Binary,
    Close,
    Closed,
}

impl Stage {
    pub(in crate::python) const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "on_handshake",
            Self::Open => "on_connect",
            Self::Text => "on_text",
            Self::Binary => "on_binary",
            Self::Close => "on_disconnect",
            Self::Closed => "on_closed",
        }
    }
}

impl Callbacks {
    pub(in crate::python) const fn of(&self, stage: Stage) -> Option<&Py<PyAny>> {
        match stage {
            Stage::Handshake => self.on_handshake.as_ref(),
            Stage::Open => self.on_connect.as_ref(),
            Stage::Text => self.on_text.as_ref(),
            Stage::Binary => self.on_binary.as_ref(),
            Stage::Close => self.on_disconnect.as_ref(),
            Stage::Closed => self.on_closed.as_ref(),
        }
    }

    pub(in crate::python) fn wants(&self) -> Wants {
        let mut wants = Wants::NOTHING;
        let all = [
            (&self.on_handshake, Wants::HANDSHAKE),
            (&self.on_connect, Wants::OPEN),
            (&self.on_text, Wants::TEXT),
            (&self.on_binary, Wants::BINARY),
            (&self.on_disconnect, Wants::CLOSE),
        ];
        for (callback, want) in all {
            if callback.is_some() {
                wants = wants | want;
            }
        }
        wants
    }
}

/// Whose callback it is.
#[derive(Clone, Copy)]
pub(in crate::python) enum Whose<'a> {
    Server,
    Request(&'a Arc<Request>),
    Client(&'a Arc<Client>),
}

/// The arguments of a callback.
pub(in crate::python) enum Args<'a, 'py> {
    None,
    Request(Py<PyRequest>),
    Client(Py<PyClient>),
    Message(&'a Py<PyClient>, Bound<'py, PyAny>),
}

impl<'py> Args<'_, 'py> {
    pub(super) fn call(self, py: Python<'py>, callback: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let arguments = match self {
            Self::None => PyTuple::empty(py),
            Self::Request(request) => (request,).into_pyobject(py)?,
            Self::Client(client) => (client,).into_pyobject(py)?,
            Self::Message(client, message) => (client, message).into_pyobject(py)?,
        };
        enter(callback.bind(py), &arguments)
    }

    /// The same in a context of contextvars.
    pub(in crate::python) fn call_in(
        self,
        context: &Bound<'py, PyAny>,
        callback: &Py<PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = context.py();
        let arguments = match self {
            Self::None => (callback,).into_pyobject(py)?,
            Self::Request(request) => (callback, request).into_pyobject(py)?,
            Self::Client(client) => (callback, client).into_pyobject(py)?,
            Self::Message(client, message) => (callback, client, message).into_pyobject(py)?,
        };
        enter(&context.getattr(intern!(py, "run"))?, &arguments)
    }
}

/// Calls code of the application, which may run when the interpreter ends. A thread that asks for the interpreter then
/// is ended by unwinding, which Rust may not survive, and what its frames drop is not theirs any more: it parks for ever
/// instead, as pyo3 has it do where pyo3 asks. So nothing may be owned between here and the interpreter.
pub(in crate::python) fn enter<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    struct Parked;
    impl Drop for Parked {
        fn drop(&mut self) {
            while !thread::panicking() {
                thread::park();
            }
        }
    }
    let parked = Parked;
    let result = callable.call1(arguments);
    mem::forget(parked);
    result
}

/// What a callback has brought; `None` if it goes on as a coroutine.
pub(in crate::python) type Called = Option<PyResult<Py<PyAny>>>;
