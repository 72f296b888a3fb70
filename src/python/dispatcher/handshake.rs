//! `on_handshake`: asked about one request after another. Its answer comes at once, or later from a coroutine.

use super::super::calls::{Args, Stage, Whose};
use super::super::enter::call_method;
use super::super::faults;
use super::super::handshake::{PyRequest, decision};
use super::super::runner::Runner;
use super::Dispatcher;
use crate::admission::{Decision, Request, Unheard};
use crate::error::{quoted, shortened};
use pyo3::exceptions::{PyTimeoutError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::{Arc, Weak};
use std::time::Instant;

impl<'py, R: Runner<'py>> Dispatcher<'_, 'py, R> {
    pub(super) fn handshake(&mut self, request: &Weak<Request>) {
        // Otherwise its time ran out or its client went while it was queued: nobody is there to be decided about.
        let Some(request) = request.upgrade().filter(|request| request.is_waiting()) else {
            return;
        };
        if let Some(drawn) = self.drawn(&request).transpose() {
            return self.decide_by(By::Entry, &request, drawn);
        }
        let answer = match Py::new(self.py, PyRequest::new(&request, &self.shared.link)) {
            Ok(object) => {
                let whose = Whose::Request(&request);
                self.invoke(Stage::Handshake, whose, Args::Request(object))
            }
            Err(error) => Some(Err(error)),
        };
        self.clock = Instant::now();
        if let Some(answer) = answer {
            self.decide(&request, answer);
        }
    }

    /// What is next of the answers that were given beforehand.
    fn drawn(&self, request: &Request) -> PyResult<Option<Decision>> {
        match self.shared.handshakes.get() {
            Some(handshakes) if !request.is_delayed() => {
                let handshakes = handshakes.bind(self.py);
                let next = call_method(handshakes, intern!(self.py, "draw"), ())?;
                let answer = |entry| faults::answer(&entry);
                Some(next)
                    .filter(|next| !next.is_none())
                    .map(answer)
                    .transpose()
            }
            _ => Ok(None),
        }
    }

    /// Does what the callback has answered: whatever is no decision is a 500 and reported.
    pub(super) fn decide(&mut self, request: &Arc<Request>, answer: PyResult<Py<PyAny>>) {
        let decided = answer
            .and_then(|answer| decision(|| self.named(Stage::Handshake), answer.bind(self.py)));
        self.decide_by(By::Callback, request, decided);
    }

    fn decide_by(&mut self, by: By, request: &Arc<Request>, decided: PyResult<Decision>) {
        let decided = decided.and_then(|decision| {
            let chosen = decision.subprotocol().map(quoted);
            request.decide(decision).or_else(|why| match why {
                Unheard::NotOffered => Err(PyValueError::new_err(format!(
                    "subprotocol={}: {} has chosen what the client does not offer \
                    (RFC 6455 section 4.2.2)",
                    shortened(&chosen.unwrap_or_default()),
                    by.name()
                ))),
                Unheard::Late => Err(PyTimeoutError::new_err(format!(
                    "{} answered after open_timeout of {:?}: the client has got 503",
                    by.name(),
                    self.shared.core.config().open_timeout
                ))),
                Unheard::Gone | Unheard::Decided => Ok(()),
            })
        });
        let Err(error) = decided else { return };
        // Before the client has its answer: whoever is told of that finds out why.
        match by {
            By::Callback => {
                let whose = Whose::Request(request);
                self.report::<()>(Stage::Handshake, whose, Err(error));
            }
            By::Entry => self.report_entry(request, error),
        }
        if !self.shared.link.is_forked() {
            // If it comes too late, there is nobody to hear that it failed either.
            let _ = request.decide(Decision::Fail);
        }
    }
}

/// Who has decided about a request.
#[derive(Debug, Clone, Copy)]
enum By {
    Callback,
    /// What was put into `handshakes` beforehand.
    Entry,
}

impl By {
    /// As errors name it.
    const fn name(self) -> &'static str {
        match self {
            Self::Callback => Stage::Handshake.name(),
            Self::Entry => "an entry of handshakes",
        }
    }
}
