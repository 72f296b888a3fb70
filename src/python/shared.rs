//! The state of one server that all parts of the binding are handed.

use super::calls::Callbacks;
use super::client::PyClient;
use super::link::Link;
use super::lock::lock;
use crate::client::Client;
use crate::server::Server;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};

pub(super) struct Shared {
    pub(super) core: Arc<Server>,
    pub(super) link: Arc<Link>,
    pub(super) callbacks: Callbacks,
    /// The `EchoServer`, which this does not keep alive.
    owner: Py<PyWeakrefReference>,
    /// What the next upgrade requests get, before anybody is asked: an `echoserver.testing.handshakes.Handshakes`.
    pub(super) handshakes: OnceLock<Py<PyAny>>,
    /// The `Client` objects that exist, each until its `on_disconnect` has returned.
    clients: Mutex<HashMap<u64, Py<PyClient>, BuildHasherDefault<ById>>>,
}

/// Spreads the ids of clients, which we count ourselves: nobody can choose those that collide. One is looked up for each
/// batch, and the hasher of the standard library takes 150 instructions for that.
#[derive(Default)]
struct ById(u64);

impl Hasher for ById {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, id: u64) {
        // An odd number, whose upper bits change with each of the lower ones: 2^64 divided by the golden ratio.
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Shared {
    pub(super) fn new(core: Server, link: Arc<Link>, owner: Py<PyWeakrefReference>) -> Arc<Self> {
        if let Some(record) = core.record() {
            // Set once, here.
            let _ = link.record.set(record.clone());
        }
        let core = Arc::new(core);
        // As well.
        let _ = link.core.set(Arc::downgrade(&core));
        Arc::new(Self {
            core,
            link,
            callbacks: Callbacks::new(),
            owner,
            handshakes: OnceLock::new(),
            clients: Mutex::default(),
        })
    }

    /// The one object for a client of which an event is handled; the event of its end lets go of it.
    pub(super) fn client(&self, py: Python<'_>, client: &Arc<Client>) -> PyResult<Py<PyClient>> {
        self.object(py, client).map(|(object, _)| object)
    }

    /// The one object for a client that somebody asks for.
    pub(super) fn listed(&self, py: Python<'_>, client: &Arc<Client>) -> PyResult<Py<PyClient>> {
        let is_awaited = client.is_known() && self.link.drain.is_here();
        client.know();
        // See `Connection::leave`.
        fence(Ordering::SeqCst);
        let (object, is_new) = self.object(py, client)?;
        // Its end is not to be heard of any more, or was: nobody would let go of it. Who made one that was there before
        // hears of its end: it has the application's attributes, and messages may still come to it.
        if is_new && client.ended().is_some() && !is_awaited {
            self.forget(client.id);
        }
        Ok(object)
    }

    /// The same of many.
    pub(super) fn all_listed(
        &self,
        py: Python<'_>,
        clients: &[Arc<Client>],
    ) -> PyResult<Vec<Py<PyClient>>> {
        let objects = clients.iter().map(|client| self.listed(py, client));
        objects.collect()
    }

    /// The one object for a client, and whether it was made now.
    fn object(&self, py: Python<'_>, client: &Arc<Client>) -> PyResult<(Py<PyClient>, bool)> {
        if let Some(object) = lock(&self.clients).get(&client.id) {
            return Ok((object.clone_ref(py), false));
        }
        let owner = self.owner.clone_ref(py);
        let made = Py::new(py, PyClient::new(client.clone(), self.link.clone(), owner))?;
        Ok(match lock(&self.clients).entry(client.id) {
            Entry::Occupied(before) => (before.get().clone_ref(py), false),
            Entry::Vacant(place) => (place.insert(made).clone_ref(py), true),
        })
    }

    /// A client is gone, with its last callback.
    pub(super) fn forget(&self, id: u64) {
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(&id) {
            client.get().end();
        }
        // One that is recorded can be asked for later, and is the same then.
        let record = self.core.record();
        if record.is_some_and(|record| record.knows(id)) {
            return;
        }
        let forgotten = clients.remove(&id);
        drop(clients);
        // After the lock: it may run Python code.
        drop(forgotten);
    }

    /// Those that are gone and cannot be asked for any more.
    pub(super) fn forget_gone(&self) {
        let record = self.core.record();
        let is_known = |id: u64| record.is_some_and(|record| record.knows(id));
        let mut clients = lock(&self.clients);
        // Others have events that are yet to be handled.
        let forgotten: Vec<_> = clients
            .extract_if(|id, client| client.get().is_over() && !is_known(*id))
            .collect();
        drop(clients);
        // After the lock, as above.
        drop(forgotten);
    }

    /// For the collector; for one owner of this.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.callbacks.traverse(visit)?;
        if let Some(handshakes) = self.handshakes.get() {
            visit.call(handshakes)?;
        }
        // Locked only by whoever looks a client up at this moment: then there are references from a running thread.
        if let Ok(clients) = self.clients.try_lock() {
            for client in clients.values() {
                visit.call(client)?;
            }
        }
        Ok(())
    }
}
