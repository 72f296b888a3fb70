//! What a callback has failed with: counted, and given to `on_error` or to who runs the callbacks, for the log. The
//! connection lives on.

use super::super::calls::{Args, Stage, Whose, named};
use super::super::client::PyClient;
use super::super::log::Failure;
use super::super::runner::Runner;
use super::Dispatcher;
use crate::admission::Request;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl<'py, R: Runner<'py>> Dispatcher<'_, 'py, R> {
    /// Reports what a callback has brought, if that is an exception.
    pub(in crate::python) fn report<T>(
        &mut self,
        stage: Stage,
        whose: Whose<'_>,
        called: PyResult<T>,
    ) {
        if let Some(error) = self.failed(called)
            && (stage == Stage::Error || !self.hand_over(whose, &error))
        {
            let callback = self.shared.callbacks.of(self.py, stage);
            self.log(&self.named(stage), callback, whose, error);
        }
    }

    /// Reports what is wrong with an entry of `handshakes`.
    pub(super) fn report_entry(&mut self, request: &Arc<Request>, error: PyErr) {
        let whose = Whose::Request(request);
        if let Some(error) = self.failed::<()>(Err(error))
            && !self.hand_over(whose, &error)
        {
            self.log("handshakes", None, whose, error);
        }
    }

    /// Gives an exception to `on_error`; `false` if there is none.
    fn hand_over(&mut self, whose: Whose<'_>, error: &Bound<'py, PyAny>) -> bool {
        if !self.shared.callbacks.has(Stage::Error) {
            return false;
        }
        let args = Args::Error(self.object(whose), error.clone());
        if let Some(called) = self.invoke(Stage::Error, Whose::Error, args) {
            let called = called.inspect_err(|second| explain(second.value(self.py), error));
            self.report(Stage::Error, Whose::Error, called);
        }
        true
    }

    fn log(
        &mut self,
        name: &str,
        callback: Option<Py<PyAny>>,
        whose: Whose<'_>,
        error: Bound<'py, PyAny>,
    ) {
        let text = match whose {
            Whose::Client(client) => format!("error in {name}, client {}", client.id),
            Whose::Request(request) => format!("error in {name}, request of {}", request.peer),
            Whose::Server | Whose::Error => format!("error in {name}"),
        };
        let py = self.py;
        self.tell(&Failure {
            text,
            error,
            callback: callback.map(|callback| callback.into_bound(py)),
            client: self
                .object(whose)
                .map(|client| client.into_bound(py).into_any()),
        });
    }

    /// The client whose callback it is, if it is one's.
    fn object(&self, whose: Whose<'_>) -> Option<Py<PyClient>> {
        match whose {
            // Out of memory at the worst: then it is told without.
            Whose::Client(client) => self.shared.client(self.py, client).ok(),
            Whose::Server | Whose::Request(_) | Whose::Error => None,
        }
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
        self.shared.link.happened();
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
