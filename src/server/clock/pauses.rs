//! The time for which a worker does not run because its thread does something else: it counts for nobody's timeout.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The pauses of a worker.
#[derive(Debug, Default)]
pub(in crate::server) struct Pauses {
    /// How long they were in all.
    total: Cell<Duration>,
    /// When that began which has not ended.
    begun: Cell<Option<Instant>>,
}

impl Pauses {
    pub(in crate::server) fn begin(&self) {
        self.begun.set(Some(Instant::now()));
    }

    pub(in crate::server) fn end(&self) {
        if let Some(begun) = self.begun.take() {
            self.total.set(self.total.get() + begun.elapsed());
        }
    }

    /// How long they were in all; not during one.
    pub(super) const fn total(&self) -> Duration {
        self.total.get()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Clock;
    use super::*;
    use std::rc::Rc;

    #[test]
    fn the_clock_stands_still_in_them() {
        let pauses = Rc::new(Pauses::default());
        let clock = Clock::pausing(pauses.clone());
        let before = clock.now();
        let hour = Duration::from_secs(3600);
        pauses.begun.set(Instant::now().checked_sub(hour));
        pauses.end();
        assert!(pauses.total() >= hour);
        assert!(clock.now() < before);
        assert!(clock.real(before) >= before + hour);
        // One that has not begun.
        let total = pauses.total();
        pauses.end();
        assert_eq!(pauses.total(), total);
    }
}
