//! The callbacks of a server, and what one is called with.

use super::super::client::PyClient;
use super::super::handshake::PyRequest;
use crate::admission::Request;
use crate::client::Client;
use crate::handler::Wants;
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::Arc;

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
    pub(super) fn call(self, py: Python<'py>, callback: &Py<PyAny>) -> PyResult<Py<PyAny>> {
        match self {
            Self::None => callback.call0(py),
            Self::Request(request) => callback.call1(py, (request,)),
            Self::Client(client) => callback.call1(py, (client,)),
            Self::Message(client, message) => callback.call1(py, (client, message)),
        }
    }

    /// The same in a context of contextvars.
    pub(in crate::python) fn call_in(
        self,
        context: &Bound<'py, PyAny>,
        callback: &Py<PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let run = intern!(context.py(), "run");
        match self {
            Self::None => context.call_method1(run, (callback,)),
            Self::Request(request) => context.call_method1(run, (callback, request)),
            Self::Client(client) => context.call_method1(run, (callback, client)),
            Self::Message(client, message) => {
                context.call_method1(run, (callback, client, message))
            }
        }
    }
}

/// What a callback has brought; `None` if it goes on as a coroutine.
pub(in crate::python) type Called = Option<PyResult<Py<PyAny>>>;
