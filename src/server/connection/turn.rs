//! What one poll of a connection may do, and what has come of it for others.

use crate::client::Client;
use crate::handler::{Batch, Wants};
use crate::protocol::frame::push_server_frame;
use crate::protocol::message::Kind;
use crate::protocol::sending::Effects;
use crate::protocol::tally::Tally;
use crate::record::Record;
use crate::server::stats::Counters;
use std::convert::Infallible;
use std::mem;
use std::sync::mpsc::Sender;

/// Names of the server's counters, each once: that is all a counter needs here.
macro_rules! counts {
    (often: $($often:ident),+; rarely: $($rare:ident),+;) => {
        /// What a turn has counted, and not told yet.
        #[derive(Debug, Default)]
        pub(super) struct Counts {
            $(pub(super) $often: u64,)+
            $(pub(super) $rare: u64,)+
        }

        impl Counts {
            #[inline]
            const fn is_empty(&self) -> bool {
                (0 $(| self.$often)+ $(| self.$rare)+) == 0
            }

            #[inline]
            fn tell_often(&mut self, counters: &Counters) {
                $(counters.$often.add(mem::take(&mut self.$often));)+
            }

            fn tell_rare(&mut self, counters: &Counters) {
                $(counters.$rare.add(mem::take(&mut self.$rare));)+
            }
        }
    };
}

// What nearly every read has is told with each of them; all else only if there is something to tell.
counts! {
    often: bytes_received;
    rarely: pings_received, pongs_received;
}

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
    /// Those behind them that wait for an answer, and are not recorded for want of room.
    pub(super) lost: usize,
    pub(super) counts: Counts,
    /// Messages that have come.
    pub(super) messages: Tally,
    /// Something of it is recorded already, or may be looked at: its end is to be told.
    pub(super) is_seen: bool,
    /// Who waits for all that was ordered to be done, and told: dropped after that.
    pub(super) told: Vec<Sender<Infallible>>,
}

impl Turn {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            effects: Effects::default(),
            wants: Wants::NOTHING,
            batch: None,
            recorded: None,
            lost: 0,
            counts: Counts::default(),
            messages: Tally::default(),
            is_seen: false,
            told: Vec::new(),
        }
    }

    pub(super) const fn received(&mut self, bytes: usize) {
        self.counts.bytes_received += bytes as u64;
    }

    /// Messages that were echoed where they lie.
    pub(super) fn echoed(&mut self, messages: Tally) {
        self.messages += messages;
        self.effects.sent += messages;
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
        // What follows is lost as well, also if the record is cleared meanwhile: that keeps the order.
        if self.lost == 0 && record.has_room(recorded.len() + len) {
            push_server_frame(recorded, kind.opcode(), len, pieces);
        } else {
            self.lost += 1;
        }
    }

    /// Records the messages in whole frames.
    pub(super) fn record_frames(&mut self, record: &Record, frames: &[u8]) {
        let recorded = self.recorded.get_or_insert_default();
        if record.has_room(recorded.len() + frames.len()) {
            recorded.extend_from_slice(frames);
        }
    }

    /// Whether there is something to tell.
    #[inline]
    pub(super) const fn has_news(&self) -> bool {
        self.messages.messages() > 0 || !self.counts.is_empty() || !self.effects.is_empty()
    }

    /// Tells the counters and the client.
    #[inline]
    pub(super) fn apply(&mut self, counters: &Counters, client: &Client) {
        self.counts.tell_often(counters);
        counters.received(mem::take(&mut self.messages));
        counters.sent(mem::take(&mut self.effects.sent));
        // All else is rare.
        if self.has_news() {
            self.apply_rest(counters, client);
        }
    }

    #[cold]
    fn apply_rest(&mut self, counters: &Counters, client: &Client) {
        self.counts.tell_rare(counters);
        let Effects {
            // Told already.
            sent: _,
            bytes_sent: _,
            violations,
            released,
            rtt,
            is_closing,
        } = mem::take(&mut self.effects);
        counters.violations.add(violations);
        if let Some(rtt) = rtt {
            client.set_rtt(rtt);
        }
        if is_closing {
            client.set_closing();
        }
        client.release(released);
    }
}
