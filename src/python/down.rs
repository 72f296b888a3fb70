//! How a server listens, as Python changes it, and the time for which it is down.
//!
//! That time is an object of ours for the sake of signals: what their handlers raise comes between any two steps of
//! Python code, and so between a beginning and its end. Here it comes only where something is waited for.

use super::argument::Argument;
use super::lock::lock;
use super::shared::Shared;
use super::waiting;
use crate::error::Error;
use crate::order::{Close, Order};
use crate::server::{Change, Pending};
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

/// Service Restart, in the registry of RFC 6455 section 11.7.
const RESTART: i64 = 1012;

/// Each has a number: it ends its own, and no other.
static OUTAGES: AtomicU64 = AtomicU64::new(1);

/// Changes how a server listens.
///
/// # Errors
/// `BindError` if an address is not to be had; then nothing is changed. `RuntimeError` if it makes no sense now.
pub(super) fn change(py: Python<'_>, shared: &Shared, change: Change) -> PyResult<()> {
    let asked = Asked::new(py, shared, change)?;
    asked.wait(py)?;
    let ended = Err(Error::State("the server has stopped"));
    Ok(asked.answer().unwrap_or(ended)?)
}

/// A change that was asked for. It is made whether somebody waits for it or not.
struct Asked {
    pending: Pending<Result<(), Error>>,
    answer: OnceLock<Option<Result<(), Error>>>,
}

impl Asked {
    /// # Errors
    /// The server does not serve.
    fn new(py: Python<'_>, shared: &Shared, change: Change) -> Result<Self, Error> {
        Ok(Self {
            pending: py.detach(|| {
                shared.link.post_finished();
                shared.core.change(change)
            })?,
            answer: OnceLock::new(),
        })
    }

    fn is_over(&self, until: Instant) -> bool {
        let answered = self.pending.wait(until);
        answered.map(|answer| self.answer.set(answer)).is_some()
    }

    /// # Errors
    /// What a signal's handler raises.
    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        waiting::wait_undisturbed(py, |until| self.is_over(until))
    }

    /// What was answered; `None` if the server has ended before, or nothing was yet.
    fn answer(self) -> Option<Result<(), Error>> {
        self.answer.into_inner().flatten()
    }
}

/// What becomes of those who are connected.
#[derive(Debug, Clone, Copy)]
enum Clients {
    Reset,
    Close,
    Keep,
}

/// The time for which a server is down, as the block of a `with`.
#[pyclass(frozen, name = "Down", module = "echoserver._core")]
pub(super) struct Down {
    shared: Arc<Shared>,
    /// Whose that is, for the collector.
    server: Py<PyAny>,
    clients: Clients,
    /// The numbers of those that may be on; one at the most is.
    outages: Mutex<Vec<u64>>,
}

impl Down {
    pub(super) fn new(
        shared: &Arc<Shared>,
        server: Py<PyAny>,
        clients: Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let name = clients.cast::<PyString>().ok();
        let name = name.and_then(|name| name.to_str().ok());
        let clients = match name {
            Some("reset") => Clients::Reset,
            Some("close") => Clients::Close,
            Some("keep") => Clients::Keep,
            _ => {
                let argument = Argument::of("clients", clients);
                return Err(argument.bad_value("must be \"reset\", \"close\" or \"keep\""));
            }
        };
        Ok(Self {
            shared: shared.clone(),
            server,
            clients,
            outages: Mutex::default(),
        })
    }

    fn begin(&self, py: Python<'_>, outage: u64) -> PyResult<()> {
        let core = &self.shared.core;
        change(py, &self.shared, Change::Down(outage))?;
        match self.clients {
            Clients::Reset => {
                // A signal's handler may have sent something.
                self.shared.link.post_finished();
                let pending = core.reset();
                waiting::wait_undisturbed(py, |until| pending.wait(until).is_some())?;
            }
            Clients::Close => {
                for client in py.detach(|| core.clients()) {
                    let close = Close::new(RESTART, "the server goes down")?;
                    self.shared.link.order(&client, Order::Close(close));
                }
            }
            Clients::Keep => {}
        }
        Ok(())
    }

    /// Ends one, if it is on and the server serves; `wait` says whether that was waited for.
    ///
    /// # Errors
    /// `BindError`, or what `wait` returns; then it can be tried once more.
    fn end(
        &self,
        py: Python<'_>,
        outage: u64,
        wait: impl FnOnce(&Asked) -> PyResult<bool>,
    ) -> PyResult<()> {
        if let Ok(asked) = Asked::new(py, &self.shared, Change::Up(outage)) {
            if !wait(&asked)? {
                return Ok(());
            }
            asked.answer().unwrap_or(Ok(()))?;
        }
        lock(&self.outages).retain(|one| *one != outage);
        Ok(())
    }
}

#[pymethods]
impl Down {
    /// Goes down. The address stays the server's.
    fn __enter__(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.link.check_process()?;
        let outage = OUTAGES.fetch_add(1, Ordering::Relaxed);
        lock(&self.outages).push(outage);
        let begun = self.begin(py, outage);
        if let Err(error) = &begun {
            // The block will not run. This may be Ctrl-C, or what another signal's handler raises: it comes out soon.
            let ended = self.end(py, outage, |asked| {
                Ok(waiting::moment(py, |until| asked.is_over(until)))
            });
            if let Err(ended) = ended {
                error.add_note(py, format!("the server is still down: {ended}"))?;
            }
        }
        begun
    }

    /// Listens again. RuntimeError if it was not entered, or was left.
    ///
    /// If it fails, or a signal's handler raises meanwhile, it may be left once more. In a forked child it does
    /// nothing: the server is its parent's.
    #[pyo3(signature = (*error))]
    fn __exit__(&self, py: Python<'_>, error: &Bound<'_, PyTuple>) -> PyResult<()> {
        // It comes out.
        let _ = error;
        if self.shared.link.is_forked() {
            return Ok(());
        }
        let outages = lock(&self.outages).clone();
        if outages.is_empty() {
            let why = "this down() was not entered, or was left: use `with server.down():`";
            return Err(PyRuntimeError::new_err(why));
        }
        let mut outages = outages.into_iter();
        outages.try_for_each(|outage| self.end(py, outage, |asked| asked.wait(py).map(|()| true)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.server)
    }
}
