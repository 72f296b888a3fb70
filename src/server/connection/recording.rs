//! Records what a client sends, where the server does that. Without recording nothing here is called for a message.

use super::Connection;
use super::taking::APART;
use super::turn::Turn;
use crate::handler::Wants;
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;
use crate::record::Record;
use crate::record::moment::Moment;
use crate::server::wire::Wire;
use std::mem;
use std::ops::Range;

impl<W: Wire> Connection<W> {
    /// Echoes short messages where they lie, and records the frames that echo them, unless a callback wants messages.
    #[inline(never)]
    pub(super) fn echo_recorded(
        &mut self,
        window: &mut Window<'_>,
        turn: &mut Turn,
    ) -> Result<(), Violation> {
        if turn.wants.has(APART) || !self.sender.is_free() {
            return Ok(());
        }
        let from = window.write;
        let echoed = self.echo_here(window, turn);
        if from < window.write
            && let Some(record) = &self.seated.desk.shared.record
        {
            turn.record_frames(record, &window.bytes[from..window.write]);
        }
        echoed
    }

    /// Records a message, if that is wanted; whether it is echoed at once.
    pub(super) fn see(
        &self,
        kind: Kind,
        parts: &Partial,
        payload: &Range<usize>,
        window: &Window<'_>,
        turn: &mut Turn,
    ) -> bool {
        if turn.wants.has(Wants::RECORD)
            && let Some(record) = &self.seated.desk.shared.record
        {
            let len = parts.len() + payload.len();
            let pieces = parts.pieces().chain([&window.bytes[payload.clone()]]);
            turn.record(record, kind, len, pieces);
        }
        turn.wants.echoes(kind)
    }

    /// Records a pong, behind the messages before it, and with its round trip.
    #[inline(never)]
    pub(super) fn see_pong(&mut self, payload: &[u8], turn: &mut Turn) {
        self.tick(turn);
        if let Some(record) = &self.seated.desk.shared.record {
            let mut moment = self.record_so_far(record, turn);
            moment.ponged(&self.client, payload);
            moment.goes_on();
        }
    }

    /// Messages have got their answers, if there were orders for that.
    pub(super) fn record_answers(&self, turn: &mut Turn) {
        if let Some(record) = &self.seated.desk.shared.record {
            self.record_so_far(record, turn).goes_on();
        }
    }

    /// Records what has come in this turn and has its answers, or places for them, together with what is counted of it.
    /// The end of the turn tells those who wait.
    pub(super) fn record_so_far<'a>(&self, record: &'a Record, turn: &mut Turn) -> Moment<'a> {
        let mut moment = record.moment();
        self.apply(turn);
        let frames = turn.recorded.take().unwrap_or_default();
        let lost = mem::take(&mut turn.lost);
        moment.received(&self.client, frames, lost, self.sender.unanswered());
        turn.is_seen = true;
        moment
    }
}
