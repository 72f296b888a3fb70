//! A moment in half of the room of an `Instant`, for what every client has.

use std::time::{Duration, Instant};

/// A moment, in nanoseconds since something `began`, which is always to be the same. There is room for 584 years: what
/// goes round sooner would do so under a client that stays.
#[derive(Debug, Default, Clone, Copy)]
pub struct Stamp(u64);

impl Stamp {
    /// That of `now`.
    #[must_use]
    pub fn new(began: Instant, now: Instant) -> Self {
        let nanos = now.saturating_duration_since(began).as_nanos();
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// When that was.
    #[must_use]
    pub fn moment(self, began: Instant) -> Instant {
        began + Duration::from_nanos(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_moment_however_long_ago_things_began() {
        let began = Instant::now();
        let days = |days: u64| Duration::from_secs(days * 86_400);
        for after in [
            Duration::ZERO,
            Duration::from_nanos(1),
            days(49),
            days(50),
            days(36_500),
        ] {
            let now = began + after;
            assert_eq!(Stamp::new(began, now).moment(began), now, "{after:?}");
        }
        // A clock that is read a little earlier than it began says when it did.
        assert_eq!(Stamp::new(began + days(1), began).moment(began), began);
    }
}
