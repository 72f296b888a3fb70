//! `_core.Server`: what the Python class `EchoServer` stands on.

use super::address;
use super::argument::{Argument, seconds};
use super::asyncio::event_loop::{EventLoop, Surroundings};
use super::asyncio::turn::Reader;
use super::broadcast::broadcast;
use super::calls::Stage;
use super::catching_up::catch_up;
use super::client::PyClient;
use super::clock;
use super::crossing;
use super::down::{self, Down};
use super::faults::PyFault;
use super::imported::{imported, printing};
use super::link::{self, Link};
use super::lock::lock;
use super::log;
use super::on_thread;
use super::options;
use super::recording::PyRecord;
use super::shared::Shared;
use super::waiting;
use super::wanted::Whom;
use crate::handler::Wants;
use crate::server::{Change, Server};
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyWeakrefReference};
use std::ffi::OsString;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// How long a worker may take to drop what is left at the deadline of a stop.
const WORKER_END: Duration = Duration::from_secs(2);

/// What `EchoServer` stands on; its methods say what these do.
///
/// In a process that was forked after it was made, every call raises RuntimeError.
#[pyclass(frozen, name = "Server", module = "echoserver._core")]
pub(super) struct PyServer {
    /// For what may be done in a forked process, too.
    unchecked: Arc<Shared>,
    /// The event loop that it is served on, while it is.
    event_loop: Mutex<Weak<EventLoop>>,
}

#[pymethods]
impl PyServer {
    #[new]
    fn new(
        py: Python<'_>,
        options: &Bound<'_, PyDict>,
        callbacks: &Bound<'_, PyDict>,
        echo: Bound<'_, PyAny>,
        debug: Bound<'_, PyAny>,
        owner: Bound<'_, PyWeakrefReference>,
    ) -> PyResult<Self> {
        imported(py)?;
        let echo = Argument::of("echo", echo).boolean()?;
        let debug = Argument::of("debug", debug).boolean()?;
        let config = options::config(options)?;
        let link = Link::new(config.max_send_queue, config.metrics);
        clock::note(options, &link)?;
        link.set_echo(echo);
        switch_debug(py, &link, debug)?;
        let handler = link.clone();
        let core = waiting::patiently(py, |patience| {
            Server::bind_patiently(config, handler, patience)
        })?;
        let server = Self {
            unchecked: Shared::new(core, link, owner.unbind()),
            event_loop: Mutex::default(),
        };
        for (name, callback) in callbacks {
            server.set_callback(&name.extract::<String>()?, callback)?;
        }
        Ok(server)
    }

    /// Has another callback called from the next event on; None for none.
    ///
    /// RuntimeError for on_text and on_binary if iterators have the messages.
    fn set_callback(&self, name: &str, callback: Bound<'_, PyAny>) -> PyResult<()> {
        let Shared {
            callbacks, link, ..
        } = &**self.to_change()?;
        let stage = Stage::of(name)
            .ok_or_else(|| PyTypeError::new_err(format!("there is no callback {name}")))?;
        if callback.is_none() {
            callbacks.set(stage, None, &link.wanted);
            return Ok(());
        }
        if !callback.is_callable() {
            return Err(Argument::of(stage.name(), callback).wrong_type("callable or None"));
        }
        if stage.is_message() && link.is_iterated() {
            return Err(link::either());
        }
        callbacks.set(stage, Some(callback.unbind()), &link.wanted);
        Ok(())
    }

    /// Has `Client._frames` tell of messages of clients that come from now on.
    fn note_frames(&self) -> PyResult<()> {
        self.shared()?.link.wanted.set(Whom::Frames, Wants::FRAMES);
        Ok(())
    }

    /// Whether what no callback answers is echoed.
    #[getter]
    fn echo(&self) -> PyResult<bool> {
        Ok(self.shared()?.link.echoes())
    }

    #[setter]
    fn set_echo(&self, echo: Bound<'_, PyAny>) -> PyResult<()> {
        let link = &self.to_change()?.link;
        link.set_echo(Argument::of("echo", echo).boolean()?);
        Ok(())
    }

    /// The port that it listens on; 0 on a Unix socket.
    #[getter]
    fn port(&self) -> PyResult<u16> {
        Ok(self.shared()?.core.address().port())
    }

    /// Address and port as bound, or path and 0; of several the first.
    #[getter]
    fn host_address(&self, py: Python<'_>) -> PyResult<(OsString, u16)> {
        Ok(address::endpoint(py, self.shared()?.core.address()))
    }

    /// Whether it was started; stays true.
    #[getter]
    fn is_started(&self) -> bool {
        self.unchecked.link.drain.is_started()
    }

    /// Whether it was started or stopped; stays true.
    #[getter]
    fn is_used(&self, py: Python<'_>) -> PyResult<bool> {
        // A child has a copy of the lock, which may have been locked.
        let shared = self.shared()?;
        // Somebody may be about to start it.
        Ok(py.detach(|| shared.core.is_used()))
    }

    /// Whether it has no workers: who runs the callbacks serves the clients, too.
    #[getter]
    fn is_driven(&self) -> bool {
        self.unchecked.core.config().is_driven()
    }

    /// The sockets that it listens on, as long as it was not started; none where the system has no such numbers.
    fn descriptors(&self, py: Python<'_>) -> PyResult<Vec<i32>> {
        let shared = self.shared()?;
        #[cfg(unix)]
        return Ok(py.detach(|| shared.core.descriptors()));
        #[cfg(not(unix))]
        {
            let _ = (py, shared);
            Ok(Vec::new())
        }
    }

    /// From `start` to `stop`.
    #[getter]
    fn is_serving(&self) -> PyResult<bool> {
        Ok(self.shared()?.core.is_serving())
    }

    /// From `start` until nobody comes in any more at any worker, for a stop: new clients may come.
    #[getter]
    fn lets_in(&self) -> PyResult<bool> {
        Ok(self.shared()?.core.lets_in())
    }

    /// Whether the example's lines are printed.
    #[getter]
    fn debug(&self) -> PyResult<bool> {
        Ok(self.shared()?.link.debug())
    }

    #[setter]
    fn set_debug(&self, py: Python<'_>, debug: Bound<'_, PyAny>) -> PyResult<()> {
        let link = &self.to_change()?.link;
        switch_debug(py, link, Argument::of("debug", debug).boolean()?)
    }

    /// Starts the worker threads. RuntimeError if it was started or stopped before.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let shared = self.shared()?;
        shared.link.wanted.set(Whom::Log, log::wants(py)?);
        py.detach(|| shared.link.drain.expect(|| shared.core.start()))?;
        Ok(())
    }

    /// `start` and `drain`, with nothing between the two that Ctrl-C could meet.
    ///
    /// `has_signals`: also runs signal handlers, which needs the main thread. Ctrl-C stops the server in order, then
    /// raises KeyboardInterrupt.
    fn serve(&self, py: Python<'_>, has_signals: bool) -> PyResult<()> {
        self.start(py)?;
        on_thread::run(py, self.shared()?, has_signals)
    }

    /// Runs the callbacks until the server has closed: once, on the thread that is to call them.
    ///
    /// SystemExit and KeyboardInterrupt of a callback stop the server in order, and come out then.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        on_thread::run(py, self.shared()?, false)
    }

    /// Has the callbacks run on `event_loop`, which is this thread's, each in a copy of `context`.
    ///
    /// Without a context they are plain functions, and the loop has no tasks, as Qt's. `hooks`, a `Door`, is told what
    /// Python has to do. `is_watched`: the loop watches the reader's descriptor. `is_owned`: the thread calls
    /// `end_drain` after the loop's end.
    #[pyo3(signature = (event_loop, context, hooks, *, is_watched, is_owned))]
    fn attach(
        slf: &Bound<'_, Self>,
        event_loop: Py<PyAny>,
        context: Option<Py<PyAny>>,
        hooks: Py<PyAny>,
        is_watched: bool,
        is_owned: bool,
    ) -> PyResult<Reader> {
        let own = slf.get();
        let surroundings = Surroundings {
            event_loop,
            context,
            hooks,
            server: slf.clone().into_any().unbind(),
            is_owned,
        };
        let reader = Reader::open(slf.py(), own.shared()?.clone(), surroundings, is_watched)?;
        *lock(&own.event_loop) = reader.event_loop();
        Ok(reader)
    }

    /// Ends it within `timeout` seconds without its event loop, which is gone; callbacks under way are dropped.
    fn abandon(&self, py: Python<'_>, timeout: Bound<'_, PyAny>) -> PyResult<()> {
        let shared = self.shared()?;
        let timeout = Argument::of("timeout", timeout).seconds()?;
        if let Some(event_loop) = self.event_loop() {
            event_loop.abandon(py);
        }
        waiting::detached(py, || {
            shared.link.post_finished();
            // Whoever runs the callbacks is gone also where a worker is not.
            let _ = end(&shared.core, timeout);
            shared.link.events.remove_doorbell();
            shared.link.end_drain();
        });
        Ok(())
    }

    /// Says that nothing of this server runs any more.
    fn end_drain(&self, py: Python<'_>) -> PyResult<()> {
        let link = &self.shared()?.link;
        waiting::detached(py, || link.end_drain());
        Ok(())
    }

    /// A future of the running loop, whichever that is, for the end of the server and its callbacks.
    fn closed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let link = &self.shared()?.link;
        if link.drain.has_ended() {
            return crossing::done(py);
        }
        let mut ended = link.drain.ended();
        crossing::future(py, link.clone(), move |cx| Pin::new(&mut ended).poll(cx))
    }

    /// Has messages wait for iterators from now on. RuntimeError if callbacks have them.
    fn iterate(&self) -> PyResult<()> {
        self.to_change()?.link.iterate()
    }

    /// Asks it to stop within `timeout` seconds (None: `stop_timeout`) and returns at once.
    #[pyo3(signature = (timeout=None))]
    fn stop(&self, py: Python<'_>, timeout: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let shared = self.shared()?;
        let timeout =
            seconds("timeout", timeout)?.unwrap_or_else(|| shared.core.config().stop_timeout());
        // What was ordered before goes out before. With no time it would not, if it were only posted.
        let caught_up = catch_up(py, &shared.link);
        py.detach(|| {
            shared.link.post_finished();
            shared.core.stop(timeout);
            // The deadline may be earlier than an event loop knows.
            shared.link.events.nudge();
        });
        caught_up.map(drop)
    }

    /// Seconds that a stop has if it is given none: those of the drain, and `close_timeout`.
    #[getter]
    fn stop_timeout(&self) -> PyResult<f64> {
        let config = self.shared()?.core.config();
        Ok(config.stop_timeout().as_secs_f64())
    }

    /// Seconds of a stop before `close_timeout` begins for the last client: those of the drain.
    #[getter]
    fn drain_time(&self) -> PyResult<f64> {
        let config = self.shared()?.core.config();
        Ok(config.drain_time().as_secs_f64())
    }

    /// Seconds until the deadline of a stop, 0 beyond it; None before a stop.
    fn time_left(&self) -> PyResult<Option<f64>> {
        let left = self.shared()?.core.time_left();
        Ok(left.map(|left| left.as_secs_f64()))
    }

    /// Waits until the workers have ended and `drain` has returned, if it was called: False after `timeout`.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        let Shared { core, link, .. } = &**self.shared()?;
        waiting::wait(py, seconds("timeout", timeout)?, |until| {
            let left = || until.saturating_duration_since(Instant::now());
            core.wait(Some(left())) && link.drain.wait_ended(left())
        })
    }

    /// Accepts nobody until `resume`. RuntimeError if it makes no sense now.
    fn pause(&self, py: Python<'_>) -> PyResult<()> {
        down::change(py, self.shared()?, Change::Pause)
    }

    /// Accepts clients again. Errors as `pause`.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        down::change(py, self.shared()?, Change::Resume)
    }

    /// Closes the sockets that it listens on, for good; clients are served as before. Errors as `pause`.
    fn close_listening(&self, py: Python<'_>) -> PyResult<()> {
        down::change(py, self.shared()?, Change::Close)
    }

    /// A time for which it is down; `clients` is "reset", "close" or "keep".
    fn down(slf: &Bound<'_, Self>, clients: Bound<'_, PyAny>) -> PyResult<Down> {
        let server = slf.clone().into_any().unbind();
        Down::new(slf.get().shared()?, server, clients)
    }

    /// Reads certificate and key again, for the connections from now on.
    fn reload_tls(&self, py: Python<'_>) -> PyResult<()> {
        let core = &self.shared()?.core;
        waiting::patiently(py, |patience| core.reload_tls(patience))
    }

    /// The certificate of the authority that was made for this server.
    #[getter]
    fn ca_pem(&self) -> PyResult<Option<&str>> {
        Ok(self.shared()?.core.ca_pem())
    }

    /// The certificates that a client has to trust, in DER; None without TLS.
    #[getter]
    fn tls_anchors(&self) -> PyResult<Option<Vec<u8>>> {
        Ok(self.shared()?.core.tls_anchors())
    }

    /// Whether this thread is in `drain`, or runs the event loop that the callbacks run on.
    fn in_dispatcher(&self) -> PyResult<bool> {
        Ok(self.shared()?.link.drain.is_here())
    }

    /// Whether this is called by a callback.
    fn in_callback(&self) -> PyResult<bool> {
        Ok(self.shared()?.link.own_callback().is_some())
    }

    /// The name of the callback that runs now, or of one that waits.
    fn running_callback(&self) -> PyResult<Option<&'static str>> {
        let running = *lock(&self.shared()?.link.callback);
        Ok(running.or_else(|| self.event_loop()?.running_callback()))
    }

    /// How many clients there are at this moment.
    #[getter]
    fn client_count(&self) -> PyResult<usize> {
        Ok(self.shared()?.core.client_count())
    }

    /// The clients at this moment, in the order of their coming.
    fn clients<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let shared = self.shared()?;
        let clients = py.detach(|| shared.core.clients());
        PyTuple::new(py, shared.all_listed(py, &clients)?)
    }

    /// Has upgrade requests take what they get from `handshakes`, a `testing.handshakes.Handshakes`, from now on.
    fn take_handshakes(&self, handshakes: Py<PyAny>) -> PyResult<()> {
        let shared = self.shared()?;
        // Set before: that one stays.
        let _ = shared.handshakes.set(handshakes);
        let wanted = &shared.link.wanted;
        wanted.set(Whom::Handshakes, Wants::HANDSHAKE);
        Ok(())
    }

    /// Sets a fault of that kind; returns when every connection knows it.
    fn set_fault(
        &self,
        kind: &Bound<'_, PyAny>,
        selectors: &Bound<'_, PyDict>,
    ) -> PyResult<PyFault> {
        PyFault::set(self.shared()?, kind, selectors)
    }

    /// The faults that it was made with, in their order.
    fn given_faults(&self, py: Python<'_>) -> PyResult<Vec<PyFault>> {
        Ok(PyFault::given(py, self.shared()?))
    }

    /// What the chance of faults comes from.
    #[getter]
    fn seed(&self) -> PyResult<u64> {
        Ok(self.shared()?.core.faults().seed())
    }

    /// What clients did. RuntimeError if that is not recorded.
    #[getter]
    fn record(&self) -> PyResult<PyRecord> {
        PyRecord::of(&self.shared()?.link)
    }

    /// The next client that was not taken yet; with `path` the next of those that asked for it.
    #[pyo3(signature = (path=None))]
    fn take_client(
        &self,
        py: Python<'_>,
        path: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<PyClient>>> {
        let path = path
            .map(|path| Argument::of("path", path).text())
            .transpose()?;
        let taken = self.record()?.take_client(py, path.as_deref())?;
        let object = |client| self.shared()?.listed(py, &client);
        taken.map(object).transpose()
    }

    /// Forgets messages, pongs, requests, clients that nobody has taken, and clients that are gone.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let shared = self.shared()?;
        self.record()?.clear(py, &shared.core)?;
        shared.forget_gone();
        Ok(())
    }

    /// The clients since the beginning or `clear`, and who was connected then, in the order of their coming.
    fn accepted<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let clients = self.record()?.clients(py)?;
        PyList::new(py, self.shared()?.all_listed(py, &clients)?)
    }

    /// Queues a message to every client but those in `exclude`; returns how many have taken it.
    #[pyo3(signature = (data, exclude=None))]
    fn broadcast(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        broadcast(py, self.shared()?, data, exclude)
    }

    /// The counters by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let shared = self.shared()?;
        catch_up(py, &shared.link)?;
        let stats = PyDict::new(py);
        for (name, value) in shared.core.stats().fields() {
            stats.set_item(name, value)?;
        }
        let errors = shared.link.callback_errors.load(Ordering::Relaxed);
        stats.set_item("callback_errors", errors)?;
        Ok(stats)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.unchecked.traverse(&visit)
    }
}

impl PyServer {
    /// # Errors
    /// `RuntimeError` in a forked process.
    fn shared(&self) -> PyResult<&Arc<Shared>> {
        self.unchecked.link.check_process()?;
        Ok(&self.unchecked)
    }

    /// The same for what changes the server: all that callbacks have sent and answered goes out before.
    fn to_change(&self) -> PyResult<&Arc<Shared>> {
        let shared = self.shared()?;
        shared.link.post_finished();
        Ok(shared)
    }

    fn event_loop(&self) -> Option<Arc<EventLoop>> {
        lock(&self.event_loop).upgrade()
    }
}

impl Drop for PyServer {
    fn drop(&mut self) {
        let core = self.unchecked.core.clone();
        if self.unchecked.link.is_forked() {
            // Its threads are not in this process: nothing could be told to stop, and nothing would ever end.
            mem::forget(core);
            return;
        }
        // Closing a socket waits for another thread's fork, which needs the interpreter.
        Python::attach(|py| {
            waiting::detached(py, || {
                if !end(&core, Duration::ZERO) {
                    // Its own end would wait once more.
                    mem::forget(core);
                }
            });
        });
    }
}

/// Stops a server, and waits for its workers: `false` if they do not end, though they wait for nobody at their deadline.
fn end(core: &Server, timeout: Duration) -> bool {
    core.stop(timeout);
    core.wait(Some(timeout.saturating_add(WORKER_END)))
}

/// What prints is there from now on: when there is something to print, importing may fail.
fn switch_debug(py: Python<'_>, link: &Link, debug: bool) -> PyResult<()> {
    if debug {
        printing(py)?;
    }
    link.set_debug(debug);
    Ok(())
}
