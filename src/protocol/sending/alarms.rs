//! What is done when something is due.

use super::closing::Closing;
use super::times::Alarm;
use super::{Effects, Rung, Sender, Timeout};
use crate::protocol::account::Account;
use crate::protocol::close;
use crate::protocol::frame::{Opcode, server_frame};
use std::time::Instant;

impl Sender {
    /// Whether it wants to be told the time: [`Self::on_time`] has to be called then before anybody waits.
    #[must_use]
    #[inline]
    pub const fn is_timed(&self) -> bool {
        self.times.is_some()
    }

    /// When something is due. Good until something else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let times = self.times.as_ref()?;
        let is_open = matches!(self.closing, Closing::Open);
        times.next(is_open, &self.settings).map(|(due, _)| due)
    }

    /// When the closing handshake has to be over, if that is known.
    #[must_use]
    pub fn close_due(&self) -> Option<Instant> {
        self.times.as_ref()?.close_due()
    }

    /// It is `now`, and what has happened since the last call happened now.
    pub fn tick(&mut self, now: Instant, effects: &mut Effects) {
        if let Some(times) = &mut self.times
            && let Some(rtt) = times.tick(now, self.settings.close_timeout)
        {
            effects.rtt = Some(rtt);
        }
    }

    /// It is `now`: does one thing that is due.
    pub fn on_time(&mut self, now: Instant, account: &mut Account, effects: &mut Effects) -> Rung {
        self.tick(now, effects);
        // While our side does not read, silence is no sign of the client's; and who waits for an answer is not idle.
        let is_ours = !self.may_read() || self.has_waiting();
        let is_busy = self.has_waiting() && !self.output.is_blocked;
        let is_owed = !self.slots.is_empty();
        let is_open = matches!(self.closing, Closing::Open);
        let settings = &*self.settings;
        let Some(times) = &mut self.times else {
            return Rung::Nothing;
        };
        let next = times.next(is_open, settings);
        let Some((_, alarm)) = next.filter(|(due, _)| *due <= now) else {
            return Rung::Nothing;
        };
        match alarm {
            Alarm::Ping(payload) => {
                times.sent_keepalive(now);
                self.output
                    .keep(server_frame(Opcode::Ping, &payload), account);
            }
            Alarm::Idle if is_ours || is_owed => times.live(),
            Alarm::NoPong if is_ours => times.live(),
            Alarm::Idle => {
                let reason = settings.idle_timeout.map_or_else(String::new, |idle| {
                    format!("nothing was received for {} of {:?}", idle.name, idle.value)
                });
                self.close(close::GOING_AWAY, &reason, account, effects);
            }
            Alarm::NoPong => {
                let Timeout { name, value } = settings.ping_timeout;
                let reason = format!("no pong within {name} of {value:?}");
                self.close(close::INTERNAL_ERROR, &reason, account, effects);
            }
            // The client could have what is yet to be made.
            Alarm::NoClose if is_busy => times.prolong_close(now, settings.close_timeout),
            Alarm::NoClose => {
                let waiting = self.output.len();
                if !times.extend_close(now, waiting, settings.close_timeout) {
                    return Rung::End;
                }
            }
        }
        Rung::Something
    }
}
