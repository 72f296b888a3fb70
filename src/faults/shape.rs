//! How bytes move in one direction of a connection, while faults act on them.

use std::time::{Duration, Instant};

/// Bytes that move at once at the most, whatever the rate, but for slices.
pub const MOST: usize = 64 << 10;
/// What moves at once at a low rate is what it gives in this time.
const QUANTUM: Duration = Duration::from_millis(20);
/// A timer that goes off late by so much costs nothing of the rate.
const SLACK: Duration = Duration::from_millis(5);

/// Which way bytes move, as the server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// What all faults together do to the bytes that move one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// How much later each arrives.
    pub latency: Duration,
    /// At random, up to so much later than that.
    pub jitter: Duration,
    /// Bytes that pass in a second.
    pub rate: Option<u64>,
    /// Bytes that pass together.
    pub size: usize,
    /// Between those and the next.
    pub gap: Duration,
    /// Whether they arrive as others.
    pub changes: bool,
    /// Bytes for which this is so; it may be otherwise after them.
    pub until: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            size: usize::MAX,
            gap: Duration::ZERO,
            changes: false,
            until: u64::MAX,
        }
    }
}

impl Shape {
    /// Whether bytes arrive later than they are sent.
    #[must_use]
    pub fn delays(&self) -> bool {
        self.latency + self.jitter > Duration::ZERO
    }

    /// Of `len` bytes those that move together; at least one.
    #[must_use]
    pub fn portion(&self, len: usize) -> usize {
        let by_rate = self.rate.map_or(usize::MAX, |rate| {
            let bytes = u128::from(rate) * QUANTUM.as_millis() / 1000;
            usize::try_from(bytes).unwrap_or(MOST).clamp(1, MOST)
        });
        // A slice may be longer than that, unless it becomes other bytes: then it is copied.
        let is_long = self.size < usize::MAX && !self.changes;
        let most = if is_long { usize::MAX } else { MOST };
        len.min(by_rate).min(most).min(self.size).min(self.same())
    }

    /// Bytes for which this is so, as a size in memory.
    #[must_use]
    pub fn same(&self) -> usize {
        usize::try_from(self.until).unwrap_or(usize::MAX)
    }

    /// When bytes may move again by the rate, if `len` do `now` that might have since `next`.
    #[must_use]
    pub fn after(&self, len: usize, next: Option<Instant>, now: Instant) -> Instant {
        self.rate.map_or(now, |rate| {
            let earliest = now.checked_sub(SLACK).unwrap_or(now);
            let begun = next.map_or(now, |next| next.max(earliest));
            // The rate is positive; a quantum is 64 KiB at most.
            let nanos = (len as u64)
                .saturating_mul(1_000_000_000)
                .div_ceil(rate.max(1));
            begun + Duration::from_nanos(nanos)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_whatever_timers_do() {
        for rate in [1, 50, 999, 64 << 10, 100 << 20] {
            let shape = Shape {
                rate: Some(rate),
                ..Shape::default()
            };
            let begun = Instant::now();
            let (mut now, mut next, mut moved) = (begun, None, 0);
            while moved < 3 * rate {
                let len = shape.portion(usize::MAX);
                next = Some(shape.after(len, next, now));
                moved += len as u64;
                // A timer goes off up to a millisecond late.
                now = next.unwrap() + Duration::from_micros(900);
            }
            let took = (next.unwrap() - begun).as_nanos();
            let due = u128::from(moved) * 1_000_000_000 / u128::from(rate);
            let is_due = (due..due + 2_000_000).contains(&took);
            assert!(is_due, "{rate}: {took} {due}");
        }
    }

    #[test]
    fn slices_and_what_comes_after_are_kept_apart() {
        let shape = Shape {
            size: 3,
            until: 2,
            gap: Duration::from_secs(1),
            ..Shape::default()
        };
        assert_eq!(shape.portion(10), 2);
        assert_eq!(shape.portion(1), 1);
        assert!(!shape.delays());
        // Of a long message it is not copied again and again what does not move.
        let shape = Shape {
            changes: true,
            ..Shape::default()
        };
        assert_eq!(shape.portion(16 << 20), MOST);
    }
}
