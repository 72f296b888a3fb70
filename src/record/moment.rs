//! What happens, as it is written down.
//!
//! All that changes with one event changes at one [`Moment`]: what is recorded, what is counted, who is connected, how a
//! client has ended. Whoever has seen a part of that sees all of it, since each look waits for the moment's end
//! ([`Record::settle`]).

use super::news::News;
use super::{Record, State, What};
use crate::admission::Request;
use crate::client::Client;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

/// One moment: until it is dropped, all that happens happens at once.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    record: &'a Record,
    // Dropped in this order: who is told finds the lock free.
    pub(super) state: MutexGuard<'a, State>,
    telling: Telling<'a>,
}

/// Tells those who wait, when dropped.
#[derive(Debug)]
struct Telling<'a>(Option<&'a News>);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if let Some(news) = self.0 {
            news.tell();
        }
    }
}

impl Record {
    /// Begins a moment, at whose end those who wait are told.
    pub(crate) fn moment(&self) -> Moment<'_> {
        Moment {
            record: self,
            state: self.lock(),
            telling: Telling(Some(&self.news)),
        }
    }

    /// Waits for the end of a moment that has begun.
    pub fn settle(&self) {
        drop(self.lock());
    }

    /// Whether `len` more bytes of messages may be kept; if not, something is missing from now on.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let has_room = len <= self.room.load(Ordering::Relaxed);
        if !has_room {
            let mut moment = self.moment();
            if mem::replace(&mut moment.state.is_cut, true) {
                // That is known.
                moment.goes_on();
            }
        }
        has_room
    }

    /// The server has ended: nothing follows.
    pub(crate) fn end(&self) {
        self.moment().state.is_over = true;
    }
}

impl Moment<'_> {
    /// More follows soon, and another moment will tell those who wait.
    pub(crate) fn goes_on(mut self) {
        self.telling.0 = None;
    }

    /// A request has come.
    pub(crate) fn requested(&mut self, request: &Arc<Request>) {
        self.state.log(What::Request(request.clone()));
    }

    /// A client has got its 101.
    pub(crate) fn opened(&mut self, client: &Arc<Client>) {
        let state = &mut *self.state;
        if state.log(What::Opened(client.clone())) && state.know(client).is_some() {
            state.unaccepted.push_back(client.id);
        }
    }

    /// Messages of a client have come, as whole frames, and behind them so many that are `lost`, or some were answered;
    /// of all, `unanswered` are not.
    pub(crate) fn received(
        &mut self,
        client: &Arc<Client>,
        frames: Vec<u8>,
        lost: usize,
        unanswered: usize,
    ) {
        let state = &mut *self.state;
        let Some(kept) = state.know(client) else {
            return;
        };
        if unanswered == 0 && kept.hidden.is_empty() {
            if !frames.is_empty() {
                state.show(client, frames);
            }
            return;
        }
        if !frames.is_empty() {
            state.hide(client, &frames);
        }
        if let Some(kept) = state.clients.get_mut(&client.id) {
            kept.hidden.lose(lost);
        }
        state.unhide(client, unanswered);
    }

    /// A pong has come.
    pub(crate) fn ponged(&mut self, client: &Arc<Client>, payload: &[u8]) {
        let state = &mut *self.state;
        if state.log(What::Pong(client.clone(), payload.into()))
            && let Some(kept) = state.know(client)
        {
            kept.pongs.push_back(payload.into());
        }
    }

    /// A client is gone, and [`Client::ended`] says how.
    pub(crate) fn ended(&mut self, client: &Arc<Client>) {
        let state = &mut *self.state;
        state.unhide(client, 0);
        if let Some(kept) = state.clients.get_mut(&client.id) {
            kept.has_ended = true;
        }
        state.log(What::Ended(client.clone()));
    }
}

impl Drop for Moment<'_> {
    fn drop(&mut self) {
        self.record.room.store(self.state.room(), Ordering::Relaxed);
    }
}
