//! What the Python objects of one server share, and the dispatcher with them. Holds no Python object, so that a worker
//! may hold it.

use super::outgoing::Outgoing;
use crate::admission::Request;
use crate::client::Client;
use crate::handler::{Batch, Gate, Handler, Wants};
use crate::mailbox::Order;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Waits of the main thread are cut into pieces of this length, between which Ctrl-C is looked for.
pub(super) const SIGNAL_CHECK: Duration = Duration::from_millis(50);

/// How often this process is a child of a fork: an atomic load instead of a system call for each look.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Called in the child of each fork that Python knows of.
pub(super) fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Between two wake-ups of the dispatcher by a worker that has more to do.
const WAKE_INTERVAL: Duration = Duration::from_micros(100);

/// Failures of TLS that may wait to be logged; further ones are only counted.
const MAX_TLS_FAILURES: usize = 1024;

/// What the workers tell the dispatcher.
#[derive(Debug)]
pub(super) enum Event {
    /// Not held here: of clients that come and go while a callback waits, nothing may pile up.
    Handshake(Weak<Request>),
    Open(Arc<Client>),
    Messages(Arc<Client>, Batch),
    Close(Arc<Client>),
    /// TLS with this peer failed.
    TlsFailure(SocketAddr, String),
    /// The server has ended; nothing follows.
    Closed,
}

/// Whether somebody runs the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    Never,
    /// The server was started; somebody will.
    Expected,
    Running(ThreadId),
    Done,
}

#[derive(Debug)]
pub(super) struct Link {
    /// Forks of this process when the server was made.
    forks: u32,
    pub(super) max_send_queue: usize,
    wants: AtomicU32,
    debug: AtomicBool,
    pub(super) callback_errors: AtomicU64,
    queue: Mutex<Queue>,
    /// Messages are queued, and the dispatcher sleeps: it is woken when the worker has nothing else to do, or soon.
    owed: AtomicBool,
    filled: Condvar,
    drain: Mutex<Drain>,
    drained: Condvar,
    pub(super) outgoing: Mutex<Outgoing>,
    /// The callback that runs now.
    pub(super) callback: Mutex<Option<&'static str>>,
    /// The workers have ended.
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    events: Vec<Event>,
    /// Failures of TLS among them, and how many more there were.
    tls_failures: (usize, u64),
    waiting: bool,
    /// When the dispatcher was last woken.
    woken: Option<Instant>,
}

impl Link {
    pub(super) fn new(max_send_queue: usize) -> Arc<Self> {
        Arc::new(Self {
            forks: FORKS.load(Ordering::Relaxed),
            max_send_queue,
            wants: AtomicU32::new(Wants::TLS_FAILURE.bits()),
            debug: AtomicBool::new(false),
            callback_errors: AtomicU64::new(0),
            queue: Mutex::default(),
            owed: AtomicBool::new(false),
            filled: Condvar::new(),
            drain: Mutex::new(Drain::Never),
            drained: Condvar::new(),
            outgoing: Mutex::default(),
            callback: Mutex::new(None),
            over: AtomicBool::new(false),
        })
    }

    /// Whether this process was forked from the one that made the server.
    pub(super) fn is_forked(&self) -> bool {
        self.forks != FORKS.load(Ordering::Relaxed)
    }

    /// Whether the workers have ended, so that answers can't go anywhere.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn want(&self, wants: Wants) {
        self.wants.fetch_or(wants.bits(), Ordering::SeqCst);
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
        self.filled.notify_one();
    }

    fn is_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }

    /// Failures of TLS that were not queued since the last call: there was no room for them.
    pub(super) fn take_unlogged(&self) -> u64 {
        mem::take(&mut lock(&self.queue).tls_failures.1)
    }

    /// Swaps what is queued into `events`, which is empty before it; waits for something at most `timeout`.
    pub(super) fn take(&self, events: &mut Vec<Event>, timeout: Option<Duration>) {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut queue = lock(&self.queue);
        while queue.events.is_empty() {
            queue.waiting = true;
            queue =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    None => self
                        .filled
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner),
                    Some(Duration::ZERO) => break,
                    Some(left) => {
                        self.filled
                            .wait_timeout(queue, left)
                            .unwrap_or_else(PoisonError::into_inner)
                            .0
                    }
                };
        }
        mem::swap(&mut queue.events, events);
        queue.tls_failures.0 = 0;
    }

    /// The server is started, so that the dispatcher will be run.
    pub(super) fn expect_drain(&self) {
        *lock(&self.drain) = Drain::Expected;
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

    pub(super) fn end_drain(&self) {
        *lock(&self.drain) = Drain::Done;
        self.drained.notify_all();
    }

    pub(super) fn in_dispatcher(&self) -> bool {
        *lock(&self.drain) == Drain::Running(thread::current().id())
    }

    /// Waits until nobody runs the dispatcher: `false` at the deadline.
    pub(super) fn wait_drained(&self, timeout: Duration) -> bool {
        let drain = lock(&self.drain);
        let running = |drain: &mut Drain| matches!(drain, Drain::Expected | Drain::Running(_));
        let (drain, _) = self
            .drained
            .wait_timeout_while(drain, timeout, running)
            .unwrap_or_else(PoisonError::into_inner);
        !matches!(*drain, Drain::Expected | Drain::Running(_))
    }

    /// Gives a client's connection an order. From a callback it goes with the answers of the batch, behind those
    /// before it; from elsewhere at once.
    pub(super) fn order(&self, client: &Arc<Client>, order: Order) {
        if self.in_dispatcher() {
            client.note(&order);
            lock(&self.outgoing).push(client, order);
        } else {
            client.order(order);
        }
    }
}

impl Handler for Link {
    fn wants(&self) -> Wants {
        // Asked for every read: a worker that never comes to rest pays here what it owes.
        if self.is_owed() {
            self.wake(lock(&self.queue), true);
        }
        let wants = Wants::from_bits(self.wants.load(Ordering::Relaxed));
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
        self.push(Event::Open(client.clone()));
        Gate::Later
    }

    fn on_messages(&self, client: &Arc<Client>, batch: Batch) {
        self.push(Event::Messages(client.clone(), batch));
    }

    fn on_park(&self) {
        if self.is_owed() {
            self.wake(lock(&self.queue), false);
        }
    }

    fn on_close(&self, client: &Arc<Client>) {
        self.push(Event::Close(client.clone()));
    }

    fn on_tls_failure(&self, peer: SocketAddr, reason: &str) {
        let mut queue = lock(&self.queue);
        if queue.tls_failures.0 == MAX_TLS_FAILURES {
            queue.tls_failures.1 += 1;
            return;
        }
        queue.tls_failures.0 += 1;
        let event = Event::TlsFailure(peer, reason.to_owned());
        queue.events.push(event);
        self.wake(queue, false);
    }

    fn on_closed(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.push(Event::Closed);
    }
}

/// Nothing that can panic runs under these locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
