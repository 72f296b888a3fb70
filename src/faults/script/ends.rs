//! When faults end a connection, or let it end: because their time has come, or because they have held it for long enough.

use super::Script;
use crate::faults::action::Action;
use crate::faults::plan::LONGEST_HELD;
use crate::faults::selector::After;
use crate::protocol::sending::Cut;
use std::time::Instant;

/// How a fault ends a connection when its time has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// By our close frame, with this code and reason.
    Close(u16, String),
    /// Without one.
    Cut(Cut),
}

impl Script {
    /// When something is to be asked without an opportunity.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let active = self.active.borrow();
        let awaited = active.iter().filter(|one| one.is_awaited);
        let due = awaited.filter_map(|one| match one.fault.selector.after {
            After::Time(time) => Some(self.begun + time),
            After::Count(_) => None,
        });
        due.chain(self.patience.get()).min()
    }

    /// It is `now`: whether the connection ends, if something holds it that it has asked for itself.
    #[must_use]
    pub fn is_enough(&self, now: Instant) -> bool {
        let is_due = self.patience.get().is_some_and(|due| due <= now);
        if is_due {
            self.patience.set(Some((self.now)() + LONGEST_HELD));
        }
        is_due
    }

    /// Its end is held up, `now` at the latest: by when it has to come, if the connection has asked for its slow line itself.
    #[must_use]
    pub fn last_end(&self, now: Instant) -> Option<Instant> {
        if !self.is_slowed_by_itself() {
            return None;
        }
        let end = self.last_end.get().unwrap_or(now + LONGEST_HELD);
        self.last_end.set(Some(end));
        Some(end)
    }

    /// It is `now`: how the connection ends, if it does. What ends already is no opportunity.
    #[must_use]
    pub fn on_time(&self, now: Instant, is_ending: bool) -> Option<Ending> {
        let mut ending = None;
        for one in self.active.borrow_mut().iter_mut() {
            let After::Time(time) = one.fault.selector.after else {
                continue;
            };
            if !one.is_awaited || now < self.begun + time {
                continue;
            }
            one.is_awaited = false;
            if !is_ending && ending.is_none() && self.acts(one) {
                ending = match one.fault.row.action {
                    Action::Close(how) => {
                        let (code, reason) = how(&one.fault.values);
                        Some(Ending::Close(code, reason))
                    }
                    Action::Cut(cut) => Some(Ending::Cut(cut)),
                    _ => None,
                };
            }
        }
        ending
    }
}
