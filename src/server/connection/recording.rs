//! Records what a client sends, where the server does that. Without recording nothing here is called for a message.

use super::Connection;
use super::taking::UNECHOED;
use super::turn::Turn;
use crate::handler::Wants;
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;
use crate::server::wire::Wire;
use std::ops::Range;

impl<W: Wire> Connection<W> {
    /// Echoes short messages where they lie, and records the frames that echo them, unless a callback wants messages.
    #[inline(never)]
    pub(super) fn echo_recorded(
        &mut self,
        window: &mut Window<'_>,
        turn: &mut Turn,
    ) -> Result<(), Violation> {
        if turn.wants.has(UNECHOED) || !self.sender.is_free() {
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

    /// The messages of a read have their answers, or places for them.
    pub(super) fn record_read(&self, turn: &mut Turn) {
        if let Some(frames) = turn.recorded.take()
            && let Some(record) = &self.seated.desk.shared.record
        {
            record.received(&self.client, frames, self.sender.unanswered());
        }
    }

    /// Shows the messages that are recorded and have got their answers since. Whoever sees them may look at what is
    /// counted.
    pub(super) fn record_answers(&self, turn: &mut Turn) {
        if let Some(record) = &self.seated.desk.shared.record {
            turn.apply(self.seated.desk.counters(), &self.client);
            record.answered(&self.client, self.sender.unanswered());
        }
    }
}
