//! What the Python objects of one server share, and the dispatcher with them. Holds no Python object, so that a worker
//! may hold it.

use super::control::Awaited;
use super::drain::Drain;
use super::errors;
use super::events::{Ended, Event, Events, Refusal};
use super::fork::forks;
use super::lock::lock;
use super::outgoing::Outgoing;
use super::wanted::{Wanted, Whom};
use crate::admission::Request;
use crate::client::{Client, Letter};
use crate::endpoint::Peer;
use crate::handler::{Batch, Callbacks, Gate, Handler, Summary, Wants};
use crate::mailbox::Mailbox;
use crate::order::Order;
use crate::record::Record;
use crate::server::{Pending, Server};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Link {
    /// Forks of this process when the server was made.
    forks: u32,
    pub(super) max_send_queue: usize,
    pub(super) wanted: Wanted,
    debug: AtomicBool,
    pub(super) callback_errors: AtomicU64,
    /// How long those of each name have run, if anybody can ask.
    times: Option<Mutex<BTreeMap<&'static str, Duration>>>,
    /// What the dispatcher has to do.
    pub(super) events: Events,
    /// Who does it.
    pub(super) drain: Arc<Drain>,
    /// Messages are handed to iterators, and not echoed natively.
    iterated: AtomicBool,
    pub(super) outgoing: Mutex<Outgoing>,
    /// The callback that runs now.
    pub(super) callback: Mutex<Option<&'static str>>,
    /// The workers have ended.
    over: AtomicBool,
    /// What clients did, if that is recorded.
    pub(super) record: OnceLock<Arc<Record>>,
    /// The server, whose workers have this.
    pub(super) core: OnceLock<Weak<Server>>,
}

impl Link {
    /// `is_timed`: how long callbacks run is measured.
    pub(super) fn new(max_send_queue: usize, is_timed: bool) -> Arc<Self> {
        Arc::new(Self {
            forks: forks(),
            max_send_queue,
            wanted: Wanted::new(),
            debug: AtomicBool::new(false),
            callback_errors: AtomicU64::new(0),
            times: is_timed.then(Mutex::default),
            events: Events::default(),
            drain: Drain::new(),
            iterated: AtomicBool::new(false),
            outgoing: Mutex::default(),
            callback: Mutex::new(None),
            over: AtomicBool::new(false),
            record: OnceLock::new(),
            core: OnceLock::new(),
        })
    }

    /// Whether this process was forked from the one that made the server.
    pub(super) fn is_forked(&self) -> bool {
        self.forks != forks()
    }

    /// For every call of the API.
    ///
    /// # Errors
    /// `RuntimeError` in a forked process.
    pub(super) fn check_process(&self) -> PyResult<()> {
        if self.is_forked() {
            Err(errors::forked())
        } else {
            Ok(())
        }
    }

    /// Whether the workers have ended, so that answers can't go anywhere.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether what no callback answers is echoed.
    pub(super) fn echoes(&self) -> bool {
        !self.wanted.sum().has(Wants::SILENCE)
    }

    /// From the next read on.
    pub(super) fn set_echo(&self, echo: bool) {
        let wants = if echo { Wants::NOTHING } else { Wants::SILENCE };
        self.wanted.set(Whom::Silence, wants);
    }

    pub(super) fn debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    /// From the next message on.
    pub(super) fn set_debug(&self, debug: bool) {
        self.debug.store(debug, Ordering::Relaxed);
    }

    pub(super) fn is_iterated(&self) -> bool {
        self.iterated.load(Ordering::Relaxed)
    }

    /// Whether messages can be handed to iterators.
    ///
    /// # Errors
    /// `RuntimeError` if callbacks have them.
    pub(super) fn check_iterable(&self) -> PyResult<()> {
        let wants = self.wanted.of(Whom::Callbacks);
        if wants.has(Wants::MESSAGES) {
            return Err(either());
        }
        Ok(())
    }

    /// Hands messages to iterators from now on.
    ///
    /// # Errors
    /// As `check_iterable`.
    pub(super) fn iterate(&self) -> PyResult<()> {
        self.check_iterable()?;
        self.iterated.store(true, Ordering::Relaxed);
        let wants = Wants::OPEN | Wants::MESSAGES | Wants::CLOSE;
        self.wanted.set(Whom::Iterators, wants);
        Ok(())
    }

    /// Whether an event loop runs the dispatcher, in this thread.
    pub(super) fn is_on_loop(&self) -> bool {
        self.drain.is_here() && self.events.has_doorbell()
    }

    /// The name of the callback that has called this.
    pub(super) fn own_callback(&self) -> Option<&'static str> {
        let is_here = self.drain.is_here();
        is_here.then(|| *lock(&self.callback)).flatten()
    }

    /// Runs one callback, or a piece of one, with its name where `stop()` finds it.
    pub(super) fn call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce() -> PyResult<T>,
    ) -> PyResult<T> {
        let outer = lock(&self.callback).replace(name);
        // One within another runs in the time of that.
        let times = self.times.as_ref().filter(|_| outer.is_none());
        let begun = times.map(|times| (times, Instant::now()));
        let result = call();
        *lock(&self.callback) = outer;
        if let Some((times, begun)) = begun {
            *lock(times).entry(name).or_default() += begun.elapsed();
        }
        // Whatever it has changed is there.
        self.happened();
        result
    }

    /// Python has changed what those who read may look at: has those look who wait.
    pub(super) fn happened(&self) {
        // A child has a copy of the lock, which may have been locked.
        if let Some(record) = self.record.get()
            && !self.is_forked()
        {
            record.news.tell();
        }
    }

    /// Whoever has seen a part of what has happened sees all of it. For each look at what is counted, and at a client.
    pub(super) fn settle(&self) {
        if let Some(record) = self.record.get()
            && !self.is_forked()
        {
            record.settle();
        }
    }

    /// Nobody runs the dispatcher any more. Not to be called with the interpreter attached.
    pub(super) fn end_drain(&self) {
        self.drain.end(|| self.happened());
    }

    /// Whether the server and its callbacks have ended, or never were.
    pub(super) fn has_ended(&self) -> bool {
        self.record.get().is_some_and(|record| record.is_over()) && !self.drain.is_expected()
    }

    /// Posts the answers that are finished, and what is gathered: what is done next concerns those after them. For whatever
    /// changes the server.
    pub(super) fn post_finished(&self) {
        lock(&self.outgoing).post_finished();
    }

    /// Posts what a turn has gathered. If that, or what was gathered before, may not be done: what tells when it is, and
    /// what `Outgoing::note_done` is to be told then.
    pub(super) fn finish(&self) -> Option<(Pending<Infallible>, u64)> {
        let given = lock(&self.outgoing).finish()?;
        let core = self.core.get().and_then(Weak::upgrade)?;
        Some((core.obeyed(), given))
    }

    /// Gives a client's connection an order, which goes behind the answers before it. Any thread.
    pub(super) fn order(&self, client: &Arc<Client>, order: Order) {
        let was_open = client.is_open();
        lock(&self.outgoing).order(client, order);
        if was_open && !client.is_open() {
            self.happened();
        }
    }
}

impl Awaited for Link {
    fn has_ended(&self) -> bool {
        self.is_over() && self.drain.has_ended()
    }
}

/// Messages go one way only.
pub(super) fn either() -> PyErr {
    PyRuntimeError::new_err(
        "on_text and on_binary have the messages: use either these callbacks or `async for`",
    )
}

impl Handler for Link {
    fn wants(&self) -> Wants {
        // Asked for every read: a worker that never comes to rest pays here what it owes.
        self.events.wake_if_owed(true);
        let wants = self.wanted.sum();
        if self.debug() {
            wants | Wants::MESSAGES | Wants::CLOSE
        } else {
            wants
        }
    }

    fn on_handshake(&self, request: &Arc<Request>) {
        self.events.push(Event::Handshake(Arc::downgrade(request)));
    }

    fn on_open(&self, client: &Arc<Client>) -> Gate {
        let (callbacks, iterators) = (Whom::Callbacks, Whom::Iterators);
        let wants = self.wanted.of(callbacks) | self.wanted.of(iterators);
        // The log holds nobody up.
        let gate = if wants.has(Wants::OPEN) {
            Gate::Later
        } else {
            Gate::Open
        };
        self.events
            .push(Event::Open(client.clone(), client.charge(), gate));
        gate
    }

    fn on_messages(&self, client: &Arc<Client>, batch: Batch) {
        self.events.push(Event::Messages(client.clone(), batch));
    }

    fn on_pong(&self, client: &Arc<Client>, payload: &[u8]) {
        self.events.push(Event::Pong(
            client.clone(),
            payload.to_vec(),
            client.charge(),
        ));
    }

    fn on_park(&self) {
        self.events.wake_if_owed(false);
    }

    fn on_look(&self, worker: &Arc<Mailbox<Letter>>) -> bool {
        lock(&self.outgoing).look(worker)
    }

    fn on_close(&self, client: &Arc<Client>) {
        self.events
            .push(Event::Close(client.clone(), client.charge()));
    }

    fn on_summary(&self, client: &Arc<Client>, summary: &Summary) {
        self.events.push_ended(|| Ended {
            client: client.clone(),
            summary: *summary,
            _held: client.charge(),
        });
    }

    fn on_refusal(&self, peer: Peer, reason: &str) {
        self.events.push_refusal(|| {
            Refusal::new("refused", "request of %s refused: %s", Some(peer), reason)
        });
    }

    fn on_plain(&self, peer: Peer, reason: &str) {
        self.events.push_unlogged(|| Refusal {
            text: None,
            ..Refusal::new("plain", "", Some(peer), reason)
        });
    }

    fn on_tls_failure(&self, peer: Peer, reason: &str, was_open: bool) {
        self.events.push_refusal(|| Refusal {
            was_in: was_open,
            ..Refusal::new("tls_failed", "TLS with %s failed: %s", Some(peer), reason)
        });
    }

    fn on_proxy_failure(&self, peer: Peer, reason: &str) {
        self.events.push_refusal(|| {
            Refusal::new(
                "proxy_refused",
                "PROXY header of %s refused: %s",
                Some(peer),
                reason,
            )
        });
    }

    fn on_accept_failure(&self, reason: &str) {
        self.events.push_refusal(|| {
            Refusal::new(
                "not_accepted",
                "connections can't be accepted: %s",
                None,
                reason,
            )
        });
    }

    fn callbacks(&self) -> Callbacks {
        let times = self.times.as_ref();
        let times = times.map(|times| {
            lock(times)
                .iter()
                .map(|(&name, &time)| (name, time))
                .collect()
        });
        Callbacks {
            errors: self.callback_errors.load(Ordering::Relaxed),
            times: times.unwrap_or_default(),
        }
    }

    fn on_closed(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.events.push(Event::Closed);
    }
}
