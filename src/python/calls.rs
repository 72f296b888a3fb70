//! The callbacks of a server, and what one is called with.

use super::client::PyClient;
use super::enter::enter;
use super::handshake::PyRequest;
use super::lock::lock;
use super::wanted::{Wanted, Whom};
use crate::admission::Request;
use crate::client::Client;
use crate::handler::Wants;
use crate::protocol::message::Kind;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::mem;
use std::sync::{Arc, Mutex};

/// What the embedding program wants to be called, by stage. May change at any time.
pub(super) struct Callbacks(Mutex<Table>);

type Table = [Option<Py<PyAny>>; Stage::ALL.len()];

/// Every callback once: what it is called for, its name, and what the workers have to tell for it.
macro_rules! callbacks {
    ($($(#[$doc:meta])* $stage:ident: $name:literal, $wants:expr;)+) => {
        /// What a callback is called for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Stage { $($(#[$doc])* $stage,)+ }

        impl Stage {
            pub(super) const ALL: [Self; [$($name),+].len()] = [$(Self::$stage),+];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$stage => $name,)+ }
            }

            const fn wants(self) -> Wants {
                match self { $(Self::$stage => $wants,)+ }
            }
        }
    };
}

callbacks! {
    Handshake: "on_handshake", Wants::HANDSHAKE;
    Open: "on_connect", Wants::OPEN;
    Text: "on_text", Wants::TEXT;
    Binary: "on_binary", Wants::BINARY;
    Close: "on_disconnect", Wants::CLOSE;
    Closed: "on_closed", Wants::NOTHING;
    /// Another has failed.
    Error: "on_error", Wants::NOTHING;
}

impl Stage {
    /// That of a callback by this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// Whether messages are what it is called for.
    pub(super) const fn is_message(self) -> bool {
        self.wants().has(Wants::MESSAGES)
    }

    /// That of the callback which is called for messages of this kind.
    pub(super) const fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
        }
    }
}

impl Callbacks {
    pub(super) const fn new() -> Self {
        Self(Mutex::new([const { None }; Stage::ALL.len()]))
    }

    pub(super) fn of(&self, py: Python<'_>, stage: Stage) -> Option<Py<PyAny>> {
        let table = lock(&self.0);
        Some(table[stage as usize].as_ref()?.clone_ref(py))
    }

    pub(super) fn has(&self, stage: Stage) -> bool {
        lock(&self.0)[stage as usize].is_some()
    }

    /// Has `callback` called from now on, and the workers told what that wants.
    pub(super) fn set(&self, stage: Stage, callback: Option<Py<PyAny>>, wanted: &Wanted) {
        let mut table = lock(&self.0);
        let old = mem::replace(&mut table[stage as usize], callback);
        wanted.set(Whom::Callbacks, wants(&table));
        drop(table);
        // After the lock: it may run Python code.
        drop(old);
    }

    /// For the collector.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Locked only by whoever looks one up at this moment: then there are references from a running thread.
        if let Ok(table) = self.0.try_lock() {
            for callback in table.iter().flatten() {
                visit.call(callback)?;
            }
        }
        Ok(())
    }
}

fn wants(table: &Table) -> Wants {
    Stage::ALL
        .into_iter()
        .filter(|stage| table[*stage as usize].is_some())
        .fold(Wants::NOTHING, |all, stage| all | stage.wants())
}

/// The names of all, for Python.
pub(super) fn names(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    PyTuple::new(py, Stage::ALL.map(Stage::name))
}

/// A callback as errors name it: with the place of its code, if it has one.
pub(super) fn named(stage: Stage, callback: &Bound<'_, PyAny>) -> String {
    let py = callback.py();
    let place = || -> PyResult<String> {
        let mut function = callback.clone();
        // Through methods, partials and what wraps a function, to the function itself; a bound for those in a circle.
        for _ in 0..16 {
            let names = [
                intern!(py, "__wrapped__"),
                intern!(py, "__func__"),
                intern!(py, "func"),
            ];
            let inner = names
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
