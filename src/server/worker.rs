//! One thread with its own runtime, one read buffer and many connections. What happens to a connection happens on
//! this thread; others leave an order in its mailbox.

use super::linger::Lingering;
use super::pace::{Pace, Place};
use super::shared::{Command, Shared};
use super::{listener, tls, upgrade};
use crate::client::{Client, Letter};
use crate::handler::{Handler, Wants};
use crate::memory;
use crate::order::Order;
use crate::protocol::deflate;
use crate::server::stats::Counters;
use crate::sockets::Listed;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes of the read buffer that all connections of a worker share; short reads touch only its beginning. With 512 KiB a
/// message of 1 MiB takes two reads (with 256 KiB three), and the second-level cache still holds it.
pub(super) const READ_BUFFER: usize = 512 << 10;

/// A worker's own state; never leaves its thread.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) buffer: RefCell<Vec<u8>>,
    pub(super) pace: Rc<Pace>,
    pub(super) lingering: Rc<Lingering>,
    /// Ciphertext of TLS clients.
    pub(super) tls: RefCell<tls::Scratch>,
    index: usize,
    seats: RefCell<Slab<Rc<Seat>>>,
    phase: Cell<Phase>,
    /// The main task, which waits for the last seat to be empty.
    main: Cell<Option<Waker>>,
}

/// How far a worker is on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// Nobody comes in. Clients are told 1001 when they have the answers that are outstanding, and who only lingers is
    /// dropped.
    Closing,
    /// Half of the time for that is over: nothing that is outstanding is waited for.
    Hurried,
}

/// Where a connection is found by those who have an order for it.
#[derive(Default)]
pub(super) struct Seat {
    /// The client's id; 0 before the upgrade.
    client: Cell<u64>,
    waker: Cell<Option<Waker>>,
    orders: RefCell<Vec<Order>>,
    pub(super) place: Cell<Place>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("client", &self.client.get())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.index)
            .field("phase", &self.phase.get())
            .finish_non_exhaustive()
    }
}

impl Seat {
    /// Called first at each poll, so that an order wakes the right task.
    pub(super) fn register(&self, cx: &Context<'_>) {
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
    }

    pub(super) fn take_orders(&self) -> Vec<Order> {
        self.orders.take()
    }

    pub(super) fn has_orders(&self) -> bool {
        !self.orders.borrow().is_empty()
    }

    /// Whether there is an order to drop the connection; all others are thrown away.
    pub(super) fn is_aborted(&self) -> bool {
        let orders = self.take_orders();
        orders.iter().any(|order| matches!(order, Order::Abort))
    }

    fn give(&self, order: Order) {
        self.orders.borrow_mut().push(order);
        self.wake();
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A taken seat; empty again when dropped.
#[derive(Debug)]
pub(super) struct Seated {
    pub(super) worker: Rc<Worker>,
    pub(super) seat: Rc<Seat>,
    pub(super) index: usize,
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut seats = self.worker.seats.borrow_mut();
        seats.remove(self.index);
        if seats.is_empty() {
            memory::forget_spare();
            deflate::forget_spare();
        }
        drop(seats);
        self.worker.shared.workers[self.worker.index]
            .load
            .fetch_sub(1, Ordering::Relaxed);
        if self.worker.is_stopping()
            && let Some(main) = self.worker.main.take()
        {
            main.wake();
        }
    }
}

impl Worker {
    /// A worker without clients, to be run by [`main`].
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Rc<Self> {
        Rc::new(Self {
            shared,
            buffer: RefCell::new(Vec::with_capacity(READ_BUFFER)),
            pace: Rc::default(),
            lingering: Rc::default(),
            tls: RefCell::default(),
            index,
            seats: RefCell::default(),
            phase: Cell::new(Phase::Serving),
            main: Cell::new(None),
        })
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.workers[self.index].counters
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
    fn enter(&self, phase: Phase) {
        if self.phase.get() >= phase {
            return;
        }
        self.phase.set(phase);
        for (_, seat) in self.seats.borrow().iter() {
            seat.wake();
        }
    }

    /// Takes a seat for a connection.
    pub(super) fn sit(self: &Rc<Self>) -> Seated {
        let seat = Rc::new(Seat::default());
        let index = self.seats.borrow_mut().insert(seat.clone());
        Seated {
            worker: self.clone(),
            seat,
            index,
        }
    }

    /// Adds a client to those that anybody may list, and to those that can be given orders.
    pub(super) fn enlist(&self, client: &Arc<Client>) {
        if let Some(seat) = self.seats.borrow().get(client.seat) {
            seat.client.set(client.id);
        }
        self.counters().clients_opened.add(1);
        let mut roster = self.shared.workers[self.index]
            .roster
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        roster.insert(client.id, client.clone());
    }

    pub(super) fn delist(&self, client: &Client) {
        self.counters().clients_closed.add(1);
        let mut roster = self.shared.workers[self.index]
            .roster
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        roster.remove(&client.id);
    }

    /// TLS with `peer` failed; it is reported once.
    pub(super) fn report_tls(&self, peer: SocketAddr, reason: &str) {
        self.counters().tls_failures.add(1);
        let handler = &self.shared.handler;
        if handler.wants().has(Wants::TLS_FAILURE) {
            handler.on_tls_failure(peer, reason);
        }
    }

    /// Gives a new connection to the worker with the fewest.
    pub(super) fn place(self: &Rc<Self>, stream: Listed<TcpStream>, peer: SocketAddr) {
        let workers = &self.shared.workers;
        let least = (0..workers.len())
            .min_by_key(|&index| workers[index].load.load(Ordering::Relaxed))
            .unwrap_or(self.index);
        workers[least].load.fetch_add(1, Ordering::Relaxed);
        if least == self.index {
            self.serve(stream, peer);
        } else {
            match stream.try_map(TcpStream::into_std) {
                Ok(socket) => workers[least]
                    .commands
                    .post_one(Command::Serve(socket, peer)),
                Err(_) => drop(workers[least].load.fetch_sub(1, Ordering::Relaxed)),
            }
        }
    }

    fn serve(self: &Rc<Self>, stream: Listed<TcpStream>, peer: SocketAddr) {
        let seated = self.sit();
        if self.is_stopping() {
            return;
        }
        // It fails only if the client is gone already, which the first read tells.
        let _ = stream.set_nodelay(true);
        match &self.shared.tls {
            None => spawn_local(upgrade::serve(stream, peer, seated)),
            Some(identity) => spawn_local(tls::serve(stream, peer, seated, identity.config())),
        };
    }

    fn deliver(&self, (client, order): Letter) {
        // Another may have taken the seat since.
        if let Some(seat) = self
            .seats
            .borrow()
            .get(client.seat)
            .filter(|seat| seat.client.get() == client.id)
        {
            seat.give(order);
        }
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Serve(socket, peer) => match socket.try_map(TcpStream::from_std) {
                Ok(stream) => self.serve(stream, peer),
                Err(_) => drop(self.sit()),
            },
            Command::Stop => self.enter(Phase::Closing),
        }
    }
}

/// Builds what a worker needs on its own thread.
pub(super) fn runtime(handler: Arc<dyn Handler>) -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .on_thread_park(move || handler.on_park())
        .build_local(LocalOptions::default())
}

/// Runs a worker until it is told to stop and its clients are gone, or the deadline has come.
pub(super) fn run(
    runtime: LocalRuntime,
    shared: Arc<Shared>,
    index: usize,
    listeners: Vec<Listed<StdListener>>,
) {
    runtime.block_on(main(Worker::new(shared, index), listeners));
    // Aborts what is left.
    drop(runtime);
}

pub(super) async fn main(worker: Rc<Worker>, listeners: Vec<Listed<StdListener>>) {
    let mut accepting: Vec<AbortHandle> = Vec::new();
    // The sockets are non-blocking and the runtime's own: registering them fails only for want of memory, and then
    // there is nobody to tell but the clients that get no answer.
    for listener in listeners
        .into_iter()
        .filter_map(|listener| listener.try_map(TcpListener::from_std).ok())
    {
        accepting.push(spawn_local(listener::accept(listener, worker.clone())).abort_handle());
    }
    // They end with the runtime.
    drop(spawn_local(worker.pace.clone().keep()));
    drop(spawn_local(worker.lingering.clone().keep()));
    let (mut orders, mut commands) = (Vec::new(), Vec::new());
    let mut deadline: Option<(Instant, [Pin<Box<Sleep>>; 2])> = None;
    poll_fn(|cx| {
        let face = &worker.shared.workers[worker.index];
        // An order that was given before a stop is delivered before it takes effect.
        while face.commands.poll_take(cx, &mut commands).is_ready()
            | face.orders.poll_take(cx, &mut orders).is_ready()
        {
            orders.drain(..).for_each(|letter| worker.deliver(letter));
            commands.drain(..).for_each(|command| worker.obey(command));
        }
        if !worker.is_stopping() {
            return Poll::Pending;
        }
        for task in accepting.drain(..) {
            task.abort();
        }
        if worker.seats.borrow().is_empty() {
            return Poll::Ready(());
        }
        worker.main.set(Some(cx.waker().clone()));
        // A second stop may have brought the deadline forward.
        let due = worker.shared.deadline();
        if deadline.as_ref().is_none_or(|(set, _)| *set != due) {
            let now = Instant::now();
            let half = now + due.saturating_duration_since(now) / 2;
            deadline = Some((due, [half, due].map(|at| Box::pin(sleep_until(at)))));
        }
        let Some((_, [half, end])) = &mut deadline else {
            return Poll::Pending;
        };
        if !worker.is_hurried() && half.as_mut().poll(cx).is_ready() {
            worker.enter(Phase::Hurried);
        }
        end.as_mut().poll(cx)
    })
    .await;
}
