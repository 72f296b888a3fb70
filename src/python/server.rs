//! `_core.Server`: what the Python class `EchoServer` stands on.

use super::address;
use super::asyncio::{Door, Reader, crossing};
use super::client::PyClient;
use super::dispatcher::{Callbacks, Dispatcher, payload, printing};
use super::errors;
use super::imported::imported;
use super::link::{Link, SIGNAL_CHECK, lock};
use super::options::{self, Argument};
use crate::handler::Wants;
use crate::server::Server;
use crate::server::after;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::collections::HashMap;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A server, its callbacks and its `Client` objects.
#[pyclass(frozen, name = "Server", module = "echoserver._core")]
pub(super) struct PyServer {
    pub(super) core: Arc<Server>,
    pub(super) link: Arc<Link>,
    pub(super) callbacks: Callbacks,
    /// The `Client` objects that exist, each until its `on_disconnect` has returned.
    pub(super) clients: Mutex<HashMap<u64, Py<PyClient>>>,
    /// The event loop that it is served on, while it is.
    pub(super) door: Mutex<Option<Arc<Door>>>,
}

#[pymethods]
impl PyServer {
    #[new]
    fn new(
        py: Python<'_>,
        options: &Bound<'_, PyDict>,
        callbacks: &Bound<'_, PyDict>,
        debug: Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        imported(py)?;
        let debug = Argument::of("debug", debug).boolean()?;
        let config = options::config(options)?;
        let callback = |name: &str| -> PyResult<Option<Py<PyAny>>> {
            let Some(callback) = callbacks
                .get_item(name)?
                .filter(|callback| !callback.is_none())
            else {
                return Ok(None);
            };
            if callback.is_callable() {
                return Ok(Some(callback.unbind()));
            }
            Err(PyTypeError::new_err(format!(
                "{name}={}: must be callable",
                errors::shown(&callback)
            )))
        };
        let callbacks = Callbacks {
            on_handshake: callback("on_handshake")?,
            on_connect: callback("on_connect")?,
            on_text: callback("on_text")?,
            on_binary: callback("on_binary")?,
            on_disconnect: callback("on_disconnect")?,
            on_closed: callback("on_closed")?,
        };
        let link = Link::new(config.max_send_queue);
        link.want(callbacks.wants());
        switch_debug(py, &link, debug)?;
        let handler = link.clone();
        let core = py.detach(|| Server::bind(config, handler))?;
        Ok(Self {
            core: Arc::new(core),
            link,
            callbacks,
            clients: Mutex::default(),
            door: Mutex::default(),
        })
    }

    /// The port that the server listens on.
    #[getter]
    fn port(&self) -> PyResult<u16> {
        self.check_process()?;
        Ok(self.core.address().port())
    }

    /// Address and port as bound.
    #[getter]
    fn host_address(&self, py: Python<'_>) -> PyResult<(String, u16)> {
        self.check_process()?;
        Ok(address::pair(py, self.core.address()))
    }

    /// Whether it was started; stays true.
    #[getter]
    fn is_started(&self) -> bool {
        self.link.is_started()
    }

    /// Whether it was started or stopped; stays true.
    #[getter]
    fn is_used(&self, py: Python<'_>) -> bool {
        // Somebody may be about to start it.
        py.detach(|| self.core.is_used())
    }

    /// From start to stop.
    #[getter]
    fn is_serving(&self) -> PyResult<bool> {
        self.check_process()?;
        Ok(self.core.is_serving())
    }

    /// Whether the example's lines are printed.
    #[getter]
    fn debug(&self) -> PyResult<bool> {
        self.check_process()?;
        Ok(self.link.debug())
    }

    #[setter]
    fn set_debug(&self, py: Python<'_>, debug: Bound<'_, PyAny>) -> PyResult<()> {
        self.check_process()?;
        switch_debug(py, &self.link, Argument::of("debug", debug).boolean()?)
    }

    /// Starts the worker threads.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process()?;
        py.detach(|| self.link.expect_drain(|| self.core.start()))?;
        Ok(())
    }

    /// Starts the worker threads and runs the callbacks until the server has closed, with nothing between the two.
    /// `has_signals`: signal handlers may have to be run here.
    fn serve(&self, py: Python<'_>, has_signals: bool) -> PyResult<()> {
        self.start(py)?;
        Dispatcher::run(py, self, has_signals)
    }

    /// Runs the callbacks until the server has closed; no signal handlers.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process()?;
        Dispatcher::run(py, self, false)
    }

    /// Has the callbacks run on `event_loop`, which runs in this thread, until the server has closed.
    #[pyo3(signature = (event_loop, context, hooks, *, is_watched, is_owned))]
    fn attach(
        slf: &Bound<'_, Self>,
        event_loop: Py<PyAny>,
        context: Py<PyAny>,
        hooks: Py<PyAny>,
        is_watched: bool,
        is_owned: bool,
    ) -> PyResult<Reader> {
        slf.get().check_process()?;
        Door::open(slf, event_loop, context, hooks, is_watched, is_owned)
    }

    /// Does what is queued, on the event loop.
    fn turn(slf: &Bound<'_, Self>) {
        if let Some(door) = slf.get().door().filter(|_| !slf.get().link.is_forked()) {
            door.turn(slf);
        }
    }

    /// Ends the server without the event loop, which is gone, within `timeout` seconds.
    fn abandon(&self, py: Python<'_>, timeout: Bound<'_, PyAny>) -> PyResult<()> {
        let timeout = Argument::of("timeout", timeout).seconds()?;
        let door = lock(&self.door).take();
        if let Some(door) = door {
            door.abandon(py);
        }
        py.detach(|| {
            self.core.stop(timeout);
            // With no limit it is true: workers at their deadline wait for nobody.
            let _ = self.core.wait(None);
            self.link.remove_doorbell();
            self.link.end_drain();
        });
        Ok(())
    }

    /// Says that the thread has ended its event loop.
    fn end_drain(&self, py: Python<'_>) {
        py.detach(|| self.link.end_drain());
    }

    /// A future of the running loop for the end of the server.
    fn closed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check_process()?;
        if self.link.is_drained() {
            return crossing::done(py);
        }
        let link = self.link.clone();
        crossing::future(py, move |cx| link.poll_drained(cx))
    }

    /// Hands messages to iterators from now on.
    fn iterate(&self) -> PyResult<()> {
        self.check_process()?;
        self.link.iterate()
    }

    /// Asks the server to stop; returns at once.
    #[pyo3(signature = (timeout=None))]
    fn stop(&self, py: Python<'_>, timeout: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        self.check_process()?;
        let timeout = seconds("timeout", timeout)?.unwrap_or(self.core.config().close_timeout);
        py.detach(|| {
            self.core.stop(timeout);
            // The deadline may be earlier than an event loop knows.
            self.link.nudge();
        });
        Ok(())
    }

    /// Waits until the workers and the dispatcher have ended.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        self.check_process()?;
        let deadline = seconds("timeout", timeout)?.map(after);
        loop {
            let left = deadline.map_or(SIGNAL_CHECK, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            let slice = left.min(SIGNAL_CHECK);
            let begun = Instant::now();
            let ended = py.detach(|| {
                self.core.wait(Some(slice))
                    && self
                        .link
                        .wait_drained(slice.saturating_sub(begun.elapsed()))
            });
            if ended {
                return Ok(true);
            }
            py.check_signals()?;
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    /// Reads certificate and key again, for the connections from now on.
    fn reload_tls(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process()?;
        Ok(py.detach(|| self.core.reload_tls())?)
    }

    /// The certificate of the authority that was made for this server.
    #[getter]
    fn ca_pem(&self) -> PyResult<Option<&str>> {
        self.check_process()?;
        Ok(self.core.ca_pem())
    }

    /// The certificates that a client has to trust, in DER; None without TLS.
    #[getter]
    fn tls_anchors(&self) -> PyResult<Option<Vec<u8>>> {
        self.check_process()?;
        Ok(self.core.tls_anchors())
    }

    /// Whether this thread runs the dispatcher.
    fn in_dispatcher(&self) -> PyResult<bool> {
        self.check_process()?;
        Ok(self.link.in_dispatcher())
    }

    /// Whether this is called by a callback.
    fn in_callback(&self) -> PyResult<bool> {
        self.check_process()?;
        Ok(self.link.in_dispatcher() && lock(&self.link.callback).is_some())
    }

    /// The name of the callback that runs now.
    fn running_callback(&self) -> PyResult<Option<&'static str>> {
        self.check_process()?;
        let running = *lock(&self.link.callback);
        Ok(running.or_else(|| self.door()?.running_callback()))
    }

    /// The clients at this moment, in the order of their coming.
    fn clients<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.check_process()?;
        let clients = py.detach(|| self.core.clients());
        let objects: PyResult<Vec<_>> = clients
            .iter()
            .map(|client| PyClient::of(py, self, client))
            .collect();
        PyTuple::new(py, objects?)
    }

    /// Queues a message to every client but those in `exclude`; returns how many have taken it.
    #[pyo3(signature = (data, exclude=None))]
    fn broadcast(
        &self,
        data: &Bound<'_, PyAny>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        self.check_process()?;
        let Some(payload) = payload(data)? else {
            let actual = data.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "broadcast() takes str or bytes-like data, not {actual}"
            )));
        };
        let bytes = payload.bytes()?;
        let mut excluded = Vec::new();
        if let Some(exclude) = exclude {
            for client in exclude.try_iter()? {
                excluded.push(client?.cast::<PyClient>()?.get().client.id);
            }
        }
        let mut taken = 0;
        for client in self.core.clients() {
            if !excluded.contains(&client.id)
                && let Ok(order) = client.message(payload.kind, bytes, self.link.max_send_queue)
            {
                self.link.order(&client, order);
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// The counters by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.check_process()?;
        let stats = PyDict::new(py);
        for (name, value) in self.core.stats().fields() {
            stats.set_item(name, value)?;
        }
        stats.set_item(
            "callback_errors",
            self.link.callback_errors.load(Ordering::Relaxed),
        )?;
        Ok(stats)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let callbacks = &self.callbacks;
        let all = [
            &callbacks.on_handshake,
            &callbacks.on_connect,
            &callbacks.on_text,
            &callbacks.on_binary,
            &callbacks.on_disconnect,
            &callbacks.on_closed,
        ];
        for callback in all.into_iter().flatten() {
            visit.call(callback)?;
        }
        // Locked only by whoever looks a client up at this moment: then there are references from a running thread.
        if let Ok(clients) = self.clients.try_lock() {
            for client in clients.values() {
                visit.call(client)?;
            }
        }
        Ok(())
    }
}

impl PyServer {
    fn check_process(&self) -> PyResult<()> {
        if self.link.is_forked() {
            Err(errors::forked())
        } else {
            Ok(())
        }
    }

    /// The event loop that it is served on.
    pub(super) fn door(&self) -> Option<Arc<Door>> {
        lock(&self.door).clone()
    }

    /// From now on the ends of clients have to be heard of, so that their objects can go.
    pub(super) fn hold_clients(&self) {
        self.link.want(Wants::CLOSE);
    }

    pub(super) fn forget(&self, id: u64) {
        // Dropped after the lock: dropping may run Python code.
        let forgotten = lock(&self.clients).remove(&id);
        if let Some(client) = forgotten {
            client.get().end();
        }
    }
}

impl Drop for PyServer {
    fn drop(&mut self) {
        let core = self.core.clone();
        if self.link.is_forked() {
            // Its threads are not in this process: nothing could be told to stop, and nothing would ever end.
            mem::forget(core);
            return;
        }
        // Closing a socket waits for another thread's fork, which needs the interpreter.
        Python::attach(|py| {
            py.detach(|| {
                core.stop(Duration::ZERO);
                // With no time limit it is true.
                let _ = core.wait(None);
            });
        });
    }
}

/// What prints is there from now on: when there is something to print, importing may fail.
fn switch_debug(py: Python<'_>, link: &Link, debug: bool) -> PyResult<()> {
    if debug {
        printing(py)?;
    }
    link.set_debug(debug);
    Ok(())
}

/// A timeout of a method: seconds, or `None`.
pub(super) fn seconds(
    name: &'static str,
    value: Option<Bound<'_, PyAny>>,
) -> PyResult<Option<Duration>> {
    value.map_or(Ok(None), |value| {
        Argument::of(name, value).optional(Argument::seconds)
    })
}
