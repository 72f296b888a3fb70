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

    /// That which has begun is none.
    pub(in crate::server) fn forget(&self) {
        self.begun.set(None);
    }

    /// How long they were in all; not during one.
    pub(in crate::server) const fn total(&self) -> Duration {
        self.total.get()
    }
}

#[cfg(test)]
impl Pauses {
    /// One has begun so long ago.
    pub(in crate::server) fn begin_before(&self, ago: Duration) {
        self.begun.set(Instant::now().checked_sub(ago));
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
        pauses.begin_before(hour);
        pauses.end();
        assert!(pauses.total() >= hour);
        assert!(clock.now() < before);
        assert!(clock.real(before) >= before + hour);
        // One that has not begun, and one that is none.
        let total = pauses.total();
        pauses.end();
        assert_eq!(pauses.total(), total);
        pauses.begin_before(hour);
        pauses.forget();
        pauses.end();
        assert_eq!(pauses.total(), total);
    }
}
