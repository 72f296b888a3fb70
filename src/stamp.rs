//! A moment in a quarter of the room of an `Instant`, for what every client has.

use std::time::{Duration, Instant};

const MILLI: Duration = Duration::from_millis(1);

/// A moment of the last 49 days, in whole milliseconds since something `began`, which is always to be the same.
#[derive(Debug, Default, Clone, Copy)]
pub struct Stamp(u32);

impl Stamp {
    /// That of `now`.
    #[must_use]
    pub fn new(began: Instant, now: Instant) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "it goes round")]
        Self(millis(began, now) as u32)
    }

    /// When that was, or less than a millisecond later; not after `now`.
    #[must_use]
    pub fn moment(self, began: Instant, now: Instant) -> Instant {
        let ago = Self::new(began, now).0.wrapping_sub(self.0);
        let until = millis(began, now).saturating_sub(ago.into());
        now.min(began + Duration::from_millis(until))
    }
}

/// Those that are over then, and the one that is not.
fn millis(began: Instant, now: Instant) -> u64 {
    let nanos = now.saturating_duration_since(began).as_nanos();
    u64::try_from(nanos.div_ceil(MILLI.as_nanos())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_moment_to_the_millisecond_and_never_before_it() {
        let began = Instant::now();
        let (nanos, days) = (Duration::from_nanos, |days: u64| {
            Duration::from_secs(days * 86_400)
        });
        for opened in [
            nanos(0),
            nanos(1),
            MILLI,
            nanos(1_999_999),
            days(48),
            days(60),
        ] {
            let opened = began + opened;
            let stamp = Stamp::new(began, opened);
            for later in [nanos(0), nanos(1), nanos(999_999), MILLI, days(1), days(49)] {
                let moment = stamp.moment(began, opened + later);
                let late = moment.duration_since(opened);
                assert!(
                    moment >= opened && late < MILLI && late <= later,
                    "{late:?} {later:?}"
                );
            }
        }
    }
}
