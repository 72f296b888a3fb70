//! What a callback has failed with: counted, and given to `on_error` or to who runs the callbacks, for the log. The
//! connection lives on.

use super::super::calls::{Args, Stage, Whose, named};
use super::super::log::Failure;
use super::super::runner::Runner;
use super::Dispatcher;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::atomic::Ordering;

impl<'py, R: Runner<'py>> Dispatcher<'_, 'py, R> {
    /// Reports what a callback has brought, if that is an exception.
    pub(super) fn report<T>(&mut self, stage: Stage, whose: Whose<'_>, called: PyResult<T>) {
        let Some(error) = self.failed(called) else {
            return;
        };
        let (py, shared) = (self.py, self.shared);
        let client = match whose {
            // Out of memory at the worst: then it is told without.
            Whose::Client(client) => shared.client(py, client).ok(),
            Whose::Server | Whose::Request(_) | Whose::Error => None,
        };
        if stage == Stage::Error || !shared.callbacks.has(Stage::Error) {
            let name = self.named(stage);
            let text = match whose {
                Whose::Client(client) => format!("error in {name}, client {}", client.id),
                Whose::Request(request) => format!("error in {name}, request of {}", request.peer),
                Whose::Server | Whose::Error => format!("error in {name}"),
            };
            let callback = shared.callbacks.of(py, stage);
            return self.tell(&Failure {
                text,
                error,
                callback: callback.map(|callback| callback.into_bound(py)),
                client: client.map(|client| client.into_bound(py).into_any()),
            });
        }
        let args = Args::Error(client, error.clone());
        let Some(called) = self.invoke(Stage::Error, Whose::Error, args) else {
            return;
        };
        let called = called.inspect_err(|second| explain(second.value(py), &error));
        self.report(Stage::Error, Whose::Error, called);
    }

    /// Reports what should not have failed, and is no callback's.
    pub(in crate::python) fn check(&mut self, done: PyResult<()>) {
        if let Some(error) = self.failed(done) {
            self.tell(&Failure {
                text: "error in echoserver itself".to_owned(),
                error,
                callback: None,
                client: None,
            });
        }
    }

    /// The callback as errors name it.
    pub(super) fn named(&self, stage: Stage) -> String {
        let callback = self.shared.callbacks.of(self.py, stage);
        callback.map_or_else(
            || stage.name().to_owned(),
            |callback| named(stage, callback.bind(self.py)),
        )
    }

    /// The exception, which is counted.
    fn failed<T>(&mut self, done: PyResult<T>) -> Option<Bound<'py, PyAny>> {
        let error = self.survived(done)?;
        let errors = &self.shared.link.callback_errors;
        errors.fetch_add(1, Ordering::Relaxed);
        Some(error)
    }

    /// The exception, unless it is one of the two that are meant to end a program, which end the server.
    fn survived<T>(&mut self, done: PyResult<T>) -> Option<Bound<'py, PyAny>> {
        let (py, error) = (self.py, done.err()?);
        if error.is_instance_of::<PyKeyboardInterrupt>(py)
            || error.is_instance_of::<PySystemExit>(py)
        {
            self.end_by(error);
            return None;
        }
        Some(error.into_value(py).into_bound(py).into_any())
    }

    fn tell(&mut self, failure: &Failure<'py>) {
        let told = self.runner.tell(failure);
        self.check_log(told);
    }

    /// Reports what logging has failed with.
    pub(super) fn check_log(&mut self, logged: PyResult<()>) {
        if let Some(error) = self.survived(logged) {
            // A handler of the application's: what it does not take is told without it.
            PyErr::from_value(error).write_unraisable(self.py, None);
        }
    }
}

/// What `on_error` raises is shown with what it was called for, as in an `except`.
fn explain(second: &Bound<'_, impl Sized>, first: &Bound<'_, PyAny>) {
    let second = second.as_any();
    let context = intern!(first.py(), "__context__");
    if !second.is(first) && second.getattr(context).is_ok_and(|known| known.is_none()) {
        // Otherwise it is shown alone.
        let _ = second.setattr(context, first);
    }
}
