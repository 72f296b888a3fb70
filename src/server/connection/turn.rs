//! What one poll of a connection may do, and what has come of it for others.

use crate::client::Client;
use crate::handler::{Batch, Wants};
use crate::protocol::message::Kind;
use crate::protocol::sending::Effects;
use crate::record::{self, Record};
use crate::server::stats::Counters;
use std::mem;

#[derive(Debug)]
pub(super) struct Turn {
    /// Bytes that may be inflated; what else takes time is counted in terms of them.
    pub(super) budget: usize,
    pub(super) effects: Effects,
    /// Of the read under way.
    pub(super) wants: Wants,
    pub(super) batch: Option<Batch>,
    /// The messages of this read as frames, if they are recorded.
    pub(super) recorded: Option<Vec<u8>>,
    bytes: u64,
    texts: u64,
    binaries: u64,
    pings: u64,
    pongs: u64,
}

impl Turn {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            effects: Effects::default(),
            wants: Wants::NOTHING,
            batch: None,
            recorded: None,
            bytes: 0,
            texts: 0,
            binaries: 0,
            pings: 0,
            pongs: 0,
        }
    }

    pub(super) const fn received(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    pub(super) const fn message(&mut self, kind: Kind) {
        match kind {
            Kind::Text => self.texts += 1,
            Kind::Binary => self.binaries += 1,
        }
    }

    /// Messages that were echoed where they lie.
    pub(super) const fn echoed(&mut self, texts: u64, binaries: u64) {
        self.texts += texts;
        self.binaries += binaries;
        self.effects.messages_sent += texts + binaries;
    }

    /// Records a message.
    pub(super) fn record<'a>(
        &mut self,
        record: &Record,
        kind: Kind,
        len: usize,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) {
        let recorded = self.recorded.get_or_insert_default();
        if record.has_room(recorded.len() + len) {
            record::push(recorded, kind, len, pieces);
        }
    }

    /// Records the messages in whole frames.
    pub(super) fn record_frames(&mut self, record: &Record, frames: &[u8]) {
        let recorded = self.recorded.get_or_insert_default();
        if record.has_room(recorded.len() + frames.len()) {
            recorded.extend_from_slice(frames);
        }
    }

    pub(super) const fn ping(&mut self) {
        self.pings += 1;
    }

    pub(super) const fn pong(&mut self) {
        self.pongs += 1;
    }

    /// Whether there is something to tell.
    #[inline]
    pub(super) const fn has_news(&self) -> bool {
        let Effects {
            messages_sent,
            bytes_sent,
            violations,
            released,
            rtt,
            is_closing,
        } = &self.effects;
        let counts = self.bytes | self.texts | self.binaries | self.pings | self.pongs;
        counts | *messages_sent | *bytes_sent | *violations != 0
            || *released != 0
            || rtt.is_some()
            || *is_closing
    }

    /// Tells the counters and the client.
    #[inline]
    pub(super) fn apply(&mut self, counters: &Counters, client: &Client) {
        counters.bytes_received.add(mem::take(&mut self.bytes));
        counters
            .text_messages_received
            .add(mem::take(&mut self.texts));
        counters
            .binary_messages_received
            .add(mem::take(&mut self.binaries));
        let messages_sent = mem::take(&mut self.effects.messages_sent);
        counters.messages_sent.add(messages_sent);
        // All else is rare.
        if self.has_news() {
            self.apply_rest(counters, client);
        }
    }

    #[cold]
    fn apply_rest(&mut self, counters: &Counters, client: &Client) {
        counters.pings_received.add(mem::take(&mut self.pings));
        counters.pongs_received.add(mem::take(&mut self.pongs));
        let effects = mem::take(&mut self.effects);
        counters.bytes_sent.add(effects.bytes_sent);
        counters.violations.add(effects.violations);
        if let Some(rtt) = effects.rtt {
            client.set_rtt(rtt);
        }
        if effects.is_closing {
            client.set_closing();
        }
        client.release(effects.released);
    }
}
