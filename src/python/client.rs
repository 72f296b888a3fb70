//! `Client`: one client of a server, as callbacks get it.

use super::address;
use super::argument::{Argument, Given, seconds};
use super::attributes::Attributes;
use super::catching_up::with_room;
use super::crossing;
use super::enter::{call, call_method};
use super::errors::{self, type_name};
use super::flushing::Flushing;
use super::head;
use super::imported::imported;
use super::link::Link;
use super::lock::lock;
use super::recording::PyRecord;
use super::tls::PyTlsInfo;
use super::values::{Payload, payload, sendable};
use super::waiting;
use crate::client::Client;
use crate::order::{Close, Limits, Order, SendError};
use crate::protocol::limit::Limit;
use crate::protocol::message::Kind;
use pyo3::exceptions::{PyReferenceError, PyRuntimeError, PyTimeoutError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyList, PyString, PyWeakrefReference};
use std::ffi::OsString;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// One client of a server. Thread-safe; stays readable after its end.
///
/// The server makes them: a callback gets the same object each time, until `on_disconnect` has returned. Any other
/// attribute that is set is kept for the application: `client.name = "Ann"`.
#[pyclass(frozen, weakref, name = "Client", module = "echoserver")]
pub(super) struct PyClient {
    pub(super) client: Arc<Client>,
    link: Arc<Link>,
    /// The `EchoServer`, which this does not keep alive.
    owner: Py<PyWeakrefReference>,
    attributes: Attributes,
    /// Where its messages wait for those who iterate over them.
    inbox: OnceLock<Py<PyAny>>,
    /// It is gone, with its last callback: no message will come.
    is_over: AtomicBool,
}

impl PyClient {
    pub(super) fn new(client: Arc<Client>, link: Arc<Link>, owner: Py<PyWeakrefReference>) -> Self {
        Self {
            client,
            link,
            owner,
            attributes: Attributes::default(),
            inbox: OnceLock::new(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Made when it is first needed.
    pub(super) fn inbox<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        if self.inbox.get().is_none() {
            let made = call_method(&aio(py)?, intern!(py, "Inbox"), ())?;
            // Set by another meanwhile: that one is as good.
            let _ = self.inbox.set(made.unbind());
        }
        Ok(self.inbox.get_or_init(|| py.None()).bind(py))
    }

    /// Whether it is a client of that server.
    pub(super) fn is_of(&self, link: &Arc<Link>) -> bool {
        Arc::ptr_eq(&self.link, link)
    }

    /// What its server shares.
    ///
    /// # Errors
    /// `RuntimeError` in a forked process.
    fn link(&self) -> PyResult<&Arc<Link>> {
        self.link.check_process()?;
        Ok(&self.link)
    }

    /// No message will come any more.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Whether it is gone, with its last callback.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// The client, for those who look at what has become of it.
    fn settled(&self) -> &Client {
        self.link.settle();
        &self.client
    }

    /// Gives an order that takes room in the send queue, which has at most so many bytes.
    fn order(
        &self,
        py: Python<'_>,
        order: impl Fn(usize) -> Result<Order, SendError>,
    ) -> PyResult<()> {
        let (id, limit) = (self.client.id, self.link.max_send_queue);
        let order = with_room(py, &self.link, &self.client, || order(limit))?;
        let order = order.map_err(|error| errors::send_error(&error, id, limit))?;
        self.link.order(&self.client, order);
        Ok(())
    }
}

/// `echoserver.aio`, which imports asyncio and is therefore not imported earlier.
fn aio(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "echoserver.aio"))
        .map(Bound::into_any)
}

/// Reads what is recorded as the function of that name in `echoserver.reading` does, which every server imports.
fn read<'py>(
    client: &Bound<'py, PyClient>,
    how: &Bound<'py, PyString>,
    timeout: Given<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    client.get().record()?;
    let reading = client
        .py()
        .import(intern!(client.py(), "echoserver.reading"))?;
    let timeout = patience(client.py(), timeout);
    call_method(&reading, how, (client, timeout))
}

/// How long a call waits for what a client does; 5 seconds unless it is told.
fn patience<'py>(py: Python<'py>, timeout: Given<'py>) -> Bound<'py, PyAny> {
    match timeout {
        Given::Default => PyFloat::new(py, 5.0).into_any(),
        Given::Value(value) => value,
    }
}

#[pymethods]
impl PyClient {
    /// Number of this client, from 1 in the order of their coming, unique in its server.
    #[getter]
    fn id(&self) -> u64 {
        self.client.id
    }

    /// IP address and port of the client; IPv4 is shown as such also on a dual-stack socket.
    ///
    /// ("unix:", 0) on a Unix socket, whose clients have no address.
    #[getter]
    fn peer(&self, py: Python<'_>) -> (String, u16) {
        address::peer(py, self.client.peer())
    }

    /// IP address and port of the balancer that has connected for the client (`proxy_from`), or None.
    ///
    /// ("unix:", 0) for one that has connected to a Unix socket.
    #[getter]
    fn proxied_by(&self, py: Python<'_>) -> Option<(String, u16)> {
        let balancer = self.client.proxied_by();
        balancer.map(|balancer| address::peer(py, balancer))
    }

    /// IP address and port that the client has connected to, as this machine sees them; a Unix path, and 0.
    #[getter]
    fn local_address(&self, py: Python<'_>) -> (OsString, u16) {
        address::endpoint(py, &self.client.local())
    }

    /// The server. ReferenceError if it has ended and nobody refers to it any more: a client does not keep it.
    #[getter]
    fn server<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.owner.bind(py).upgrade().ok_or_else(|| {
            PyReferenceError::new_err("the server has ended, and nobody refers to it any more")
        })
    }

    /// What the TLS handshake agreed on; None without TLS.
    #[getter]
    fn tls(&self, py: Python<'_>) -> Option<PyTlsInfo> {
        PyTlsInfo::of(py, self.client.tls.as_deref())
    }

    /// Path of the requested URL, without the query, as the client wrote it (not percent-decoded).
    #[getter]
    fn path(&self) -> &str {
        self.client.head().map_or("", |head| head.path())
    }

    /// Query of the requested URL, without the question mark; "" if there is none.
    #[getter]
    fn query(&self) -> &str {
        self.client.head().map_or("", |head| head.query())
    }

    /// The request's headers: a mapping with case-insensitive names, repeated fields joined by a comma.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        head::headers(py, self.client.head())
    }

    /// The request's header lines, as they came; bytes beyond ASCII as Latin-1.
    #[getter]
    fn raw_headers(&self) -> Vec<(String, String)> {
        head::raw_headers(self.client.head())
    }

    /// The `Origin` header (RFC 6455 section 10.2): which page a browser connects for.
    #[getter]
    fn origin(&self) -> Option<String> {
        self.client.head()?.field_joined("origin")
    }

    /// The subprotocol that was agreed (RFC 6455 section 1.9).
    #[getter]
    fn subprotocol(&self) -> Option<&str> {
        self.client.subprotocol.as_deref()
    }

    /// What was agreed of extensions, as the response said it; "" for none.
    ///
    /// Such as `permessage-deflate; server_max_window_bits=12` (RFC 7692 section 7.1).
    #[getter]
    fn extensions(&self) -> String {
        self.client
            .deflate
            .map_or_else(String::new, |agreed| agreed.to_string())
    }

    /// Whether messages can be sent: until a close frame was sent or the connection has ended.
    #[getter]
    fn is_open(&self) -> bool {
        self.settled().is_open()
    }

    /// Close code (RFC 6455 section 7.4), once the connection has ended, so in `on_disconnect`.
    ///
    /// That of the first close frame, the client's or ours, whether or not it was answered: so 1011 of a client that
    /// owes a pong. 1005 is a close frame without a code, 1006 an end without a close frame.
    #[getter]
    fn close_code(&self) -> Option<u16> {
        self.settled().ended().map(|(code, _)| *code)
    }

    /// Close reason, once the connection has ended; "" if there was none.
    #[getter]
    fn close_reason(&self) -> Option<&str> {
        self.settled().ended().map(|(_, reason)| reason.as_str())
    }

    /// Seconds between the last ping that was answered and its pong.
    #[getter]
    fn rtt(&self) -> Option<f64> {
        self.settled().rtt().map(|rtt| rtt.as_secs_f64())
    }

    /// Queues a message, text for a `str` and else binary, and returns its payload bytes. Waits for no client.
    ///
    /// What a callback sends to its own client goes out after the replies before it and before its own reply; from
    /// elsewhere it goes out at once, between messages. SendQueueFull if more than `max_send_queue` bytes would wait,
    /// ClientClosed if the client is closed, UnicodeEncodeError for a lone surrogate.
    fn send(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.link()?;
        let payload = sendable("send", data)?;
        let bytes = payload.bytes()?;
        self.order(data.py(), |limit| {
            self.client.message(payload.kind, bytes, limit)
        })?;
        Ok(bytes.len())
    }

    /// Waits until everything that was queued when it was called is on the wire, or the client is gone.
    ///
    /// What is sent meanwhile is not waited for. TimeoutError after `timeout` seconds; None waits for ever.
    #[pyo3(signature = (timeout=None))]
    fn flush(&self, py: Python<'_>, timeout: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        self.link()?.post_finished();
        let timeout = seconds("timeout", timeout)?;
        let flushed = self.client.flushed();
        if waiting::wait(py, timeout, |until| flushed.wait(Some(until)))? {
            return Ok(());
        }
        let queued = self.client.queued();
        Err(PyTimeoutError::new_err(format!(
            "{queued} bytes still wait for client {}",
            self.client.id
        )))
    }

    /// Sends bytes as they are, between two frames, and returns how many. Waits for no client.
    ///
    /// They need not be frames, or may be what no server sends (`echoserver.testing.violations`): what they do to the
    /// conversation is the caller's business. Their order among others, and errors, are those of `send`.
    fn send_raw(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.link()?;
        let payload = payload(data)?.filter(|payload| payload.kind == Kind::Binary);
        let payload = payload.ok_or_else(|| {
            let actual = type_name(data);
            PyTypeError::new_err(format!("send_raw() takes bytes-like data, not {actual}"))
        })?;
        let bytes = payload.bytes()?;
        self.order(data.py(), |limit| self.client.raw(bytes, limit))?;
        Ok(bytes.len())
    }

    /// What clients of its server did.
    #[getter(_record)]
    fn record(&self) -> PyResult<PyRecord> {
        PyRecord::of(self.link()?)
    }

    /// The next message that nobody has taken, and whether none will come any more.
    #[pyo3(name = "_take_message")]
    fn take_message<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyAny>>, bool)> {
        self.record()?.take_message(py, &self.client)
    }

    /// The same of pongs.
    #[pyo3(name = "_take_pong")]
    fn take_pong<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyBytes>>, bool)> {
        self.record()?.take_pong(py, &self.client)
    }

    /// The messages that it has sent since the beginning or `EchoServer.clear()`, taken or not; a new list.
    ///
    /// RuntimeError if its server does not `record`.
    #[getter]
    fn received<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let id = Some(self.client.id);
        self.record()?.listed(py, id, usize::MAX)
    }

    /// The next message that this client has sent, each once, also those from before and after its end.
    ///
    /// It is there as soon as the answer to it has its place: what is sent then goes out after that. ClientClosed, with
    /// `code` and `reason`, if there is none and the client is gone; TimeoutError, which says what did come, after
    /// `timeout` seconds, None waits for ever. RuntimeError if its server does not `record` or has no room for more,
    /// and in the thread of a running event loop, which waiting would stop: there use `recv_async()`.
    #[pyo3(signature = (timeout=Given::Default), text_signature = "($self, timeout=5.0)")]
    fn recv<'py>(slf: &Bound<'py, Self>, timeout: Given<'py>) -> PyResult<Bound<'py, PyAny>> {
        let timeout = patience(slf.py(), timeout);
        // Also if there is nothing to wait for.
        seconds("timeout", Some(timeout.clone()))?;
        match slf.get().take_message(slf.py())? {
            (Some(message), _) => Ok(message),
            (None, _) => read(slf, intern!(slf.py(), "recv"), Given::Value(timeout)),
        }
    }

    /// As `recv`, to be awaited, on any event loop.
    #[pyo3(signature = (timeout=Given::Default), text_signature = "($self, timeout=5.0)")]
    fn recv_async<'py>(slf: &Bound<'py, Self>, timeout: Given<'py>) -> PyResult<Bound<'py, PyAny>> {
        read(slf, intern!(slf.py(), "recv_async"), timeout)
    }

    /// The payload of the next pong of this client, each once, asked for or not (RFC 6455 section 5.5.3).
    ///
    /// Errors as `recv`; on an event loop use `wait_pong_async()`.
    #[pyo3(signature = (timeout=Given::Default), text_signature = "($self, timeout=5.0)")]
    fn wait_pong<'py>(slf: &Bound<'py, Self>, timeout: Given<'py>) -> PyResult<Bound<'py, PyAny>> {
        read(slf, intern!(slf.py(), "wait_pong"), timeout)
    }

    /// As `wait_pong`, to be awaited, on any event loop.
    #[pyo3(signature = (timeout=Given::Default), text_signature = "($self, timeout=5.0)")]
    fn wait_pong_async<'py>(
        slf: &Bound<'py, Self>,
        timeout: Given<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        read(slf, intern!(slf.py(), "wait_pong_async"), timeout)
    }

    /// As `flush`, to be awaited, on any event loop; for a time limit use `asyncio.timeout()`.
    fn flush_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let link = self.link()?;
        link.post_finished();
        let mut flushed = self.client.flushed();
        if flushed.is_over() {
            return crossing::done(py);
        }
        crossing::future(py, link.clone(), move |cx| Pin::new(&mut flushed).poll(cx))
    }

    /// Waits until the connection has ended, and returns its `close_code`.
    ///
    /// TimeoutError after `timeout` seconds; None waits for ever. Unless it has ended already, RuntimeError on the
    /// thread that runs the callbacks, and in the thread of a running event loop: there use `wait_closed_async()`.
    #[pyo3(signature = (timeout=Given::Default), text_signature = "($self, timeout=5.0)")]
    fn wait_closed(&self, py: Python<'_>, timeout: Given<'_>) -> PyResult<u16> {
        let link = self.link()?;
        let timeout = patience(py, timeout);
        let limit = seconds("timeout", Some(timeout.clone()))?;
        if let Some(code) = self.close_code() {
            return Ok(code);
        }
        let is_here = link.drain.is_here();
        if is_here && link.is_on_loop() || imported(py)?.loop_runs(py)? {
            return Err(PyRuntimeError::new_err(
                "wait_closed() would stop the event loop that runs in this thread: \
                await client.wait_closed_async() instead",
            ));
        }
        if is_here {
            return Err(PyRuntimeError::new_err(
                "wait_closed() in the thread that runs the callbacks would wait for itself",
            ));
        }
        let end = self.client.at_end();
        waiting::wait(py, limit, |until| end.wait(Some(until)))?;
        // Without a limit it waits until there is one.
        match self.close_code() {
            Some(code) => Ok(code),
            None => Err(PyTimeoutError::new_err(self.not_ended(&timeout)?)),
        }
    }

    /// As `wait_closed`, to be awaited, on any event loop.
    ///
    /// RuntimeError in a callback of this client, which would wait for itself.
    #[pyo3(signature = (timeout=Given::Default), text_signature = "($self, timeout=5.0)")]
    fn wait_closed_async<'py>(
        slf: &Bound<'py, Self>,
        timeout: Given<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let timeout = patience(py, timeout);
        call_method(&aio(py)?, intern!(py, "client_closed"), (slf, timeout))
    }

    /// What to say when it has not ended after `timeout` seconds.
    #[pyo3(name = "_not_ended")]
    fn not_ended(&self, timeout: &Bound<'_, PyAny>) -> PyResult<String> {
        let state = if self.client.is_open() {
            "is still connected"
        } else {
            "has not ended the closing handshake"
        };
        let seconds = timeout.call_method1(intern!(timeout.py(), "__format__"), ("g",))?;
        Ok(format!(
            "client {} {state} after {seconds} s",
            self.client.id
        ))
    }

    /// As `send`, to be awaited: waits while more than `max_send_queue` bytes would wait.
    ///
    /// ClientClosed and UnicodeEncodeError as `send`.
    fn send_async<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        call(imported(slf.py())?.send.bind(slf.py()), (slf, data))
    }

    /// The messages of this client, instead of their echoes.
    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, own) = (slf.py(), slf.get());
        let link = own.link()?;
        link.check_iterable()?;
        let inbox = own.inbox(py)?;
        if own.is_over() {
            // There may be messages left.
            call_method(inbox, intern!(py, "end"), ())?;
        } else if link.is_on_loop() {
            link.iterate()?;
        } else {
            return Err(PyRuntimeError::new_err(
                "`async for` takes a client's messages on the event loop that serves it: \
                run the server with serve_async() or `async with`",
            ));
        }
        call_method(&aio(py)?, intern!(py, "Messages"), (slf, inbox))
    }

    /// Sends a ping of at most 125 bytes (RFC 6455 section 5.5.2); its pong sets `rtt`.
    ///
    /// ValueError for a longer payload, ClientClosed if the client is closed.
    #[pyo3(signature = (payload=None))]
    fn ping(&self, py: Python<'_>, payload: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.link()?;
        let payload = payload.map(|payload| sendable("ping", payload));
        let payload = payload.transpose()?;
        let bytes = payload.as_ref().map_or(Ok(&[][..]), Payload::bytes)?;
        self.order(py, |limit| self.client.ping(bytes, limit))
    }

    /// From its next frame on no message may be longer than `message` bytes, and no frame than `frame`: 1009.
    #[pyo3(name = "_set_limits")]
    fn set_limits(&self, message: usize, frame: usize) -> PyResult<()> {
        let limits = Limits {
            message: Limit::new(&"maxAllowedIncomingMessageSize", message),
            frame: Limit::new(&"maxAllowedIncomingFrameSize", frame),
        };
        self.link()?.order(&self.client, Order::Limits(limits));
        Ok(())
    }

    /// In its `on_text` or `on_binary`: the lengths of the frames that the message came in; none if it came in one.
    #[pyo3(name = "_frames")]
    fn frames(&self) -> PyResult<Vec<usize>> {
        Ok(lock(&self.link()?.outgoing).frames(&self.client))
    }

    /// Bytes that wait for the network, each message counted with 64 more than its payload.
    #[getter(_queued)]
    fn queued(&self) -> usize {
        self.client.queued()
    }

    /// Has its server's door told (`written`) when all is on the wire that is queued now, or the client is gone.
    #[pyo3(name = "_tell_written")]
    fn tell_written(&self) -> PyResult<()> {
        Flushing::begin(self.link()?.clone(), &self.client);
        Ok(())
    }

    /// Reads no more of this client until `resume()`, and returns at once.
    ///
    /// What was read already is still delivered and echoed, but for compressed messages that are not inflated yet;
    /// then TCP holds the client up. Timers for its silence stand still, and its end is not seen. In a closing
    /// handshake all is read. On a closed client it does nothing.
    fn pause(&self) -> PyResult<()> {
        self.link()?.order(&self.client, Order::Pause);
        Ok(())
    }

    /// Reads this client again after `pause()`. Timers for its silence begin anew.
    fn resume(&self) -> PyResult<()> {
        self.link()?.order(&self.client, Order::Resume);
        Ok(())
    }

    /// Begins the closing handshake (RFC 6455 section 7.1.2) and returns at once; replies before it are sent.
    ///
    /// ValueError for a code that may not be sent, such as 1005, and for a reason beyond 123 bytes of UTF-8. On a
    /// closed client it does nothing.
    #[pyo3(
        signature = (code=Given::Default, reason=Given::Default),
        text_signature = "($self, code=1000, reason='')"
    )]
    fn close(&self, code: Given<'_>, reason: Given<'_>) -> PyResult<()> {
        let link = self.link()?;
        let code = code.read("code", Argument::close_code)?.unwrap_or(1000);
        let reason = reason.read("reason", Argument::text)?.unwrap_or_default();
        link.order(&self.client, Order::Close(Close::new(code, &reason)?));
        Ok(())
    }

    /// Sets a fault on this client, as `EchoServer.fault()`.
    #[pyo3(
        signature = (fault, /, *, after=Given::Default, every=Given::Default, probability=Given::Default, times=None),
        text_signature = "($self, fault, /, *, after=0, every=1, probability=1.0, times=None)"
    )]
    fn fault<'py>(
        slf: &Bound<'py, Self>,
        fault: &Bound<'py, PyAny>,
        after: Given<'py>,
        every: Given<'py>,
        probability: Given<'py>,
        times: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let server = slf.get().server(slf.py())?;
        let selectors = PyDict::new(slf.py());
        selectors.set_item("client", slf)?;
        for (name, value) in [
            ("after", after),
            ("every", every),
            ("probability", probability),
        ] {
            if let Given::Value(value) = value {
                selectors.set_item(name, value)?;
            }
        }
        selectors.set_item("times", times)?;
        server.call_method(intern!(slf.py(), "fault"), (fault,), Some(&selectors))
    }

    /// Whether a fault holds it up, so that nothing can be expected of it in time.
    #[getter(_is_held)]
    fn is_held(&self) -> bool {
        self.client.is_held()
    }

    /// Drops the connection without a close frame and returns at once.
    ///
    /// What was sent before goes as far as the network takes it without a wait. On a closed client it does nothing.
    fn abort(&self) -> PyResult<()> {
        self.link()?.order(&self.client, Order::Abort);
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let client = self.settled();
        // In this order: it may end meanwhile.
        let is_open = client.is_open();
        let state = match client.ended() {
            Some((code, reason)) if reason.is_empty() => format!("closed {code}"),
            Some((code, reason)) => {
                format!(
                    "closed {code} {}",
                    errors::shown(&PyString::new(py, reason))
                )
            }
            None if is_open => "open".to_owned(),
            None => "closing".to_owned(),
        };
        format!(
            "<Client {} {} {} {state}>",
            client.id,
            client.peer(),
            self.path()
        )
    }

    /// The application's own attributes.
    #[getter]
    fn __dict__<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.attributes.dict(py).clone()
    }

    fn __getattr__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.attributes.get("Client", name)
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        slf.get().attributes.set(&slf.get_type(), name, value)
    }

    fn __delattr__(&self, name: &Bound<'_, PyString>) -> PyResult<()> {
        self.__getattr__(name)?;
        self.attributes.dict(name.py()).del_item(name)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(inbox) = self.inbox.get() {
            visit.call(inbox)?;
        }
        self.attributes.traverse(&visit)
    }
}

/// A future of the running loop for the end of a client.
#[pyfunction]
pub(super) fn at_end<'py>(
    py: Python<'py>,
    client: &Bound<'py, PyClient>,
) -> PyResult<Bound<'py, PyAny>> {
    let own = client.get();
    let link = own.link()?;
    let mut end = own.client.at_end();
    crossing::future(py, link.clone(), move |cx| Pin::new(&mut end).poll(cx))
}
