//! The dispatcher: takes what the workers have queued, attached once per batch, and answers it. The only file that
//! calls Python callables. Whoever runs the server runs it; workers never attach to the interpreter.

mod calls;
mod handshake;

pub(super) use self::calls::{Args, Callbacks, Called, Stage, Whose, enter};
use super::answers::{Answer, Answers};
use super::asyncio::Turn;
use super::client::PyClient;
use super::coroutine;
use super::errors;
use super::imported::imported;
use super::link::{Event, Link, SIGNAL_CHECK, lock};
use super::server::PyServer;
use crate::client::Client;
use crate::handler::Batch;
use crate::order::Order;
use crate::protocol::message::Kind;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString, PyTuple};
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// The type of `NO_REPLY`: returned by a callback, it sends nothing for that message.
#[pyclass(frozen, name = "NoReply", module = "echoserver._core")]
pub(super) struct NoReply;

#[pymethods]
impl NoReply {
    #[new]
    pub(super) const fn new() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the interpreter calls it so")]
    const fn __repr__(&self) -> &'static str {
        "NO_REPLY"
    }

    #[expect(
        clippy::unused_self,
        reason = "pickled and copied as the one object it is"
    )]
    const fn __reduce__(&self) -> &'static str {
        "NO_REPLY"
    }
}

/// What is kept between the turns of an event loop.
#[derive(Default)]
pub(super) struct Lasting {
    /// What ends the server and comes out of `serve()`: Ctrl-C, or `SystemExit` of a callback.
    pub(super) fatal: Option<PyErr>,
}

/// One run of the dispatcher: all of it, or a turn on an event loop.
pub(super) struct Dispatcher<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) server: &'a PyServer,
    pub(super) link: &'a Link,
    pub(super) turn: Option<Turn<'a>>,
    pub(super) lasting: Lasting,
    has_signals: bool,
    /// When the last callback ended, or the batch began.
    pub(super) clock: Instant,
}

impl<'a, 'py> Dispatcher<'a, 'py> {
    pub(super) fn new(
        py: Python<'py>,
        server: &'a PyServer,
        turn: Option<Turn<'a>>,
        lasting: Lasting,
    ) -> Self {
        let now = Instant::now();
        Self {
            py,
            server,
            link: &server.link,
            turn,
            lasting,
            has_signals: false,
            clock: now,
        }
    }

    /// Runs until the server has ended.
    pub(super) fn run(py: Python<'py>, server: &'a PyServer, has_signals: bool) -> PyResult<()> {
        let link = &*server.link;
        if !link.begin_drain() {
            return Err(PyRuntimeError::new_err(
                "the server is not started, or run already",
            ));
        }
        let mut dispatcher = Self {
            has_signals,
            ..Self::new(py, server, None, Lasting::default())
        };
        let running = Running(link);
        dispatcher.drain();
        mem::forget(running);
        if link.is_forked() {
            return Err(errors::forked());
        }
        py.detach(|| {
            // With no limit it is true: the workers have said that they have ended.
            let _ = server.core.wait(None);
            link.end_drain();
        });
        dispatcher.lasting.fatal.map_or(Ok(()), Err)
    }

    // A frame of its own below which `Running` is dropped when the thread is unwound.
    #[inline(never)]
    fn drain(&mut self) {
        let mut events = Vec::new();
        loop {
            let timeout = self.has_signals.then_some(SIGNAL_CHECK);
            let link = self.link;
            self.py.detach(|| link.take(&mut events, timeout));
            if let Err(error) = self.py.check_signals() {
                self.end_by(error);
            }
            self.clock = Instant::now();
            for event in events.drain(..) {
                let is_last = matches!(event, Event::Closed);
                self.handle(event);
                if is_last {
                    return;
                }
                if self.link.is_forked() {
                    // A callback has forked, and this is the child: what is queued belongs to the parent.
                    return;
                }
            }
        }
    }

    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Handshake(request) => self.handshake(&request),
            Event::Open(client) => self.open(&client),
            Event::Messages(client, batch) => self.messages(&client, batch),
            Event::Close(client) => self.close(&client),
            Event::TlsFailure(peer, reason) => self.log_tls(peer, &reason),
            Event::Closed => self.closed(),
        }
    }

    fn open(&mut self, client: &Arc<Client>) {
        if let Some(result) = self.call_with_client(Stage::Open, client) {
            self.finish(Stage::Open, Whose::Client(client), result);
        }
    }

    fn close(&mut self, client: &Arc<Client>) {
        self.end_messages(client);
        if self.link.debug() {
            let shown = PyClient::of(self.py, self.server, client)
                .and_then(|object| Ok(object.bind(self.py).repr()?.into_any()));
            self.print("socketDisconnected", shown);
        }
        if let Some(result) = self.call_with_client(Stage::Close, client) {
            self.finish(Stage::Close, Whose::Client(client), result);
        }
    }

    /// At INFO: whoever can connect can cause it, as often as it likes.
    fn log_tls(&mut self, peer: SocketAddr, reason: &str) {
        let py = self.py;
        let unlogged = self.link.take_unlogged();
        let logged = imported(py).and_then(|imported| {
            let logger = imported.logger(py)?;
            let info = |arguments: Bound<'py, PyTuple>| logger.call_method1("info", arguments);
            info(("TLS with %s failed: %s", peer.to_string(), reason).into_pyobject(py)?)?;
            if unlogged > 0 {
                let text = "TLS with %d more clients failed, too many at once to be logged";
                info((text, unlogged).into_pyobject(py)?)?;
            }
            Ok(())
        });
        if let Err(error) = logged {
            self.report_to(error, None);
        }
    }

    fn closed(&mut self) {
        if self.turn.is_some() {
            return self.begin_to_close();
        }
        if let Some(result) = self.invoke(Stage::Closed, Whose::Server, Args::None) {
            self.report(Stage::Closed, result);
        }
    }

    fn call_with_client(&mut self, stage: Stage, client: &Arc<Client>) -> Called {
        if self.server.callbacks.of(stage).is_none() {
            return Some(Ok(self.py.None()));
        }
        match PyClient::of(self.py, self.server, client) {
            Ok(object) => self.invoke(stage, Whose::Client(client), Args::Client(object)),
            Err(error) => Some(Err(error)),
        }
    }

    /// What follows a callback, whether it has returned at once or ended as a coroutine.
    pub(super) fn finish(&mut self, stage: Stage, whose: Whose<'_>, result: PyResult<Py<PyAny>>) {
        match (stage, whose) {
            (_, Whose::Request(request)) => self.decide(request, result),
            (Stage::Open, Whose::Client(client)) => {
                self.report(stage, result);
                if !self.link.is_forked() {
                    self.announce(client);
                    self.link.order(client, Order::Admit);
                }
            }
            (Stage::Text | Stage::Binary, Whose::Client(client)) => {
                let reply = self.reply_of(stage, result);
                self.answer(&reply);
                self.answer_all(client);
            }
            (Stage::Close, Whose::Client(client)) => {
                self.report(stage, result);
                self.forget(client);
                self.server.forget(client.id);
            }
            _ => {
                self.report(stage, result);
                self.end();
            }
        }
    }

    /// Calls the callbacks for the messages of a batch, in order.
    fn messages(&mut self, client: &Arc<Client>, batch: Batch) {
        let Some(batch) = self.deliver(client, batch) else {
            return;
        };
        lock(&self.link.outgoing).begin(Answers::new(client.clone(), batch));
        self.answer_all(client);
    }

    /// Answers what is left of the batch under way.
    pub(super) fn answer_all(&mut self, client: &Arc<Client>) {
        let object = match PyClient::of(self.py, self.server, client) {
            Ok(object) => object,
            // Out of memory at the worst: the messages are answered natively.
            Err(error) => return self.give_up(error),
        };
        while !self.is_late() {
            if self.is_time_up() {
                return self.pause(client);
            }
            if client.is_dismissed() {
                lock(&self.link.outgoing).answer_rest(Answer::Nothing);
                break;
            }
            let next = lock(&self.link.outgoing)
                .message()
                .map(|(kind, payload)| (kind, to_python(self.py, kind, payload)));
            let Some((kind, message)) = next else { break };
            let Some(reply) = self.reply(client, &object, kind, message) else {
                return self.suspend(client);
            };
            if self.link.is_forked() {
                return;
            }
            self.answer(&reply);
        }
        lock(&self.link.outgoing).end();
    }

    fn answer(&mut self, reply: &Reply<'_>) {
        lock(&self.link.outgoing).answer(reply.answer());
        self.clock = Instant::now();
    }

    /// Whether the deadline of a stop has passed: what is queued still can't be answered, and is not delivered.
    fn is_late(&self) -> bool {
        self.link.is_over() && self.server.core.is_overdue()
    }

    fn give_up(&mut self, error: PyErr) {
        let mut outgoing = lock(&self.link.outgoing);
        outgoing.answer_rest(Answer::Echo);
        outgoing.end();
        drop(outgoing);
        self.report_to(error, None);
    }

    /// Has a message answered; `None` if the answer comes later.
    fn reply(
        &mut self,
        client: &Arc<Client>,
        object: &Py<PyClient>,
        kind: Kind,
        message: PyResult<Bound<'py, PyAny>>,
    ) -> Option<Reply<'py>> {
        let stage = match kind {
            Kind::Text => Stage::Text,
            Kind::Binary => Stage::Binary,
        };
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                self.report(stage, Err(error));
                return Some(Reply::Nothing);
            }
        };
        if self.link.debug() {
            self.print_message(kind, &message);
        }
        let args = Args::Message(object, message);
        let result = self.invoke(stage, Whose::Client(client), args)?;
        Some(self.reply_of(stage, result))
    }

    fn reply_of(&mut self, stage: Stage, result: PyResult<Py<PyAny>>) -> Reply<'py> {
        let reply = result.and_then(|reply| Reply::of(stage.name(), reply.bind(self.py)));
        reply.unwrap_or_else(|error| {
            self.report(stage, Err(error));
            Reply::Nothing
        })
    }

    /// Calls the callback of `stage`; without one it is as if that had returned None.
    pub(super) fn invoke(&mut self, stage: Stage, whose: Whose<'_>, args: Args<'_, 'py>) -> Called {
        let server = self.server;
        let Some(callback) = server.callbacks.of(stage) else {
            return Some(Ok(self.py.None()));
        };
        if self.turn.is_some() {
            return self.invoke_on_loop(stage, whose, callback, args);
        }
        let reply = self.call(stage.name(), || args.call(self.py, callback));
        Some(reply.and_then(|reply| coroutine::refuse(stage.name(), &reply)))
    }

    /// Runs one callback, with its name where `stop()` finds it.
    pub(super) fn call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce() -> PyResult<T>,
    ) -> PyResult<T> {
        let outer = lock(&self.link.callback).replace(name);
        let result = call();
        *lock(&self.link.callback) = outer;
        result
    }

    pub(super) fn print_message(&mut self, kind: Kind, message: &Bound<'py, PyAny>) {
        let name = match kind {
            Kind::Text => "Message received",
            Kind::Binary => "Binary Message received",
        };
        self.print(name, Ok(message.clone()));
    }

    /// Prints a line of the example.
    fn print(&mut self, name: &str, value: PyResult<Bound<'py, PyAny>>) {
        let printed = value.and_then(|value| {
            printing(self.py)?
                .call_method1(intern!(self.py, "event"), (name, value))
                .map(drop)
        });
        if let Err(error) = printed {
            self.report_to(error, None);
        }
    }

    fn report(&mut self, stage: Stage, called: PyResult<Py<PyAny>>) {
        if let Err(error) = called {
            let server = self.server;
            self.report_to(error, server.callbacks.of(stage));
        }
    }

    /// An exception of a callback: the connection lives on. Only the two that are meant to end a program end the
    /// server.
    pub(super) fn report_to(&mut self, error: PyErr, callback: Option<&Py<PyAny>>) {
        let py = self.py;
        if error.is_instance_of::<PyKeyboardInterrupt>(py)
            || error.is_instance_of::<PySystemExit>(py)
        {
            return self.end_by(error);
        }
        self.link.callback_errors.fetch_add(1, Ordering::Relaxed);
        error.write_unraisable(py, callback.map(|callback| callback.bind(py)));
    }

    /// Stops the server for an exception, which comes out at the end; at a second one without waiting for clients.
    fn end_by(&mut self, error: PyErr) {
        let again = self.lasting.fatal.is_some();
        self.server.core.stop(if again {
            Duration::ZERO
        } else {
            self.server.core.config().close_timeout
        });
        self.lasting.fatal.get_or_insert(error);
    }
}

/// What prints.
pub(super) fn printing(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "echoserver.printing"))
}

/// A message as callbacks get it.
pub(super) fn to_python<'py>(
    py: Python<'py>,
    kind: Kind,
    payload: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    match kind {
        Kind::Text => PyString::from_bytes(py, payload).map(Bound::into_any),
        Kind::Binary => Ok(PyBytes::new(py, payload).into_any()),
    }
}

/// Guards the frames between a callback and the interpreter's end: a thread that asks for the interpreter then is
/// ended by unwinding, which Rust may not survive. It parks for ever instead, as pyo3 has it do where pyo3 asks.
struct Running<'a>(&'a Link);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end_drain();
            return;
        }
        loop {
            thread::park();
        }
    }
}

/// What a callback has returned.
enum Reply<'py> {
    Echo,
    Send(Payload<'py>),
    Nothing,
}

impl<'py> Reply<'py> {
    /// `None` echoes, text and bytes are sent instead, `NO_REPLY` sends nothing.
    fn of(name: &str, reply: &Bound<'py, PyAny>) -> PyResult<Self> {
        if reply.is_none() {
            return Ok(Self::Echo);
        }
        if reply.is_instance_of::<NoReply>() {
            return Ok(Self::Nothing);
        }
        let Some(payload) = payload(reply)? else {
            return Err(PyTypeError::new_err(format!(
                "{name} returned {}, not None, str, bytes-like or NO_REPLY",
                reply.get_type().name()?
            )));
        };
        payload.bytes()?;
        Ok(Self::Send(payload))
    }

    fn answer(&self) -> Answer<'_> {
        match self {
            Self::Echo => Answer::Echo,
            // What is no UTF-8 was found when the reply was made.
            Self::Send(payload) => payload
                .bytes()
                .map_or(Answer::Nothing, |bytes| Answer::Send(payload.kind, bytes)),
            Self::Nothing => Answer::Nothing,
        }
    }
}

/// What can be sent, as found in a Python object.
pub(super) struct Payload<'py> {
    pub(super) kind: Kind,
    object: Bound<'py, PyAny>,
}

impl Payload<'_> {
    /// # Errors
    /// `UnicodeEncodeError` for text with a lone surrogate.
    pub(super) fn bytes(&self) -> PyResult<&[u8]> {
        match self.object.cast::<PyString>() {
            Ok(text) => Ok(text.to_str()?.as_bytes()),
            Err(_) => Ok(self.object.cast::<PyBytes>()?.as_bytes()),
        }
    }
}

/// Text for a `str`, binary for anything bytes-like, `None` for the rest.
pub(super) fn payload<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Payload<'py>>> {
    if object.is_instance_of::<PyString>() {
        return Ok(Some(Payload {
            kind: Kind::Text,
            object: object.clone(),
        }));
    }
    if object.is_instance_of::<PyBytes>() {
        return Ok(Some(Payload {
            kind: Kind::Binary,
            object: object.clone(),
        }));
    }
    // memoryview reads every buffer, whatever its item type and layout.
    let view = match PyMemoryView::from(object) {
        Ok(view) => view,
        Err(error) if error.is_instance_of::<PyTypeError>(object.py()) => return Ok(None),
        Err(error) => return Err(error),
    };
    let object = view.call_method0(intern!(object.py(), "tobytes"))?;
    Ok(Some(Payload {
        kind: Kind::Binary,
        object,
    }))
}
