//! What can be seen of a server, by any thread.

use super::shared::lock;
use super::tls::identity::Identity;
use super::{Server, Stats};
use crate::client::Client;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::record::Record;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Server {
    /// Whether the deadline of a stop has passed.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        lock(&self.shared.stages).is_some_and(|stages| stages.deadline() <= Instant::now())
    }

    /// How long that deadline is off; `None` before a stop.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let stages = *lock(&self.shared.stages);
        stages.map(|stages| stages.deadline().saturating_duration_since(Instant::now()))
    }

    /// Where the server listens; of several addresses the first.
    #[must_use]
    pub fn address(&self) -> &Endpoint {
        &self.shared.address
    }

    /// From `start` to `stop`.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.shared.serving.load(Ordering::Acquire)
    }

    /// From `start` until nobody comes in any more at any worker, for a stop: new clients may come.
    #[must_use]
    pub fn lets_in(&self) -> bool {
        let mut workers = self.shared.workers.iter();
        workers.any(|worker| worker.lets_in.load(Ordering::Acquire))
    }

    /// What clients did, if that is recorded.
    #[must_use]
    pub fn record(&self) -> Option<&Arc<Record>> {
        self.shared.record.as_ref()
    }

    /// Forgets what clients did, as far as nobody needs it any more: [`Record::clients`] says who is left.
    pub fn clear_record(&self) {
        if let Some(record) = self.record() {
            record.clear(|| self.shared.clients());
        }
    }

    /// The options.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The certificate, in PEM, of the authority that was made for this server, if one was.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.shared.tls.as_ref().and_then(Identity::ca_pem)
    }

    /// The certificates, in DER, that a client of this server has to trust; `None` without TLS.
    #[must_use]
    pub fn tls_anchors(&self) -> Option<Vec<u8>> {
        self.shared.tls.as_ref().map(Identity::anchors)
    }

    /// Whoever has seen a part of what has happened sees all of it.
    fn settle(&self) {
        if let Some(record) = self.record() {
            record.settle();
        }
    }

    /// The clients at this moment, in the order of their coming.
    #[must_use]
    pub fn clients(&self) -> Vec<Arc<Client>> {
        self.settle();
        self.shared.clients()
    }

    /// How many clients there are at this moment.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.settle();
        let workers = self.shared.workers.iter();
        workers.map(|worker| lock(&worker.roster).len()).sum()
    }

    /// The counters, added up.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.settle();
        self.shared.stats()
    }
}
