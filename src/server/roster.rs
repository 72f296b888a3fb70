//! The clients of a worker, for whoever may list them.

use crate::client::Client;
use std::sync::Arc;

/// The clients, each at the number of its seat: a map would take five times as much of each.
#[derive(Debug, Default)]
pub(super) struct Roster {
    seats: Vec<Option<Arc<Client>>>,
    count: usize,
}

impl Roster {
    pub(super) fn insert(&mut self, client: Arc<Client>) {
        let seat = client.seat as usize;
        if self.seats.len() <= seat {
            self.seats.resize(seat + 1, None);
        }
        self.seats[seat] = Some(client);
        self.count += 1;
    }

    pub(super) fn remove(&mut self, client: &Client) {
        self.seats[client.seat as usize] = None;
        self.count -= 1;
        if self.count == 0 {
            self.seats = Vec::new();
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.seats.iter().flatten()
    }
}
