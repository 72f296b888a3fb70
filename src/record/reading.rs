//! What is asked of a record, once: what was taken is not given again.

use super::{Message, Missing, Record, State, Taken, What};
use crate::client::Client;
use crate::protocol::frame::split_server_frame;
use crate::protocol::message::Kind;
use std::sync::Arc;

impl Record {
    /// Whether nothing will happen any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Bytes that may be kept.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.lock().bound
    }

    /// Whether it keeps something of this client.
    #[must_use]
    pub fn knows(&self, id: u64) -> bool {
        self.lock().clients.contains_key(&id)
    }

    /// The next message of a client that was not taken yet, whether or not the client is gone. `None` if there is none,
    /// and whether the client is gone.
    ///
    /// # Errors
    /// [`Missing`] if there may have been one.
    pub fn take_message(&self, client: &Client) -> Result<Taken<Message>, Missing> {
        let mut state = self.lock();
        let State {
            log,
            clients,
            is_cut,
            ..
        } = &mut *state;
        let Some(kept) = clients.get_mut(&client.id) else {
            return if *is_cut {
                Err(Missing)
            } else {
                Ok((None, client.ended().is_some()))
            };
        };
        while let Some(&entry) = kept.entries.get(kept.read.0) {
            if let What::Messages(_, frames) = &log[entry].what
                && let Some((first, payload, rest)) = split_server_frame(&frames[kept.read.1..])
            {
                kept.read.1 = frames.len() - rest.len();
                return Ok((
                    Some((Kind::of_frame(first), payload.to_vec())),
                    kept.has_ended,
                ));
            }
            kept.read = (kept.read.0 + 1, 0);
        }
        if *is_cut {
            return Err(Missing);
        }
        Ok((None, kept.has_ended))
    }

    /// The payload of the next pong of a client that was not taken yet, as [`Self::take_message`].
    ///
    /// # Errors
    /// [`Missing`] if there may have been one.
    pub fn take_pong(&self, client: &Client) -> Result<Taken<Box<[u8]>>, Missing> {
        let mut state = self.lock();
        let is_cut = state.is_cut;
        let kept = state.clients.get_mut(&client.id);
        let has_ended = match &kept {
            Some(kept) => kept.has_ended,
            None => client.ended().is_some(),
        };
        match kept.and_then(|kept| kept.pongs.pop_front()) {
            None if is_cut => Err(Missing),
            pong => Ok((pong, has_ended)),
        }
    }

    /// The next client, of those that asked for `path` if there is one, that was not taken yet.
    ///
    /// # Errors
    /// [`Missing`] if there may have been one.
    pub fn take_client(&self, path: Option<&str>) -> Result<Option<Arc<Client>>, Missing> {
        let mut state = self.lock();
        let State {
            clients,
            unaccepted,
            ..
        } = &mut *state;
        let is_it = |id: &u64| {
            let kept = clients.get(id);
            kept.is_some_and(|kept| path.is_none_or(|path| has_path(&kept.client, path)))
        };
        if let Some(at) = unaccepted.iter().position(is_it)
            && let Some(id) = unaccepted.remove(at)
        {
            return Ok(clients.get(&id).map(|kept| kept.client.clone()));
        }
        if state.is_cut {
            return Err(Missing);
        }
        Ok(None)
    }
}

fn has_path(client: &Client, path: &str) -> bool {
    client.head().is_some_and(|head| head.path() == path)
}
