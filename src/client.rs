//! One client as the rest of the program sees it: what its handshake said, how it ended, and a way to its connection
//! from any thread.

mod charge;
mod ends;
pub mod held;
#[cfg(test)]
mod tests;
pub mod waiting;

pub(crate) use self::ends::{Addresses, Ends};

use self::charge::Charge;

use crate::endpoint::{Endpoint, Peer};
use crate::mailbox::Mailbox;
use crate::order::{Message, Order, Payload, Ping, Raw, SendError, Share};
use crate::protocol::account::Account;
use crate::protocol::broadcast::SharedFrame;
use crate::protocol::close;
use crate::protocol::extensions::Agreed;
use crate::protocol::frame::MAX_CONTROL;
use crate::protocol::handshake::Upgrade;
use crate::protocol::head::Head;
use crate::protocol::message::Kind;
use crate::queue::{Room, SendQueue, Until};
use crate::stamp::Stamp;
use crate::tls::TlsFacts;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A client. Stays readable after its connection has ended.
///
/// ```
/// use echoserver::config::Config;
/// use echoserver::handler::Echo;
/// use echoserver::order::{Close, Order};
/// use echoserver::protocol::message::Kind;
/// use echoserver::{server::Server, tungstenite};
/// use std::sync::Arc;
///
/// let config = Config { host: vec!["127.0.0.1".into()], port: 0, ..Config::default() };
/// let server = Server::bind(config, Arc::new(Echo))?;
/// server.start()?;
/// let (mut ours, _) = tungstenite::connect(format!("ws://{}/room?name=Ann", server.address()))?;
///
/// let clients = server.clients();
/// let client = &clients[0];
/// assert_eq!(client.head().map(|head| head.query()), Some("name=Ann"));
/// // With at most 1000 bytes that wait for the network.
/// client.send(Kind::Text, "unasked", 1000).expect("it is open");
/// assert_eq!(ours.read()?, "unasked".into());
/// client.order(Order::Close(Close::new(4000, "enough")?));
/// assert!(!client.is_open() && client.is_dismissed());
/// assert!(ours.read()?.is_close());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    /// Counts from 1 in the order of the upgrades, unique in a server.
    pub id: u64,
    /// The subprotocol that was agreed.
    pub subprotocol: Option<Box<str>>,
    /// The compression that was agreed.
    pub deflate: Option<Agreed>,
    /// What its TLS handshake agreed on; `None` without TLS.
    pub tls: Option<Arc<TlsFacts>>,
    /// Where its worker finds the connection.
    pub(crate) seat: u32,
    /// When it got its 101, by its worker.
    pub(crate) opened: Stamp,
    addresses: Addresses,
    head: Box<[u8]>,
    mailbox: Arc<Mailbox<Letter>>,
    charge: Charge,
    known: AtomicBool,
    closing: AtomicBool,
    /// Its end was asked for by us: nobody is asked about its messages any more.
    dismissed: AtomicBool,
    /// A fault holds it up: it can't be expected to answer in time.
    held: AtomicBool,
    ended: OnceLock<Box<(u16, String)>>,
    /// Nanoseconds of the last ping's round trip; `u64::MAX` before there is one.
    rtt: AtomicU64,
    /// Made when something is sent to it, or its end is waited for: most have nothing but echoes.
    queue: OnceLock<Arc<SendQueue>>,
}

/// An order on its way to the connection of a client; nobody's business if that is gone.
pub type Letter = (Arc<Client>, Order);

impl Client {
    pub(crate) fn new(
        id: u64,
        addresses: Addresses,
        upgrade: Upgrade,
        tls: Option<Arc<TlsFacts>>,
        head: Box<[u8]>,
        (seat, opened, mailbox): (u32, Stamp, Arc<Mailbox<Letter>>),
        charge: Account,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            subprotocol: upgrade.subprotocol.map(String::into_boxed_str),
            deflate: upgrade.deflate,
            tls,
            seat,
            opened,
            addresses,
            head,
            mailbox,
            charge: Charge::new(charge),
            known: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            dismissed: AtomicBool::new(false),
            held: AtomicBool::new(false),
            ended: OnceLock::new(),
            rtt: AtomicU64::new(u64::MAX),
            queue: OnceLock::new(),
        })
    }

    /// The client's address.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.addresses.ends().peer
    }

    /// The balancer that has connected for it and has said so by the PROXY protocol (`Config::proxy_from`).
    #[must_use]
    pub fn proxied_by(&self) -> Option<Peer> {
        self.addresses.proxied_by()
    }

    /// Where it was accepted; IPv4 is shown as such also on a dual-stack socket.
    #[must_use]
    pub fn local(&self) -> Endpoint {
        self.addresses.ends().local
    }

    /// The upgrade request.
    #[must_use]
    pub fn head(&self) -> Option<Head<'_>> {
        Head::parse(&self.head)
    }

    /// Whether messages can be sent. Who finds that they can't, and then no [`Self::ended`], sees it closing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.closing.load(Ordering::Acquire) && self.ended.get().is_none()
    }

    /// Whether [`Order::Close`], [`Order::Abort`] or [`Order::Reset`] was given: what it has sent and nobody has seen is
    /// of no interest then.
    #[must_use]
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Whether a fault holds it up, so that nothing can be expected of it in time.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    pub(crate) fn set_held(&self, is_held: bool) {
        self.held.store(is_held, Ordering::Release);
    }

    /// Its connection, which has ended, keeps that no more. To be called once.
    pub(crate) fn end_charge(&self) {
        self.charge.let_go();
    }

    /// Somebody keeps something of this client, and is to be told of its end. Whoever says so in another thread than the
    /// client's looks for the end after that.
    pub fn know(&self) {
        if !self.is_known() {
            self.known.store(true, Ordering::Release);
        }
    }

    /// Whether somebody has.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// Bytes that a client counts for itself, whoever keeps it.
    pub(crate) const fn cost(head: usize) -> usize {
        size_of::<Self>() + head
    }

    /// Bytes that this one counts for itself.
    pub(crate) const fn own_cost(&self) -> usize {
        Self::cost(self.head.len())
    }

    /// Close code and reason, once the connection has ended: 1005 for a close frame without a code, 1006 for none.
    #[must_use]
    pub fn ended(&self) -> Option<&(u16, String)> {
        self.ended.get().map(|ended| &**ended)
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
        self.queue.get().map_or(0, |queue| queue.len())
    }

    /// The most bytes that ever waited for the network, counted in the same way.
    #[must_use]
    pub fn most_queued(&self) -> u64 {
        self.queue.get().map_or(0, |queue| queue.highest())
    }

    /// The letterbox of its worker, for those who post in batches.
    #[must_use]
    pub const fn mailbox(&self) -> &Arc<Mailbox<Letter>> {
        &self.mailbox
    }

    /// An order to send a message, for which it takes room in the send queue of at most `limit` bytes; a message goes
    /// into an empty queue whatever its length. The order is for this client's connection only.
    ///
    /// # Errors
    /// [`SendError`]; no room is taken then, and nothing is copied.
    pub fn message(
        &self,
        kind: Kind,
        payload: impl Payload,
        limit: usize,
    ) -> Result<Order, SendError> {
        let room = self.reserve(payload.as_ref().len(), limit)?;
        let payload = payload.into();
        Ok(Order::Send(Message {
            kind,
            payload,
            room,
        }))
    }

    /// An order to send a message that other clients get as well, as [`Self::message`].
    ///
    /// # Errors
    /// As [`Self::message`].
    pub fn share(&self, frame: &Arc<SharedFrame>, limit: usize) -> Result<Order, SendError> {
        let room = self.reserve(frame.payload().len(), limit)?;
        let frame = frame.clone();
        Ok(Order::Share(Share { frame, room }))
    }

    /// An order to send a ping, as [`Self::message`].
    ///
    /// # Errors
    /// As [`Self::message`], and [`SendError::PingTooLong`].
    pub fn ping(&self, payload: impl Payload, limit: usize) -> Result<Order, SendError> {
        let len = payload.as_ref().len();
        if len > MAX_CONTROL {
            return Err(SendError::PingTooLong(len));
        }
        let room = self.reserve(len, limit)?;
        let payload = payload.into();
        Ok(Order::Ping(Ping { payload, room }))
    }

    /// An order to send bytes as they are, as [`Self::message`]: what they do to the conversation is the caller's
    /// business.
    ///
    /// # Errors
    /// As [`Self::message`].
    pub fn raw(&self, bytes: impl Payload, limit: usize) -> Result<Order, SendError> {
        let room = self.reserve(bytes.as_ref().len(), limit)?;
        let bytes = bytes.into();
        Ok(Order::Raw(Raw { bytes, room }))
    }

    fn reserve(&self, len: usize, limit: usize) -> Result<Room, SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        let queue = self.queue.get_or_init(Arc::default);
        queue.take(len, limit).map_err(SendError::Full)
    }

    /// Queues a message. Any thread; never blocks.
    ///
    /// # Errors
    /// As [`Self::message`].
    pub fn send(
        self: &Arc<Self>,
        kind: Kind,
        payload: impl Payload,
        limit: usize,
    ) -> Result<(), SendError> {
        let order = self.message(kind, payload, limit)?;
        self.order(order);
        Ok(())
    }

    /// Gives the connection an order; it does not matter if that has ended. Any thread.
    pub fn order(self: &Arc<Self>, order: Order) {
        self.note(&order);
        self.mailbox.post_one((self.clone(), order));
    }

    /// What has to be true as soon as an order is given, and not when the worker gets to it.
    pub fn note(&self, order: &Order) {
        if matches!(order, Order::Close(..) | Order::Abort | Order::Reset) {
            self.dismissed.store(true, Ordering::Release);
            self.set_closing();
        }
    }

    /// Messages of that cost are on the wire or given up.
    pub(crate) fn release(&self, cost: usize) {
        if cost > 0
            && let Some(queue) = self.queue.get()
        {
            queue.release(cost);
        }
    }

    /// The send queue, whose waiters are told; `None` if there is nothing to wait for.
    fn waited_for(&self, until: Until) -> Option<&Arc<SendQueue>> {
        let queue = match until {
            Until::Released(_) => self.queue.get()?,
            Until::Ended => self.queue.get_or_init(Arc::default),
        };
        // Whoever ends the client sets that and looks for a queue then; one of the two sees the other.
        fence(Ordering::SeqCst);
        self.ended.get().is_none().then_some(queue)
    }

    pub(crate) fn set_closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// How it has ended; [`Self::tell_ended`] has to follow.
    pub(crate) fn set_ended(&self, code: u16, reason: String) {
        debug_assert!(code == close::NO_STATUS || code == close::ABNORMAL || close::is_valid(code));
        // A connection ends once.
        let _ = self.ended.set(Box::new((code, reason)));
        // After that: who finds it neither open nor ended has seen that it was told to close, or has begun to.
        self.set_closing();
    }

    /// Wakes those who wait for its end.
    pub(crate) fn tell_ended(&self) {
        fence(Ordering::SeqCst);
        if let Some(queue) = self.queue.get() {
            queue.end();
        }
    }

    pub(crate) fn set_rtt(&self, rtt: Duration) {
        self.rtt.store(
            u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX - 1),
            Ordering::Relaxed,
        );
    }
}
