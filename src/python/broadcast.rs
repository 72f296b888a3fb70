//! One message to all clients: one frame, which they share.

use super::argument::Argument;
use super::catching_up::catch_up;
use super::client::PyClient;
use super::link::Link;
use super::lock::lock;
use super::shared::Shared;
use super::values::sendable;
use crate::client::Client;
use crate::order::SendError;
use pyo3::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

/// Queues a message to every client but those in `exclude`; returns how many have taken it.
pub(super) fn broadcast(
    py: Python<'_>,
    shared: &Shared,
    data: &Bound<'_, PyAny>,
    exclude: Option<&Bound<'_, PyAny>>,
) -> PyResult<usize> {
    let Shared { core, link, .. } = shared;
    let payload = sendable("broadcast", data)?;
    let (kind, bytes) = (payload.kind, payload.bytes()?);
    let excluded = exclude.map_or_else(|| Ok(HashSet::new()), |exclude| numbers(exclude, link))?;
    let Some(frame) = py.detach(|| core.frame(kind, bytes)) else {
        return Ok(0);
    };
    let mut taken = 0;
    // Those whose send queue has no room are left.
    let mut give = |clients: &mut Vec<Arc<Client>>| {
        clients.retain(|client| match client.share(&frame, link.max_send_queue) {
            Ok(order) => {
                link.order(client, order);
                taken += 1;
                false
            }
            Err(error) => matches!(error, SendError::Full(_)),
        });
    };
    let mut clients = py.detach(|| {
        let mut clients = core.clients();
        clients.retain(|client| !excluded.contains(&client.id));
        give(&mut clients);
        clients
    });
    if !clients.is_empty() {
        lock(&link.outgoing).keep_behind(&mut clients);
        if !clients.is_empty() && catch_up(py, link)? {
            py.detach(|| give(&mut clients));
        }
    }
    Ok(taken)
}

/// The numbers of clients that are left out.
fn numbers(exclude: &Bound<'_, PyAny>, link: &Arc<Link>) -> PyResult<HashSet<u64>> {
    let wrong = |shown| Argument::of("exclude", shown).wrong_type("clients to leave out");
    let mut found = HashSet::new();
    let clients = exclude.try_iter();
    for client in clients.map_err(|_error| wrong(exclude.clone()))? {
        let client = client?;
        let client = client
            .cast::<PyClient>()
            .map_err(|_error| wrong(client.clone()))?
            .get();
        // Another server's has a number that may be one of ours.
        if client.is_of(link) {
            found.insert(client.client.id);
        }
    }
    Ok(found)
}
