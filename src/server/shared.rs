//! What all threads of a server share, and what others know of each worker.

use super::roster::Roster;
use super::stages::{Phase, Row, Stages};
use super::stats::{Counters, Stats};
use super::tls::identity::Identity;
use crate::client::{Client, Ends, Letter};
use crate::config::Config;
use crate::config::network::Network;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::faults::registry::Faults;
use crate::handler::{Handler, Wants};
use crate::mailbox::Mailbox;
use crate::protocol::account::Memory;
use crate::protocol::handshake::Policy;
use crate::protocol::sending::Settings;
use crate::protocol::terms::Terms;
use crate::record::Record;
use crate::record::moment::Moment;
use crate::sockets::Listed;
use std::convert::Infallible;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What is to become of those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They wait in the system's backlog.
    Pause,
    /// They come in again, after that.
    Resume,
    /// They are refused; those in the backlog come in. The number is this outage's.
    Down(u64),
    /// They come in again, after the outage of that number; another goes on.
    Up(u64),
    /// They are refused from now on, those in the backlog too. Clients are served as before.
    Close,
}

/// A change, and who waits for it.
pub(super) type Asked = (Change, Sender<Result<(), Error>>);

/// What a worker is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Serve this connection.
    Serve(Listed<TcpStream>, Ends),
    /// Go through the stages of a stop, and end when all clients are gone.
    Stop,
    /// Listen, or don't.
    Change(Asked),
    /// Reset every connection. Each drops the sender when it is closed.
    Reset(Sender<Infallible>),
    /// Other faults are set. Each client's connection drops the sender when it knows them.
    Faults(Sender<Infallible>),
    /// Each connection that was ordered something drops the sender when it has done it.
    Obey(Sender<Infallible>),
}

/// What all threads of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    /// Where the server listens; of several addresses the first.
    pub(super) address: Endpoint,
    pub(super) policy: Policy,
    /// `proxy_from`.
    pub(super) proxies: Vec<Network>,
    pub(super) tls: Option<Identity>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) memory: Arc<Memory>,
    /// What clients may send with whom nothing else was agreed.
    pub(super) terms: Arc<Terms>,
    /// With the option of that name, and what workers want for it beside the handler.
    pub(super) record: Option<Arc<Record>>,
    pub(super) record_wants: Wants,
    pub(super) faults: Faults,
    /// What the sending halves of all connections have in common.
    pub(super) sending: Arc<Settings>,
    pub(super) workers: Box<[Face]>,
    /// Clients at the moment.
    pub(super) open: AtomicUsize,
    pub(super) next_id: AtomicU64,
    /// The times of a stop; `None` before one.
    pub(super) stages: Mutex<Option<Stages>>,
    /// The clients of each worker that there were when the first of them began to close. Who came in at that moment at
    /// another is told with the last.
    pub(super) rows: OnceLock<Box<[Row]>>,
    /// Whether the server has ended, and the signal that it has.
    pub(super) over: (Mutex<bool>, Condvar),
    pub(super) serving: AtomicBool,
    /// Whether who connects is accepted at this moment.
    pub(super) accepting: AtomicBool,
}

/// What others know of a worker.
#[derive(Debug, Default)]
pub(super) struct Face {
    /// For its clients.
    pub(super) orders: Arc<Mailbox<Letter>>,
    pub(super) commands: Mailbox<Command>,
    pub(super) counters: Counters,
    pub(super) roster: Mutex<Roster>,
    /// Connections, with those on their way to it.
    pub(super) load: AtomicUsize,
    /// From the start until nobody comes in any more, for a stop: connections may become clients.
    pub(super) lets_in: AtomicBool,
}

impl Face {
    /// Nobody takes anything for this worker any more: what has come, such as a connection, is dropped here, and what
    /// comes is dropped where it comes from. So nobody waits for an answer.
    pub(super) fn close(&self) {
        self.lets_in.store(false, Ordering::Release);
        self.orders.close();
        self.commands.close();
    }
}

impl Shared {
    /// What happens until this is dropped happens at one moment, for those who read what is recorded.
    pub(super) fn moment(&self) -> Option<Moment<'_>> {
        self.record.as_ref().map(|record| record.moment())
    }

    /// Nothing runs any more, and nothing will.
    pub(super) fn end(&self) {
        if let Some(record) = &self.record {
            record.end();
        }
        *lock(&self.over.0) = true;
        self.over.1.notify_all();
    }

    /// The clients at this moment, in the order of their coming.
    pub(super) fn clients(&self) -> Vec<Arc<Client>> {
        let rosters = self.workers.iter().map(|worker| lock(&worker.roster));
        let mut clients: Vec<_> = rosters
            .flat_map(|roster| roster.iter().cloned().collect::<Vec<_>>())
            .collect();
        clients.sort_by_key(|client| client.id);
        clients
    }

    /// The counters of all workers, added up.
    pub(super) fn stats(&self) -> Stats {
        let mut stats = Stats {
            memory_used: self.memory.used() as u64,
            ..Stats::default()
        };
        for worker in &self.workers {
            stats.add(&worker.counters);
        }
        stats
    }

    /// What a worker wants to see of messages.
    #[inline]
    pub(super) fn wants(&self) -> Wants {
        self.handler.wants() | self.record_wants
    }

    /// The times of the stop, for those who have heard of it.
    pub(super) fn stages(&self) -> Stages {
        // There is one, or it ends at once.
        lock(&self.stages)
            .unwrap_or_else(|| Stages::new(Instant::now(), Duration::ZERO, &self.config))
    }

    /// The clients of a worker that begins to close, among those of all others.
    pub(super) fn row(&self, index: usize) -> &Row {
        let rows = self.rows.get_or_init(|| {
            let mut clients = Vec::with_capacity(self.open.load(Ordering::Relaxed));
            for (worker, face) in self.workers.iter().enumerate() {
                let roster = lock(&face.roster);
                clients.extend(roster.iter().map(|one| (one.id, worker, one.seat)));
            }
            Row::of_all(clients, self.workers.len())
        });
        &rows[index]
    }

    /// How far the stop is that somebody has heard of, in the time of the workers: a test may have its own.
    pub(super) fn phase(&self) -> Phase {
        let now = tokio::time::Instant::now();
        self.stages().phase(now.into_std())
    }
}

/// What the workers of a server that was started hold together. The last one to end, also by a panic, ends the server.
#[derive(Debug)]
pub(super) struct Life(pub(super) Arc<Shared>);

impl Drop for Life {
    fn drop(&mut self) {
        // Also if the handler panics.
        let _over = Over(&self.0);
        self.0.serving.store(false, Ordering::Release);
        self.0.handler.on_closed();
    }
}

struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Nothing that can panic runs under these locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
