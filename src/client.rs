//! One client as the rest of the program sees it: what its handshake said, how it ended, and a way to its connection
//! from any thread.

use crate::mailbox::Mailbox;
use crate::order::Order;
use crate::protocol::close;
use crate::protocol::extensions::Agreed;
use crate::protocol::handshake::{Head, Upgrade};
use crate::protocol::message::Kind;
use crate::tls::TlsFacts;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A client. Stays readable after its connection has ended.
#[derive(Debug)]
pub struct Client {
    /// Counts from 1 in the order of the upgrades, unique in a server.
    pub id: u64,
    /// The client's address; an IPv4 client of a dual-stack socket is shown as IPv4.
    pub peer: SocketAddr,
    /// The subprotocol that was agreed.
    pub subprotocol: Option<String>,
    /// The compression that was agreed.
    pub deflate: Option<Agreed>,
    /// What its TLS handshake agreed on; `None` without TLS.
    pub tls: Option<Arc<TlsFacts>>,
    /// Where its worker finds the connection.
    pub(crate) seat: usize,
    head: Box<[u8]>,
    mailbox: Arc<Mailbox<Letter>>,
    closing: AtomicBool,
    /// Its end was asked for by us: nobody is asked about its messages any more.
    dismissed: AtomicBool,
    ended: OnceLock<(u16, String)>,
    /// Nanoseconds of the last ping's round trip; `u64::MAX` before there is one.
    rtt: AtomicU64,
    /// What [`cost`] says of the messages that are not on the wire yet.
    queued: AtomicUsize,
    /// Who waits for the queue to be empty: tasks, and threads.
    flushed: (Mutex<Flushers>, Condvar),
}

/// An order on its way to the connection of a client; nobody's business if that is gone.
pub type Letter = (Arc<Client>, Order);

/// Who waits for the send queue to be empty.
#[derive(Debug, Default)]
struct Flushers {
    /// Threads; counted, because a signal to nobody is a system call all the same.
    threads: usize,
    tasks: Vec<Waker>,
}

/// What a queued message costs beside its payload: its frame's header and the two allocations that hold it.
const OVERHEAD: usize = 64;

/// Bytes that a message of `len` counts for in the send queue.
pub(crate) const fn cost(len: usize) -> usize {
    len + OVERHEAD
}

/// Why [`Client::send`] did not send.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError {
    /// The close frame was sent or the connection has ended.
    Closed,
    /// That many bytes wait already.
    Full(usize),
}

impl Client {
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        upgrade: Upgrade,
        tls: Option<Arc<TlsFacts>>,
        seat: usize,
        head: Box<[u8]>,
        mailbox: Arc<Mailbox<Letter>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            peer,
            subprotocol: upgrade.subprotocol,
            deflate: upgrade.deflate,
            tls,
            seat,
            head,
            mailbox,
            closing: AtomicBool::new(false),
            dismissed: AtomicBool::new(false),
            ended: OnceLock::new(),
            rtt: AtomicU64::new(u64::MAX),
            queued: AtomicUsize::new(0),
            flushed: (Mutex::default(), Condvar::new()),
        })
    }

    /// The upgrade request.
    #[must_use]
    pub fn head(&self) -> Option<Head<'_>> {
        Head::parse(&self.head)
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.closing.load(Ordering::Acquire)
    }

    /// Whether [`Order::Close`] or [`Order::Abort`] was given: what it has sent and nobody has seen is of no interest then.
    #[must_use]
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Close code and reason, once the connection has ended: 1005 for a close frame without a code, 1006 for none.
    #[must_use]
    pub fn ended(&self) -> Option<&(u16, String)> {
        self.ended.get()
    }

    /// The round trip of the last ping that was answered.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        Some(self.rtt.load(Ordering::Relaxed))
            .filter(|&nanos| nanos != u64::MAX)
            .map(Duration::from_nanos)
    }

    /// Bytes that wait for the network, each message counted with 64 more than its payload.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    /// The letterbox of its worker, for those who post in batches.
    #[must_use]
    pub const fn mailbox(&self) -> &Arc<Mailbox<Letter>> {
        &self.mailbox
    }

    /// Takes room for a message of `len` bytes in the send queue of at most `limit`; a message goes into an empty
    /// queue whatever its length.
    ///
    /// # Errors
    /// [`SendError`]; nothing is taken then.
    pub fn reserve(&self, len: usize, limit: usize) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        let len = cost(len);
        let fits = |queued: usize| {
            (queued == 0 || queued.saturating_add(len) <= limit).then(|| queued + len)
        };
        match self
            .queued
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
        {
            Ok(_) => Ok(()),
            Err(queued) => Err(SendError::Full(queued)),
        }
    }

    /// Queues a message. Any thread; never blocks.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn send(
        self: &Arc<Self>,
        kind: Kind,
        payload: Vec<u8>,
        limit: usize,
    ) -> Result<(), SendError> {
        self.reserve(payload.len(), limit)?;
        self.order(Order::Send(kind, payload));
        Ok(())
    }

    /// Gives the connection an order; it does not matter if that has ended. Any thread.
    pub fn order(self: &Arc<Self>, order: Order) {
        self.note(&order);
        self.mailbox.post_one((self.clone(), order));
    }

    /// What has to be true as soon as an order is given, and not when the worker gets to it.
    pub fn note(&self, order: &Order) {
        if matches!(order, Order::Close(..) | Order::Abort) {
            self.dismissed.store(true, Ordering::Release);
            self.set_closing();
        }
    }

    /// Waits until the send queue is empty or the client gone: `false` at the deadline. `None` waits for ever.
    #[must_use]
    pub fn wait_flushed(&self, deadline: Option<Instant>) -> bool {
        let (lock, condition) = &self.flushed;
        let mut flushers = lock.lock().unwrap_or_else(PoisonError::into_inner);
        flushers.threads += 1;
        while !self.is_flushed() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            flushers = match left {
                None => condition
                    .wait(flushers)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => {
                    condition
                        .wait_timeout(flushers, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        flushers.threads -= 1;
        self.is_flushed()
    }

    /// Whether nothing waits for the network, or the client is gone.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.queued() == 0 || self.ended().is_some()
    }

    /// Ready when that is so; each call has its waker woken once.
    pub fn poll_flushed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut flushers = self
            .flushed
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.is_flushed() {
            return Poll::Ready(());
        }
        flushers.tasks.push(cx.waker().clone());
        Poll::Pending
    }

    /// Messages of that [`cost`] are on the wire or given up.
    pub(crate) fn release(&self, len: usize) {
        if len > 0 && self.queued.fetch_sub(len, Ordering::AcqRel) == len {
            self.wake_flushers();
        }
    }

    pub(crate) fn set_closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn set_ended(&self, code: u16, reason: String) {
        self.set_closing();
        debug_assert!(code == close::NO_STATUS || code == close::ABNORMAL || close::is_valid(code));
        // A connection ends once.
        let _ = self.ended.set((code, reason));
        self.wake_flushers();
    }

    pub(crate) fn set_rtt(&self, rtt: Duration) {
        self.rtt.store(
            u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX - 1),
            Ordering::Relaxed,
        );
    }

    fn wake_flushers(&self) {
        let (lock, condition) = &self.flushed;
        // The lock orders this after a waiter's look at the queue.
        let mut flushers = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks = std::mem::take(&mut flushers.tasks);
        if flushers.threads > 0 {
            condition.notify_all();
        }
        drop(flushers);
        tasks.into_iter().for_each(Waker::wake);
    }
}
