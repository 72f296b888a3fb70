//! A server of which something is kept, and what is allocated and charged for that.

use crate::support::{self, Running};
use dhat::HeapStats;
use echoserver::admission::Request;
use echoserver::client::Client;
use echoserver::config::Config;
use echoserver::handler::{Batch, Gate, Handler, Wants};
use echoserver::order::Order;
use echoserver::server::Stats;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// What may be there without a charge: tasks, tables and lists that grow, whatever clients send.
pub(crate) const SLACK: usize = 16 << 10;

/// Keeps what it is given.
#[derive(Debug)]
pub(crate) struct Keeper {
    wants: Wants,
    pub(crate) kept: Mutex<Vec<(Arc<Client>, Batch)>>,
    pub(crate) requests: Mutex<Vec<Arc<Request>>>,
}

impl Keeper {
    fn new(wants: Wants) -> Arc<Self> {
        Arc::new(Self {
            wants,
            // Made before anybody counts.
            kept: Mutex::new(Vec::with_capacity(1000)),
            requests: Mutex::new(Vec::with_capacity(1000)),
        })
    }

    pub(crate) fn forget(&self) {
        self.kept.lock().unwrap().clear();
        self.requests.lock().unwrap().clear();
    }
}

impl Handler for Keeper {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn on_handshake(&self, request: &Arc<Request>) {
        self.requests.lock().unwrap().push(request.clone());
    }

    fn on_open(&self, _client: &Arc<Client>) -> Gate {
        if self.wants.has(Wants::OPEN) {
            Gate::Later
        } else {
            Gate::Open
        }
    }

    fn on_messages(&self, client: &Arc<Client>, batch: Batch) {
        self.kept.lock().unwrap().push((client.clone(), batch));
    }
}

/// Allocated and charged bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes {
    allocated: usize,
    charged: usize,
}

impl Bytes {
    fn now(server: &Running) -> Self {
        Self {
            allocated: HeapStats::get().curr_bytes,
            charged: usize::try_from(server.stats().memory_used).unwrap(),
        }
    }
}

/// A server of which something is kept.
pub(crate) struct Case {
    name: &'static str,
    pub(crate) server: Running,
    pub(crate) keeper: Arc<Keeper>,
    before: Bytes,
}

impl Case {
    pub(crate) fn new(name: &'static str, wants: Wants) -> Self {
        let keeper = Keeper::new(wants);
        let config = Config {
            workers: Some(1),
            ..Config::default()
        };
        let server = Running::with(config, keeper.clone());
        // A worker that has somebody has all that it shares among its clients.
        drop(TcpStream::connect(server.address()).unwrap());
        server.wait_for(|stats| stats.connections_accepted == 1);
        let before = Bytes::now(&server);
        Self {
            name,
            server,
            keeper,
            before,
        }
    }

    /// From now on it counts.
    pub(crate) fn begin(&mut self) {
        self.before = Bytes::now(&self.server);
    }

    pub(crate) fn wait_for(&self, what: impl Fn(&Stats) -> bool) {
        self.server.wait_for(what);
    }

    pub(crate) fn wait_for_charge(&self, bytes: usize) {
        let expected = self.before.charged + bytes;
        self.wait_for(|stats| stats.memory_used >= expected as u64);
    }

    /// Bytes that came since.
    pub(crate) fn allocated(&self) -> usize {
        let allocated = Bytes::now(&self.server).allocated;
        allocated.saturating_sub(self.before.allocated)
    }

    /// What came since is charged; at least so much it has to be, or the case is none.
    pub(crate) fn check(&self, least: usize) {
        let since = || {
            let charged = Bytes::now(&self.server).charged;
            (self.allocated(), charged - self.before.charged)
        };
        // The way to the worker gives its room back a moment after the last message is counted.
        support::eventually(
            || {
                let (allocated, charged) = since();
                allocated >= least
                    && allocated <= 2 * charged + SLACK
                    && charged <= 2 * allocated + SLACK
            },
            || {
                let (allocated, charged) = since();
                format!(
                    "{}: {allocated} bytes allocated, {charged} charged",
                    self.name
                )
            },
        );
    }

    /// When everybody is gone, nothing is left.
    pub(crate) fn end<T>(self, clients: T) {
        drop(clients);
        // Who is not read from is not seen to leave.
        for client in self.server.clients() {
            client.order(Order::Abort);
        }
        self.wait_for(|stats| stats.clients_closed == stats.clients_opened);
        self.keeper.forget();
        self.wait_for(|stats| stats.memory_used == 0);
    }
}
