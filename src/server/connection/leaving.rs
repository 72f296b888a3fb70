//! The end of a connection: what the client had of the server is given back, and others hear of it.

use super::Connection;
use super::turn::Turn;
use crate::handler::Wants;
use crate::server::desk::Seated;
use crate::server::label::Code;
use crate::server::wire::Wire;
use std::mem;
use std::sync::atomic::{Ordering, fence};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

impl<W: Wire> Connection<W> {
    /// When the closing handshake, and the end of TCP with it, has to be over.
    pub(in crate::server) fn close_due(&self) -> Instant {
        let desk = &self.seated.desk;
        let due = self.sender.close_due().map(Instant::from_std);
        due.unwrap_or_else(|| desk.clock.now() + desk.shared.config.close_timeout)
    }
}

impl<W> Connection<W> {
    /// Counts among the clients again: it is about to be answered. It was there before those that came meanwhile.
    pub(super) fn take_place(&mut self) {
        if !mem::replace(&mut self.has_place, true) {
            let open = &self.seated.desk.shared.open;
            open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets another client have its place.
    pub(super) fn give_place(&mut self) {
        if mem::take(&mut self.has_place) {
            let open = &self.seated.desk.shared.open;
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives back what the client had of the server, announces that it is gone, and hands out what the end of TCP needs.
    pub(in crate::server) fn leave(&mut self) -> (&mut W, &Seated) {
        if !mem::replace(&mut self.has_left, true) {
            let mut turn = Turn::new(0);
            self.receiver.release(&mut self.account);
            self.sender.release(&mut self.account, &mut turn.effects);
            debug_assert!(
                self.account.held() == 0 || thread::panicking(),
                "a charge is not given back"
            );
            self.alarm = None;
            let desk = self.seated.desk.clone();
            let shared = &desk.shared;
            let mut moment = shared.moment();
            // Whoever is woken by the end may look at all this.
            self.apply(&mut turn);
            // Who has asked for a slow line may stay on it for minutes yet, and keeps its place as long.
            let script = self.script.as_ref();
            if !script.is_some_and(|script| script.is_slowed_by_itself()) {
                self.give_place();
            }
            desk.delist(&self.client);
            let (code, reason) = self.sender.end();
            let counters = desk.counters();
            counters.closed[Code::of(code).index()].add(1);
            counters.queue_high.note(self.client.most_queued());
            self.client.set_ended(code, reason);
            if let Some(moment) = &mut moment {
                moment.ended(&self.client);
            }
            drop(moment);
            self.client.tell_ended();
            if let Some(mut summary) = desk.summaries.end(self.client.seat) {
                let opened = desk.moment(self.client.opened);
                let since = desk
                    .clock
                    .now()
                    .into_std()
                    .saturating_duration_since(opened);
                summary.time =
                    Duration::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
                shared.handler.on_summary(&self.client, &summary);
            }
            // Between the end and the look at who wants to hear of it: whoever begins to want it between the two
            // looks for the end after that (`Client::know`).
            fence(Ordering::SeqCst);
            if shared.handler.wants().has(Wants::CLOSE) || self.client.is_known() {
                shared.handler.on_close(&self.client);
            }
            self.client.end_charge();
            // That is given back, too.
            drop(shared.moment());
        }
        (&mut self.wire, &self.seated)
    }
}

impl<W> Drop for Connection<W> {
    fn drop(&mut self) {
        self.leave();
        self.give_place();
    }
}
