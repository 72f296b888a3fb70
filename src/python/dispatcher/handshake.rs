//! `on_handshake`: asked about one request at a time, answered at once.

use super::super::handshake::{PyRequest, decision};
use super::Dispatcher;
use crate::admission::{Decision, Request, Unheard};
use pyo3::exceptions::{PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use std::sync::Weak;
use std::time::Instant;

impl Dispatcher<'_, '_> {
    pub(super) fn handshake(&mut self, request: &Weak<Request>) {
        // Otherwise its time ran out or its client went while it was queued: nobody is there to be decided about.
        let Some(request) = request.upgrade().filter(|request| request.is_waiting()) else {
            return;
        };
        let Some(callback) = &self.server.callbacks.on_handshake else {
            return self.decide(&request, None, Ok(self.py.None()));
        };
        // Nobody waits for this callback who need not.
        self.flush();
        let py = self.py;
        let answer = Py::new(py, PyRequest::new(&request))
            .and_then(|object| self.call("on_handshake", || callback.call1(py, (object,))));
        self.clock = Instant::now();
        if !self.link.is_forked() {
            self.decide(&request, Some(callback), answer);
        }
    }

    /// Does what `callback` has answered, now or later: whatever is no decision is a 500 and reported.
    fn decide(
        &mut self,
        request: &Request,
        callback: Option<&Py<PyAny>>,
        answer: PyResult<Py<PyAny>>,
    ) {
        let decided = answer
            .and_then(|answer| decision(answer.bind(self.py)))
            .and_then(|decision| {
                let chosen = match &decision {
                    Decision::Accept { subprotocol, .. } => subprotocol.clone(),
                    _ => None,
                };
                request.decide(decision).or_else(|why| match why {
                    Unheard::NotOffered => Err(PyValueError::new_err(format!(
                        "subprotocol='{}': on_handshake has chosen what the client does not offer \
                        (RFC 6455 section 4.2.2)",
                        chosen.unwrap_or_default()
                    ))),
                    Unheard::Late => Err(PyTimeoutError::new_err(format!(
                        "on_handshake returned after open_timeout of {:?}: the client has got 503",
                        self.server.core.config().open_timeout
                    ))),
                    Unheard::Gone | Unheard::Decided => Ok(()),
                })
            });
        if let Err(error) = decided {
            // If it comes too late, there is nobody to hear that it failed either.
            let _ = request.decide(Decision::Fail);
            self.report_to(error, callback);
        }
    }
}
