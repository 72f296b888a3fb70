//! One message to all clients: one frame, which they share.

use super::argument::Argument;
use super::client::PyClient;
use super::link::Link;
use super::shared::Shared;
use super::values::sendable;
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
    Ok(py.detach(|| {
        let Some(frame) = core.frame(kind, bytes) else {
            return 0;
        };
        let mut taken = 0;
        for client in core.clients() {
            if !excluded.contains(&client.id)
                && let Ok(order) = client.share(&frame, link.max_send_queue)
            {
                link.order(&client, order);
                taken += 1;
            }
        }
        taken
    }))
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
