//! What the Python objects of one server share, and the dispatcher with them. Holds no Python object, so that a worker
//! may hold it.

use super::crossing;
use super::doorbell::Doorbell;
use super::errors;
use super::fork::forks;
use super::lock::lock;
use super::outgoing::Outgoing;
use super::wanted::{Wanted, Whom};
use crate::admission::Request;
use crate::client::Client;
use crate::condition::wait_while;
use crate::error::Error;
use crate::handler::{Batch, Gate, Handler, Wants};
use crate::order::Order;
use crate::protocol::account::Account;
use crate::record::Record;
use crate::wakers::Wakers;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::future::Future;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Between two wake-ups of the dispatcher by a worker that has more to do.
const WAKE_INTERVAL: Duration = Duration::from_micros(100);

/// Refusals that may wait to be logged; further ones are only counted.
const MAX_REFUSALS: usize = 1024;

/// The charge for a client, while something of it waits.
pub(super) type Held = Option<Arc<Account>>;

/// What the workers tell the dispatcher.
#[derive(Debug)]
pub(super) enum Event {
    /// Not held here: of clients that come and go while a callback waits, nothing may pile up.
    Handshake(Weak<Request>),
    /// Its messages may wait until it is admitted.
    Open(Arc<Client>, Held, Gate),
    Messages(Arc<Client>, Batch),
    Close(Arc<Client>, Held),
    Refusal(Refusal),
    /// The server has ended; nothing follows.
    Closed,
}

impl Event {
    /// Whose it is; of no client if it is of the server.
    pub(super) const fn client(&self) -> Option<&Arc<Client>> {
        match self {
            Self::Open(client, ..) | Self::Messages(client, _) | Self::Close(client, _) => {
                Some(client)
            }
            Self::Handshake(_) | Self::Refusal(_) | Self::Closed => None,
        }
    }
}

/// Somebody who did not get in, for the log.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What is said, with places for the other two.
    pub(super) text: &'static str,
    pub(super) peer: SocketAddr,
    pub(super) reason: String,
}

/// Whether somebody runs the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    Never,
    /// The server is being started.
    Soon,
    /// The server was started; somebody will.
    Expected,
    Running(ThreadId),
    /// The callbacks have ended; those who wait for that are told.
    Ending,
    Done,
}

impl Drain {
    /// Whether its end will come.
    const fn is_expected(self) -> bool {
        matches!(self, Self::Soon | Self::Expected | Self::Running(_))
    }

    /// Whether it was.
    const fn has_ended(self) -> bool {
        matches!(self, Self::Ending | Self::Done)
    }
}

#[derive(Debug)]
pub(super) struct Link {
    /// Forks of this process when the server was made.
    forks: u32,
    pub(super) max_send_queue: usize,
    pub(super) wanted: Wanted,
    debug: AtomicBool,
    pub(super) callback_errors: AtomicU64,
    queue: Mutex<Queue>,
    /// Messages are queued, and the dispatcher sleeps: it is woken when the worker has nothing else to do, or soon.
    owed: AtomicBool,
    filled: Condvar,
    /// What wakes an event loop that runs the dispatcher; `None` wherever a thread waits in `take`.
    doorbell: Mutex<Option<Arc<Doorbell>>>,
    drain: Mutex<Drain>,
    drained: Condvar,
    /// Who waits for that elsewhere than in a thread.
    awaiting: Mutex<Wakers>,
    /// Messages are handed to iterators, and not echoed natively.
    iterated: AtomicBool,
    pub(super) outgoing: Mutex<Outgoing>,
    /// The callback that runs now.
    pub(super) callback: Mutex<Option<&'static str>>,
    /// The workers have ended.
    over: AtomicBool,
    /// What clients did, if that is recorded.
    pub(super) record: OnceLock<Arc<Record>>,
}

#[derive(Debug, Default)]
struct Queue {
    events: Vec<Event>,
    /// Refusals among them, and how many more there were.
    refusals: (usize, u64),
    waiting: bool,
    /// When the dispatcher was last woken.
    woken: Option<Instant>,
}

impl Link {
    pub(super) fn new(max_send_queue: usize) -> Arc<Self> {
        Arc::new(Self {
            forks: forks(),
            max_send_queue,
            wanted: Wanted::new(),
            debug: AtomicBool::new(false),
            callback_errors: AtomicU64::new(0),
            queue: Mutex::default(),
            owed: AtomicBool::new(false),
            filled: Condvar::new(),
            doorbell: Mutex::default(),
            drain: Mutex::new(Drain::Never),
            drained: Condvar::new(),
            awaiting: Mutex::default(),
            iterated: AtomicBool::new(false),
            outgoing: Mutex::default(),
            callback: Mutex::new(None),
            over: AtomicBool::new(false),
            record: OnceLock::new(),
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

    pub(super) fn debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    /// From the next message on.
    pub(super) fn set_debug(&self, debug: bool) {
        self.debug.store(debug, Ordering::Relaxed);
    }

    fn push(&self, event: Event) {
        let can_wait = matches!(event, Event::Messages(..));
        let mut queue = lock(&self.queue);
        queue.events.push(event);
        self.wake(queue, can_wait);
    }

    fn push_refusal(&self, text: &'static str, peer: SocketAddr, reason: &str) {
        let mut queue = lock(&self.queue);
        if queue.refusals.0 == MAX_REFUSALS {
            queue.refusals.1 += 1;
            return;
        }
        queue.refusals.0 += 1;
        queue.events.push(Event::Refusal(Refusal {
            text,
            peer,
            reason: reason.to_owned(),
        }));
        self.wake(queue, false);
    }

    /// Wakes the dispatcher if it sleeps. With messages that can wait it does so at most once in `WAKE_INTERVAL`: each
    /// wake-up may take the core from the worker, which has more for it in a moment.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>, can_wait: bool) {
        if !queue.waiting {
            return;
        }
        let now = Instant::now();
        if can_wait && queue.woken.is_some_and(|woken| now - woken < WAKE_INTERVAL) {
            self.owed.store(true, Ordering::Relaxed);
            return;
        }
        self.owed.store(false, Ordering::Relaxed);
        queue.waiting = false;
        queue.woken = Some(now);
        drop(queue);
        let doorbell = lock(&self.doorbell).clone();
        match doorbell {
            Some(doorbell) => doorbell.ring(),
            None => self.filled.notify_one(),
        }
    }

    fn is_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }

    /// Refusals that were not queued since the last call: there was no room for them.
    pub(super) fn take_unlogged(&self) -> u64 {
        mem::take(&mut lock(&self.queue).refusals.1)
    }

    /// Swaps what is queued into `events`, which is empty before it; waits for something at most `timeout`.
    pub(super) fn take(&self, events: &mut Vec<Event>, timeout: Option<Duration>) {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut queue = wait_while(&self.filled, lock(&self.queue), deadline, |queue| {
            queue.waiting |= queue.events.is_empty();
            queue.events.is_empty()
        });
        mem::swap(&mut queue.events, events);
        queue.refusals.0 = 0;
    }

    /// From now on the dispatcher does not wait in `take`, but is run when the doorbell rings.
    /// `is_watched` says whether the loop can watch a descriptor.
    pub(super) fn hang_doorbell(&self, is_watched: bool) -> io::Result<Arc<Doorbell>> {
        let doorbell = Arc::new(if is_watched {
            Doorbell::pair()?
        } else {
            Doorbell::thread()
        });
        *lock(&self.doorbell) = Some(doorbell.clone());
        let mut queue = lock(&self.queue);
        queue.waiting = true;
        if !queue.events.is_empty() {
            self.wake(queue, false);
        }
        Ok(doorbell)
    }

    /// Nothing rings any more.
    pub(super) fn remove_doorbell(&self) {
        let doorbell = lock(&self.doorbell).take();
        if let Some(doorbell) = doorbell {
            doorbell.end();
        }
    }

    /// Has the dispatcher run once more, if it waits.
    pub(super) fn nudge(&self) {
        self.wake(lock(&self.queue), false);
    }

    /// Swaps what is queued into `events`, which is empty before it. If there is nothing, the doorbell rings for what
    /// comes then.
    pub(super) fn take_now(&self, events: &mut Vec<Event>) {
        let mut queue = lock(&self.queue);
        if queue.events.is_empty() {
            queue.waiting = true;
        } else {
            mem::swap(&mut queue.events, events);
            queue.refusals.0 = 0;
        }
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
        if wants.has(Wants::TEXT | Wants::BINARY) {
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
        let wants = Wants::OPEN | Wants::TEXT | Wants::BINARY | Wants::CLOSE;
        self.wanted.set(Whom::Iterators, wants);
        Ok(())
    }

    /// Whether an event loop runs the dispatcher, in this thread.
    pub(super) fn is_on_loop(&self) -> bool {
        self.in_dispatcher() && lock(&self.doorbell).is_some()
    }

    /// The server is started by `start`, so that the dispatcher will be run.
    pub(super) fn expect_drain(
        &self,
        start: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let is_first = match &mut *lock(&self.drain) {
            Drain::Soon => return Err(Error::State("the server was started before")),
            drain @ Drain::Never => {
                *drain = Drain::Soon;
                true
            }
            _ => false,
        };
        // Before the start, from which on others may wait for the end.
        crossing::hold();
        let started = start();
        if is_first {
            *lock(&self.drain) = match started {
                Ok(()) => Drain::Expected,
                Err(_) => Drain::Never,
            };
        }
        if started.is_err() {
            self.tell_drained();
            crossing::release();
        }
        started
    }

    /// Makes the current thread the dispatcher's: `false` if another is or was.
    pub(super) fn begin_drain(&self) -> bool {
        let mut drain = lock(&self.drain);
        if *drain != Drain::Expected {
            return false;
        }
        *drain = Drain::Running(thread::current().id());
        true
    }

    /// The event loop that runs the dispatcher runs in the current thread now.
    pub(super) fn move_drain(&self) {
        let mut drain = lock(&self.drain);
        if let Drain::Running(thread) = &mut *drain {
            *thread = thread::current().id();
        }
    }

    /// Nobody runs the dispatcher any more. Not to be called with the interpreter attached.
    pub(super) fn end_drain(&self) {
        {
            let mut drain = lock(&self.drain);
            if drain.has_ended() {
                return;
            }
            *drain = Drain::Ending;
        }
        self.tell_drained();
        crossing::release();
        // Threads later: then this one needs nothing any more that a thread that forks may have while it waits for it.
        *lock(&self.drain) = Drain::Done;
        self.drained.notify_all();
    }

    /// Wakes those who wait for that.
    fn tell_drained(&self) {
        self.drained.notify_all();
        let awaiting = lock(&self.awaiting).take();
        awaiting.for_each(Waker::wake);
    }

    /// Whether the server was started.
    pub(super) fn is_started(&self) -> bool {
        *lock(&self.drain) != Drain::Never
    }

    /// Whether the dispatcher has ended.
    pub(super) fn is_drained(&self) -> bool {
        lock(&self.drain).has_ended()
    }

    /// Ready when the dispatcher has ended. May be dropped at any time.
    pub(super) fn drained(self: &Arc<Self>) -> Drained {
        Drained {
            link: self.clone(),
            key: None,
        }
    }

    pub(super) fn in_dispatcher(&self) -> bool {
        *lock(&self.drain) == Drain::Running(thread::current().id())
    }

    /// Waits until nobody runs the dispatcher: `false` at the deadline.
    pub(super) fn wait_drained(&self, timeout: Duration) -> bool {
        let drain = lock(&self.drain);
        let is_on = |drain: &mut Drain| drain.is_expected() || *drain == Drain::Ending;
        let (_drain, waited) = self
            .drained
            .wait_timeout_while(drain, timeout, is_on)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    /// Runs one callback, with its name where `stop()` finds it.
    pub(super) fn call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce() -> PyResult<T>,
    ) -> PyResult<T> {
        let outer = lock(&self.callback).replace(name);
        let result = call();
        *lock(&self.callback) = outer;
        result
    }

    /// Gives a client's connection an order, which goes behind the answers before it. Any thread.
    pub(super) fn order(&self, client: &Arc<Client>, order: Order) {
        lock(&self.outgoing).order(client, order);
    }
}

/// Messages go one way only.
pub(super) fn either() -> PyErr {
    PyRuntimeError::new_err(
        "on_text and on_binary have the messages: use either these callbacks or `async for`",
    )
}

/// The wait for the end of the dispatcher, as a task does it.
#[derive(Debug)]
pub(super) struct Drained {
    link: Arc<Link>,
    key: Option<u64>,
}

impl Future for Drained {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { link, key } = &mut *self;
        let drain = lock(&link.drain);
        if !drain.is_expected() {
            return Poll::Ready(());
        }
        lock(&link.awaiting).keep(key, cx);
        Poll::Pending
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = lock(&self.link.awaiting).forget(key);
            drop(waker);
        }
    }
}

impl Handler for Link {
    fn wants(&self) -> Wants {
        // Asked for every read: a worker that never comes to rest pays here what it owes.
        if self.is_owed() {
            self.wake(lock(&self.queue), true);
        }
        let wants = self.wanted.sum();
        if self.debug() {
            wants | Wants::TEXT | Wants::BINARY | Wants::CLOSE
        } else {
            wants
        }
    }

    fn on_handshake(&self, request: &Arc<Request>) {
        self.push(Event::Handshake(Arc::downgrade(request)));
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
        self.push(Event::Open(client.clone(), client.charge(), gate));
        gate
    }

    fn on_messages(&self, client: &Arc<Client>, batch: Batch) {
        self.push(Event::Messages(client.clone(), batch));
    }

    fn on_park(&self) {
        if self.is_owed() {
            self.wake(lock(&self.queue), false);
        }
    }

    fn on_look(&self) -> bool {
        lock(&self.outgoing).look()
    }

    fn on_close(&self, client: &Arc<Client>) {
        self.push(Event::Close(client.clone(), client.charge()));
    }

    fn on_refusal(&self, peer: SocketAddr, reason: &str) {
        self.push_refusal("request of %s refused: %s", peer, reason);
    }

    fn on_tls_failure(&self, peer: SocketAddr, reason: &str) {
        self.push_refusal("TLS with %s failed: %s", peer, reason);
    }

    fn on_closed(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.push(Event::Closed);
    }
}
