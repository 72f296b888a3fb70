//! What is recorded, as lists, and the end of all of it.

use super::frames::{self, messages};
use super::{Entry, Frames, Kept, Missing, Record, State, What};
use crate::admission::Request;
use crate::client::Client;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;

/// The last messages of all that were recorded.
#[derive(Debug)]
pub struct Latest {
    /// How many were recorded.
    pub count: usize,
    /// The last of them, in rows; the first row may have more than were asked for.
    pub rows: Vec<Frames>,
    /// Whether more may have come.
    pub is_cut: bool,
}

/// What has happened, in lines: a message is one, and so is all else.
#[derive(Debug)]
pub struct Story {
    /// Its beginning.
    pub first: Vec<Entry>,
    /// Lines between the two.
    pub left_out: usize,
    /// Its end.
    pub last: Vec<Entry>,
    /// Whether more may have happened after it.
    pub is_cut: bool,
}

impl Record {
    /// How many messages there are since the beginning, or since it was cleared.
    ///
    /// # Errors
    /// [`Missing`] if those are not all.
    pub fn message_count(&self) -> Result<usize, Missing> {
        self.lock().whole(|state| state.messages)
    }

    /// Those messages in rows, of all clients or of one.
    ///
    /// # Errors
    /// [`Missing`] if those are not all.
    pub fn rows(&self, client: Option<u64>) -> Result<Vec<Frames>, Missing> {
        self.lock().whole(|state| state.rows(client).collect())
    }

    /// The last `most` of them, also with more of them missing.
    #[must_use]
    pub fn latest(&self, client: Option<u64>, most: usize) -> Latest {
        let state = self.lock();
        let count = match client {
            None => state.messages,
            Some(id) => state.clients.get(&id).map_or(0, |kept| kept.messages),
        };
        let mut found = 0;
        let is_wanted = |row: &Frames| {
            let is_wanted = found < most;
            found += messages(row).count();
            is_wanted
        };
        let mut rows: Vec<_> = state.rows(client).rev().take_while(is_wanted).collect();
        rows.reverse();
        Latest {
            count,
            rows,
            is_cut: state.is_cut,
        }
    }

    /// The requests since the beginning, or since it was cleared.
    ///
    /// # Errors
    /// [`Missing`] if those are not all.
    pub fn requests(&self) -> Result<Vec<Arc<Request>>, Missing> {
        let request = |entry: &Entry| match &entry.what {
            What::Request(request) => Some(request.clone()),
            What::Opened(_) | What::Messages(..) | What::Pong(..) | What::Ended(_) => None,
        };
        self.lock()
            .whole(|state| state.log.iter().filter_map(request).collect())
    }

    /// The clients since the beginning or since it was cleared, and those that were connected then, in the order of
    /// their 101s.
    ///
    /// # Errors
    /// [`Missing`] if those are not all.
    pub fn clients(&self) -> Result<Vec<Arc<Client>>, Missing> {
        self.lock().whole(|state| {
            let clients = state.order.iter().filter_map(|id| state.clients.get(id));
            clients.map(|kept| kept.client.clone()).collect()
        })
    }

    /// What has happened since the beginning, or since it was cleared, in `most` lines: half of them from its beginning,
    /// and half from its end.
    #[must_use]
    pub fn story(&self, most: usize) -> Story {
        let state = self.lock();
        let is_whole = state.lines <= most;
        let mut left = if is_whole { most } else { most.div_ceil(2) };
        let mut first = Vec::new();
        for entry in &state.log {
            if left == 0 {
                break;
            }
            first.push(entry.narrowed(&mut left, frames::first));
        }
        let mut left = if is_whole { 0 } else { most / 2 };
        let mut last = Vec::new();
        for entry in state.log.iter().rev() {
            if left == 0 {
                break;
            }
            last.push(entry.narrowed(&mut left, frames::last));
        }
        last.reverse();
        Story {
            first,
            left_out: state.lines.saturating_sub(most),
            last,
            is_cut: state.is_cut,
        }
    }

    /// Forgets messages, pongs, requests, clients that nobody has taken, and all that are gone, which cannot be asked for
    /// any more. Goes on if something was missing, with those that are `connected`.
    pub(crate) fn clear(&self, connected: impl FnOnce() -> Vec<Arc<Client>>) {
        let mut moment = self.moment();
        let state = &mut *moment.state;
        let log = mem::take(&mut state.log);
        let cost = mem::take(&mut state.log_cost);
        state.release(cost);
        (state.messages, state.lines) = (0, 0);
        let (gone, here): (BTreeMap<_, _>, _) = mem::take(&mut state.clients)
            .into_iter()
            .partition(|(_, kept)| kept.has_ended);
        state.clients = here;
        let is_empty =
            log.is_empty() && gone.is_empty() && state.unaccepted.is_empty() && !state.is_cut;
        state.unaccepted.clear();
        for kept in gone.values() {
            state.cost -= kept.client.own_cost();
            state.release(Kept::COST);
        }
        for kept in state.clients.values_mut() {
            kept.entries = Vec::new();
            kept.messages = 0;
            kept.read = (0, 0);
            kept.pongs = VecDeque::new();
        }
        let clients = &state.clients;
        state.order.retain(|id| clients.contains_key(id));
        state.is_cut = false;
        for client in connected() {
            state.know(&client);
        }
        if is_empty {
            // Not even that it was asked for: whoever is told may do so each time.
            moment.goes_on();
        } else {
            drop(moment);
        }
        // After the lock.
        drop((log, gone));
    }
}

impl State {
    /// What `read` finds.
    ///
    /// # Errors
    /// [`Missing`] if that is not all.
    fn whole<T>(&self, read: impl FnOnce(&Self) -> T) -> Result<T, Missing> {
        if self.is_cut {
            return Err(Missing);
        }
        Ok(read(self))
    }

    /// The messages of all clients or of one.
    fn rows(&self, client: Option<u64>) -> impl DoubleEndedIterator<Item = Frames> {
        let (all, own) = match client {
            None => (&self.log[..], &[][..]),
            Some(id) => {
                let kept = self.clients.get(&id);
                (&[][..], kept.map_or(&[][..], |kept| &kept.entries))
            }
        };
        let own = own.iter().filter_map(|&entry| self.log.get(entry));
        all.iter().chain(own).filter_map(|entry| match &entry.what {
            What::Messages(_, row) => Some(row.clone()),
            What::Request(_) | What::Opened(_) | What::Pong(..) | What::Ended(_) => None,
        })
    }
}

impl Entry {
    /// Itself, or what `narrow` leaves of its messages, if these are more than the lines that are left.
    fn narrowed(&self, left: &mut usize, narrow: fn(&[u8], usize) -> &[u8]) -> Self {
        let most = *left;
        match &self.what {
            What::Messages(client, row) => {
                let count = messages(row).count();
                *left = most.saturating_sub(count);
                if count <= most {
                    return self.clone();
                }
                let row = Arc::new(narrow(row, most).to_vec());
                let what = What::Messages(client.clone(), row);
                Self { what, ..*self }
            }
            What::Request(_) | What::Opened(_) | What::Pong(..) | What::Ended(_) => {
                *left -= 1;
                self.clone()
            }
        }
    }
}
