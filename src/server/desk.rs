//! A worker's own state: its seats, its buffers, and how far it is on its way to the end. Never leaves its thread.

use super::clock::Clock;
use super::label::Refused;
use super::linger::timer::Lingering;
use super::look::Look;
use super::pace::Pace;
use super::seat::{Orders, Queueing, Seat};
use super::shared::{Face, Shared, lock};
use super::stages::Phase;
use super::stats::Counters;
use super::summaries::Summaries;
use super::tls::scratch::Scratch;
use crate::client::{Client, Letter};
use crate::endpoint::Peer;
use crate::handler::Wants;
use crate::order::Order;
use crate::protocol::account;
use crate::protocol::deflate;
use crate::protocol::http::Refusal;
use crate::stamp::Stamp;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Bytes of the read buffer that all connections of a worker share; short reads touch only its beginning. With 512 KiB a
/// message of 1 MiB takes two reads (with 256 KiB three), and the second-level cache still holds it.
pub(super) const READ_BUFFER: usize = 512 << 10;

/// Rooms that are kept, and how many orders one of them has room for at most.
const ROOMS: usize = 64;
const ROOM: usize = 4;

/// What the connections of a worker share.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) buffer: RefCell<Vec<u8>>,
    pub(super) pace: Rc<Pace>,
    pub(super) look: Rc<Look>,
    pub(super) lingering: Rc<Lingering>,
    pub(super) summaries: Summaries,
    /// Room for the orders of clients that have none at the moment, so that a turn with an order for each of many does
    /// not go to the allocator for each.
    #[expect(clippy::vec_box, reason = "so they come, and so they go to others")]
    room: RefCell<Vec<Box<Orders>>>,
    /// Ciphertext of TLS clients.
    pub(super) tls: RefCell<Scratch>,
    index: usize,
    /// Where the stamps of its clients begin.
    began: Instant,
    seats: RefCell<Slab<Rc<Seat>>>,
    phase: Cell<Phase>,
    /// Everybody is told of the stop, and not only those whose turn it was.
    all_told: Cell<bool>,
    /// The main task, which waits for the last seat to be empty.
    main: Cell<Option<Waker>>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("index", &self.index)
            .field("phase", &self.phase.get())
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// A worker without clients, to be run by `worker::main`.
    pub(super) fn new(shared: Arc<Shared>, index: usize, clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            shared,
            began: clock.now().into_std(),
            clock,
            buffer: RefCell::new(Vec::with_capacity(READ_BUFFER)),
            pace: Rc::default(),
            look: Rc::default(),
            lingering: Rc::default(),
            summaries: Summaries::default(),
            room: RefCell::default(),
            tls: RefCell::default(),
            index,
            seats: RefCell::default(),
            phase: Cell::new(Phase::Serving),
            all_told: Cell::new(false),
            main: Cell::new(None),
        })
    }

    /// The worker as others know it.
    pub(super) fn face(&self) -> &Face {
        &self.shared.workers[self.index]
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.face().counters
    }

    pub(super) const fn index(&self) -> usize {
        self.index
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.phase() >= Phase::Closing
    }

    /// Whether answers that are still outstanding are not waited for any more.
    pub(super) fn is_hurried(&self) -> bool {
        self.phase() >= Phase::Hurried
    }

    /// Enters a phase, unless it is in it or beyond.
    pub(super) fn enter(&self, phase: Phase) {
        if self.phase.get() >= phase {
            return;
        }
        self.phase.set(phase);
        if phase < Phase::Closing {
            return;
        }
        let moment = self.shared.moment();
        self.face().lets_in.store(false, Ordering::Release);
        drop(moment);
        for (_, seat) in self.seats.borrow().iter() {
            seat.wake();
        }
    }

    /// This moment, for [`Self::moment`].
    pub(super) fn stamp(&self) -> Stamp {
        Stamp::new(self.began, self.clock.now().into_std())
    }

    /// When that was.
    pub(super) fn moment(&self, stamp: Stamp) -> Instant {
        stamp.moment(self.began)
    }

    /// It is the turn of the client at that seat to be told of the stop; nobody's, if it has left.
    pub(super) fn tell(&self, seat: u32) {
        if let Some(seat) = self.seats.borrow().get(seat as usize) {
            seat.is_told.set(true);
            seat.wake();
        }
    }

    /// Everybody is to be told of the stop.
    pub(super) fn tell_all(&self) {
        if self.all_told.replace(true) {
            return;
        }
        for (_, seat) in self.seats.borrow().iter() {
            seat.wake();
        }
    }

    /// Whether the client there is to be told of the stop, once the worker closes.
    pub(super) fn is_told(&self, seat: &Seat) -> bool {
        self.all_told.get() || seat.is_told.get()
    }

    /// Resets all connections. Each drops `done` when it is closed.
    pub(super) fn reset(&self, done: &Sender<Infallible>) {
        for (_, seat) in self.seats.borrow().iter() {
            seat.reset(done.clone());
        }
    }

    /// Tells the connections of all clients that other faults are set. Each drops `done` when it knows them.
    pub(super) fn tell_faults(&self, done: &Sender<Infallible>) {
        for (_, seat) in self.seats.borrow().iter() {
            // Who is no client yet looks at them at the 101.
            if seat.client.get() != 0 {
                seat.give(Order::Faults(Some(done.clone())));
            }
        }
    }

    /// Has the connections that were ordered something drop `done` when they have done it.
    pub(super) fn tell_obeyed(&self, done: &Sender<Infallible>) {
        for (_, seat) in self.seats.borrow().iter() {
            if seat.has_orders() {
                seat.give_later(Order::Tell(done.clone()));
            }
        }
    }

    /// Takes a seat for a connection.
    pub(super) fn sit(self: &Rc<Self>) -> Seated {
        let mut seats = self.seats.borrow_mut();
        let entry = seats.vacant_entry();
        let seat = Rc::new(Seat::new(entry.key()));
        entry.insert(seat.clone());
        Seated {
            desk: self.clone(),
            seat,
        }
    }

    /// Whether a connection waits for its turn at what takes a while.
    pub(super) fn has_queue(&self) -> bool {
        let seats = self.seats.borrow();
        let mut states = seats.iter().map(|(_, seat)| seat.queueing.get());
        states.any(|state| state != Queueing::No)
    }

    /// Adds a client to those that anybody may list, and to those that can be given orders.
    pub(super) fn enlist(&self, client: &Arc<Client>) {
        if let Some(seat) = self.seats.borrow().get(client.seat as usize) {
            seat.client.set(client.id);
        }
        self.counters().clients_opened.add(1);
        lock(&self.face().roster).insert(client.clone());
    }

    pub(super) fn delist(&self, client: &Client) {
        self.counters().clients_closed.add(1);
        lock(&self.face().roster).remove(client);
    }

    /// Counts what is no client's.
    pub(super) fn count(&self, count: impl FnOnce(&Counters)) {
        let _moment = self.shared.moment();
        count(self.counters());
    }

    /// A request of `peer` is refused.
    pub(super) fn report_refusal(&self, peer: Peer, reason: &str) {
        let handler = &self.shared.handler;
        if handler.wants().has(Wants::REFUSAL) {
            handler.on_refusal(peer, reason);
        }
    }

    /// A plain request of `peer` is answered.
    pub(super) fn report_plain(&self, peer: Peer, answer: &Refusal) {
        let handler = &self.shared.handler;
        if handler.wants().has(Wants::PLAIN) {
            handler.on_plain(peer, &format!("{}, {}", answer.status, answer.reason));
        }
    }

    /// `peer` may say by the PROXY protocol who it is, and has not done so as that has it.
    pub(super) fn report_proxy(&self, peer: Peer, reason: &str) {
        self.count(|counters| {
            counters.handshakes_refused.add(1);
            counters.refused[Refused::Proxy as usize].add(1);
        });
        let handler = &self.shared.handler;
        if handler.wants().has(Wants::REFUSAL) {
            handler.on_proxy_failure(peer, reason);
        }
    }

    /// Connections wait that can't be accepted.
    pub(super) fn report_accept(&self, error: &io::Error) {
        let handler = &self.shared.handler;
        if handler.wants().has(Wants::REFUSAL) {
            handler.on_accept_failure(&error.to_string());
        }
    }

    /// TLS with `peer` failed, after its handshake if that `was_open`; it is reported once.
    pub(super) fn report_tls(&self, peer: Peer, reason: &str, was_open: bool) {
        self.count(|counters| counters.tls_failures.add(1));
        let handler = &self.shared.handler;
        if handler.wants().has(Wants::REFUSAL) {
            handler.on_tls_failure(peer, reason, was_open);
        }
    }

    /// Ready when nobody sits at the desk; the task is woken for that once the server stops.
    pub(super) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        if self.seats.borrow().is_empty() {
            return Poll::Ready(());
        }
        self.main.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Hands an order to the connection of its client.
    pub(super) fn deliver(&self, (client, order): Letter) {
        if let Order::Replies(replies) = &order
            && replies.are_followed
        {
            self.look.soon();
        }
        // Another may have taken the seat since.
        if let Some(seat) = self
            .seats
            .borrow()
            .get(client.seat as usize)
            .filter(|seat| seat.client.get() == client.id)
        {
            seat.make_room(&mut self.room.borrow_mut());
            seat.give(order);
        }
    }

    /// Keeps the room of orders that are done, for others.
    pub(super) fn keep_room(&self, orders: Box<Orders>) {
        let mut room = self.room.borrow_mut();
        if room.len() < ROOMS && orders.list.capacity() <= ROOM {
            room.push(orders);
        }
    }
}

/// A taken seat; empty again when dropped.
#[derive(Debug)]
pub(super) struct Seated {
    pub(super) desk: Rc<Desk>,
    pub(super) seat: Rc<Seat>,
}

impl Seated {
    /// Whether who is not a client yet is to end: with the server, or by a reset.
    pub(super) fn has_to_end(&self) -> bool {
        self.desk.is_stopping() || self.seat.is_reset()
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut seats = self.desk.seats.borrow_mut();
        seats.remove(self.seat.index as usize);
        if seats.is_empty() {
            account::forget_spare();
            deflate::forget_spare();
        }
        drop(seats);
        // What the connection had is given back.
        drop(self.desk.shared.moment());
        self.desk.face().load.fetch_sub(1, Ordering::Relaxed);
        if self.desk.is_stopping()
            && let Some(main) = self.desk.main.take()
        {
            main.wake();
        }
    }
}
