//! When a stop goes from one stage to the next. All of its times are made and kept here; workers go by them.
//!
//! First clients still come in, while the health check says that they should not any more (`drain_delay`). Then nobody
//! does, and those who are there are told 1001, one after the other (`drain_spread`). Then what is left has
//! `close_timeout`. A stop that has less time takes it from the first two.

use crate::config::Config;
use std::time::{Duration, Instant};

/// How far a worker is on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// All is as before, but the health check says that nobody should come any more.
    Leaving,
    /// Nobody comes in. Clients are told 1001, each in its turn, when they have the answers that are outstanding, and who
    /// only lingers is dropped.
    Closing,
    /// Half of the time for that is over: nothing that is outstanding is waited for.
    Hurried,
}

/// The times of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stages {
    /// Until then clients come in; from then on they are told.
    closing: Instant,
    /// Everybody has been told.
    told: Instant,
    /// Half of the time that is left after that is over: nothing that is outstanding is waited for.
    hurried: Instant,
    /// What is left is dropped.
    deadline: Instant,
}

impl Stages {
    /// Those of a stop that begins now and has to end within `timeout`.
    pub(super) fn new(now: Instant, timeout: Duration, config: &Config) -> Self {
        let spare = timeout.saturating_sub(config.close_timeout);
        let delay = config.drain_delay.min(spare);
        let spread = config.drain_spread.min(spare.saturating_sub(delay));
        let rest = timeout.saturating_sub(delay).saturating_sub(spread);
        let closing = later(now, delay);
        let told = later(closing, spread);
        Self {
            closing,
            told,
            hurried: later(told, rest / 2),
            deadline: later(told, rest),
        }
    }

    /// Those of two stops of one server: a second one can only bring the end forward.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            closing: self.closing.min(other.closing),
            told: self.told.min(other.told),
            hurried: self.hurried.min(other.hurried),
            deadline: self.deadline.min(other.deadline),
        }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn phase(&self, now: Instant) -> Phase {
        if now < self.closing {
            Phase::Leaving
        } else if now < self.hurried {
            Phase::Closing
        } else {
            Phase::Hurried
        }
    }

    /// How many of the clients of a worker have been told, and what is to be waited for next.
    pub(super) fn turn(&self, now: Instant, row: Row) -> Turn {
        if now < self.closing {
            return Turn::Wait(0, self.closing);
        }
        if now < self.told {
            let spread = self.told - self.closing;
            let told = row.told(now - self.closing, spread);
            return Turn::Wait(told, self.told.min(self.closing + row.due(told, spread)));
        }
        if now < self.hurried {
            Turn::Wait(u32::MAX, self.hurried)
        } else if now < self.deadline {
            Turn::Wait(u32::MAX, self.deadline)
        } else {
            Turn::End
        }
    }
}

/// The clients of a worker that are told one after the other: the first of `count` at the beginning, and each worker a
/// little after the one before it, so that they do not tell theirs at the same moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) count: u32,
    pub(super) worker: usize,
    pub(super) workers: usize,
}

impl Row {
    /// How many steps all workers have together, if each has as many clients; one of this worker's is every `workers`-th.
    const fn steps(self) -> u128 {
        self.count as u128 * self.workers as u128
    }

    /// How many it is time for, so long after the first.
    fn told(self, since: Duration, spread: Duration) -> u32 {
        let step = since.as_nanos() * self.steps() / spread.as_nanos();
        let Some(since) = step.checked_sub(self.worker as u128) else {
            return 0;
        };
        // There are not as many as there are nanoseconds in a year.
        let told = u32::try_from(since / self.workers as u128);
        told.map_or(self.count, |told| self.count.min(told + 1))
    }

    /// When it is time for the next, after the first `told`.
    fn due(self, told: u32, spread: Duration) -> Duration {
        if told == self.count {
            return spread;
        }
        let step = u128::from(told) * self.workers as u128 + self.worker as u128;
        // Rounded up, so that it is time then.
        let due = (spread.as_nanos() * step).div_ceil(self.steps());
        u64::try_from(due).map_or(spread, Duration::from_nanos)
    }
}

/// What a moment of a stop brings for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// So many clients have been told by now, all with `u32::MAX`; until then nothing else happens.
    Wait(u32, Instant),
    /// The deadline has come.
    End,
}

/// That much later; a timeout beyond the clock's range is meant as "never", which a century is as well.
pub(super) fn later(moment: Instant, timeout: Duration) -> Instant {
    let century = Duration::from_secs(100 * 365 * 86_400);
    moment
        .checked_add(timeout)
        .unwrap_or_else(|| moment + century)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::simulation::draining::config;

    const SECOND: Duration = Duration::from_secs(1);

    /// When a stop with that timeout goes from stage to stage, in milliseconds.
    fn times(timeout: Duration, config: &Config) -> [u128; 4] {
        let now = Instant::now();
        since(now, &Stages::new(now, timeout, config))
    }

    /// So many clients, of the only worker.
    fn alone(count: u32) -> Row {
        Row {
            count,
            worker: 0,
            workers: 1,
        }
    }

    fn since(now: Instant, stages: &Stages) -> [u128; 4] {
        let times = [stages.closing, stages.told, stages.hurried, stages.deadline];
        times.map(|time| (time - now).as_millis())
    }

    #[test]
    fn what_is_short_of_time_takes_it_from_the_drain() {
        let config = config(10, 20);
        assert_eq!(config.stop_timeout(), SECOND * 35);
        for (timeout, expected) in [
            (35, [10_000, 30_000, 32_500, 35_000]),
            (45, [10_000, 30_000, 37_500, 45_000]),
            (25, [10_000, 20_000, 22_500, 25_000]),
            (12, [7_000, 7_000, 9_500, 12_000]),
            (5, [0, 0, 2_500, 5_000]),
            (1, [0, 0, 500, 1_000]),
            (0, [0; 4]),
        ] {
            assert_eq!(times(SECOND * timeout, &config), expected, "{timeout} s");
        }
        let plain = Config::default();
        assert_eq!(times(plain.stop_timeout(), &plain), [0, 0, 2_500, 5_000]);
    }

    #[test]
    fn a_stop_may_have_all_the_time_there_is() {
        let stages = Stages::new(Instant::now(), Duration::MAX, &config(1, 1));
        assert!(stages.deadline >= stages.hurried && stages.hurried > stages.told);
    }

    #[test]
    fn a_second_stop_only_brings_the_end_forward() {
        let (now, config) = (Instant::now(), config(10, 20));
        let first = Stages::new(now, config.stop_timeout(), &config);
        assert_eq!(
            first.with(Stages::new(now + SECOND, SECOND * 35, &config)),
            first
        );
        let both = first.with(Stages::new(now + SECOND * 2, SECOND * 6, &config));
        assert_eq!(since(now, &both), [3_000, 3_000, 5_500, 8_000]);
        let at_once = both.with(Stages::new(now + SECOND * 2, Duration::ZERO, &config));
        assert_eq!(at_once.phase(now + SECOND * 2), Phase::Hurried);
        assert_eq!(at_once.turn(now + SECOND * 2, alone(7)), Turn::End);
    }

    #[test]
    fn each_has_its_turn_in_the_spread() {
        let (now, config) = (Instant::now(), config(10, 20));
        let stages = Stages::new(now, config.stop_timeout(), &config);
        let after = |milliseconds| now + Duration::from_millis(milliseconds);
        for (milliseconds, told, next) in [
            (0, 0, 10_000),
            (9_999, 0, 10_000),
            (10_000, 1, 15_000),
            (14_999, 1, 15_000),
            (15_000, 2, 20_000),
            (20_000, 3, 25_000),
            (29_999, 4, 30_000),
            (30_000, u32::MAX, 32_500),
            (32_500, u32::MAX, 35_000),
        ] {
            let turn = stages.turn(after(milliseconds), alone(4));
            assert_eq!(turn, Turn::Wait(told, after(next)), "{milliseconds} ms");
        }
        assert_eq!(stages.turn(after(35_000), alone(4)), Turn::End);
        // Without anybody there is nothing before its end.
        let nobody = stages.turn(after(12_000), alone(0));
        assert_eq!(nobody, Turn::Wait(0, after(30_000)));
    }

    #[test]
    fn workers_take_turns_in_the_spread() {
        let (now, config) = (Instant::now(), config(0, 12));
        let stages = Stages::new(now, config.stop_timeout(), &config);
        for (worker, expected) in [(0, [0, 6_000]), (1, [2_000, 8_000]), (2, [4_000, 10_000])] {
            let row = Row {
                count: 2,
                worker,
                workers: 3,
            };
            for (told, milliseconds) in (0..).zip(expected) {
                let due = now + Duration::from_millis(milliseconds);
                if let Some(before) = milliseconds.checked_sub(1) {
                    let before = stages.turn(now + Duration::from_millis(before), row);
                    assert_eq!(before, Turn::Wait(told, due), "{worker}");
                }
                let Turn::Wait(at, _) = stages.turn(due, row) else {
                    panic!("it is not over");
                };
                assert_eq!(at, told + 1, "{worker}");
            }
        }
    }

    #[test]
    fn every_step_of_the_spread_is_one() {
        let config = config(0, 3);
        let start = Instant::now();
        let stages = Stages::new(start, config.stop_timeout(), &config);
        for (count, worker) in [(1, 0), (3, 1), (7, 2), (1000, 0), (99_991, 2)] {
            let row = Row {
                count,
                worker,
                workers: 3,
            };
            // Other workers begin later than the first one.
            let (mut now, mut before, mut steps) = match stages.turn(start, row) {
                Turn::Wait(0, next) => (next, 0, 0),
                _ => (start, 0, 0),
            };
            while let Turn::Wait(told, next) = stages.turn(now, row) {
                assert!(next > now, "{count}: {told} after {before}");
                assert!(told == before + 1 || told == u32::MAX && before == count);
                steps += 1;
                if told == u32::MAX {
                    break;
                }
                (now, before) = (next, told);
            }
            assert_eq!(steps, count + 1);
        }
    }

    #[test]
    fn phases_follow_each_other() {
        let (now, config) = (Instant::now(), config(10, 20));
        let stages = Stages::new(now, config.stop_timeout(), &config);
        for (seconds, phase) in [
            (0, Phase::Leaving),
            (9, Phase::Leaving),
            (10, Phase::Closing),
            (32, Phase::Closing),
            (33, Phase::Hurried),
            (99, Phase::Hurried),
        ] {
            assert_eq!(stages.phase(now + SECOND * seconds), phase, "{seconds} s");
        }
    }
}
