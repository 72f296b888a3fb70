//! The callbacks of a server, and what one is called with.

use super::client::PyClient;
use super::enter::enter;
use super::handshake::PyRequest;
use crate::admission::Request;
use crate::client::Client;
use crate::handler::Wants;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::Arc;

/// What the embedding program wants to be called.
#[expect(clippy::struct_field_names, reason = "the names of the Python API")]
pub(super) struct Callbacks {
    pub(super) on_handshake: Option<Py<PyAny>>,
    pub(super) on_connect: Option<Py<PyAny>>,
    pub(super) on_text: Option<Py<PyAny>>,
    pub(super) on_binary: Option<Py<PyAny>>,
    pub(super) on_disconnect: Option<Py<PyAny>>,
    pub(super) on_closed: Option<Py<PyAny>>,
    pub(super) on_error: Option<Py<PyAny>>,
}

/// What a callback is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Handshake,
    Open,
    Text,
    Binary,
    Close,
    Closed,
    /// Another has failed.
    Error,
}

impl Stage {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "on_handshake",
            Self::Open => "on_connect",
            Self::Text => "on_text",
            Self::Binary => "on_binary",
            Self::Close => "on_disconnect",
            Self::Closed => "on_closed",
            Self::Error => "on_error",
        }
    }
}

impl Callbacks {
    pub(super) const fn of(&self, stage: Stage) -> Option<&Py<PyAny>> {
        match stage {
            Stage::Handshake => self.on_handshake.as_ref(),
            Stage::Open => self.on_connect.as_ref(),
            Stage::Text => self.on_text.as_ref(),
            Stage::Binary => self.on_binary.as_ref(),
            Stage::Close => self.on_disconnect.as_ref(),
            Stage::Closed => self.on_closed.as_ref(),
            Stage::Error => self.on_error.as_ref(),
        }
    }

    /// Those that there are.
    pub(super) fn all(&self) -> impl Iterator<Item = &Py<PyAny>> {
        let all = [
            &self.on_handshake,
            &self.on_connect,
            &self.on_text,
            &self.on_binary,
            &self.on_disconnect,
            &self.on_closed,
            &self.on_error,
        ];
        all.into_iter().flatten()
    }

    pub(super) fn wants(&self) -> Wants {
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

/// A callback as errors name it: with the place of its code, if it has one.
pub(super) fn named(stage: Stage, callback: &Bound<'_, PyAny>) -> String {
    let py = callback.py();
    let place = || -> PyResult<String> {
        let mut function = callback.clone();
        // Through methods, partials and what wraps a function, to the function itself; a bound for those in a circle.
        for _ in 0..16 {
            let inner = ["__wrapped__", "__func__", "func"]
                .into_iter()
                .find_map(|name| function.getattr(name).ok());
            match inner {
                Some(inner) => function = inner,
                None => break,
            }
        }
        let code = match function.getattr(intern!(py, "__code__")) {
            Ok(code) => code,
            Err(_) => function
                .get_type()
                .getattr(intern!(py, "__call__"))?
                .getattr(intern!(py, "__code__"))?,
        };
        let file = code.getattr(intern!(py, "co_filename"))?;
        let line = code.getattr(intern!(py, "co_firstlineno"))?;
        Ok(format!("{} (\"{file}\", line {line})", stage.name()))
    };
    place().unwrap_or_else(|_| stage.name().to_owned())
}

/// Whose callback it is.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    Server,
    Request(&'a Arc<Request>),
    Client(&'a Arc<Client>),
    /// Of a failure: it is nobody's turn, and runs beside the callbacks of whoever it is about.
    Error,
}

/// The arguments of a callback.
pub(super) enum Args<'a, 'py> {
    None,
    Request(Py<PyRequest>),
    Client(Py<PyClient>),
    Message(&'a Py<PyClient>, Bound<'py, PyAny>),
    Error(Option<Py<PyClient>>, Bound<'py, PyAny>),
}

impl<'py> Args<'_, 'py> {
    pub(super) fn call(self, py: Python<'py>, callback: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let arguments = match self {
            Self::None => PyTuple::empty(py),
            Self::Request(request) => (request,).into_pyobject(py)?,
            Self::Client(client) => (client,).into_pyobject(py)?,
            Self::Message(client, message) => (client, message).into_pyobject(py)?,
            Self::Error(client, error) => (client, error).into_pyobject(py)?,
        };
        enter(callback.bind(py), &arguments)
    }

    /// The same in a context of contextvars.
    pub(super) fn call_in(
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
            Self::Error(client, error) => (callback, client, error).into_pyobject(py)?,
        };
        enter(&context.getattr(intern!(py, "run"))?, &arguments)
    }
}

/// What a callback has brought; `None` if it goes on as a coroutine.
pub(super) type Called = Option<PyResult<Py<PyAny>>>;
