//! When a stop goes from one stage to the next. All of its times are made and kept here; workers go by them.
//!
//! First clients still come in, while the health check says that they should not any more (`drain_delay`). Then nobody
//! does, and those who are there are told 1001, one after the other (`drain_spread`). Then what is left has
//! `close_timeout`. A stop that has less time takes it from the first two.

use crate::config::Config;
use std::ops::Range;
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
    pub(super) fn turn(&self, now: Instant, row: &Row) -> Turn {
        if now < self.closing {
            return Turn::Wait(0, self.closing);
        }
        if now < self.told {
            let spread = self.told - self.closing;
            let told = row.told(now - self.closing, spread);
            return Turn::Wait(told, self.told.min(self.closing + row.due(told, spread)));
        }
        if now < self.hurried {
            Turn::Wait(usize::MAX, self.hurried)
        } else if now < self.deadline {
            Turn::Wait(usize::MAX, self.deadline)
        } else {
            Turn::End
        }
    }
}

/// The clients of a worker that are told one after the other, with those of all others: the server's first at the
/// beginning, and from one to the next there always is the same time.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// How many the server has.
    all: u32,
    /// Of the worker's, in their order: how many of the server's are told before, and its seat.
    own: Vec<(u32, u32)>,
}

impl Row {
    /// Those of each worker, for clients that each come with their number, worker and seat: told in the order of the
    /// numbers.
    pub(super) fn of_all(mut clients: Vec<(u64, usize, u32)>, workers: usize) -> Box<[Self]> {
        clients.sort_unstable();
        // There are no more descriptors than an `int` counts.
        let all = u32::try_from(clients.len()).expect("fewer clients than that");
        let mut rows = vec![Self { all, own: vec![] }; workers];
        for (before, (_, worker, seat)) in (0..).zip(clients) {
            rows[worker].own.push((before, seat));
        }
        rows.into()
    }

    /// The seats of those who are told, from one place in the row to another.
    pub(super) fn seats(&self, told: Range<usize>) -> impl Iterator<Item = u32> {
        self.own[told].iter().map(|&(_, seat)| seat)
    }

    /// How many it is time for, so long after the first.
    fn told(&self, since: Duration, spread: Duration) -> usize {
        let before = since.as_nanos() * u128::from(self.all) / spread.as_nanos();
        self.own
            .partition_point(|&(place, _)| u128::from(place) <= before)
    }

    /// When it is time for the next, after the first `told`.
    fn due(&self, told: usize, spread: Duration) -> Duration {
        let Some(&(place, _)) = self.own.get(told) else {
            return spread;
        };
        // Rounded up, so that it is time then.
        let due = (spread.as_nanos() * u128::from(place)).div_ceil(self.all.into());
        u64::try_from(due).map_or(spread, Duration::from_nanos)
    }
}

/// What a moment of a stop brings for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// So many clients have been told by now, all with `usize::MAX`; until then nothing else happens.
    Wait(usize, Instant),
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

    /// Of workers whose clients have come in the order of these numbers.
    fn rows(comings: &[usize], workers: usize) -> Box<[Row]> {
        let clients = (0..).zip(comings).map(|(id, &worker)| (id, worker, 7));
        Row::of_all(clients.collect(), workers)
    }

    /// So many clients, of the only worker.
    fn alone(count: usize) -> Row {
        rows(&vec![0; count], 1)[0].clone()
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
        assert_eq!(at_once.turn(now + SECOND * 2, &alone(7)), Turn::End);
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
            (30_000, usize::MAX, 32_500),
            (32_500, usize::MAX, 35_000),
        ] {
            let turn = stages.turn(after(milliseconds), &alone(4));
            assert_eq!(turn, Turn::Wait(told, after(next)), "{milliseconds} ms");
        }
        assert_eq!(stages.turn(after(35_000), &alone(4)), Turn::End);
        // Without anybody there is nothing before its end.
        let nobody = stages.turn(after(12_000), &alone(0));
        assert_eq!(nobody, Turn::Wait(0, after(30_000)));
    }

    #[test]
    fn clients_of_all_workers_are_told_in_even_steps() {
        let (now, config) = (Instant::now(), config(0, 12));
        let stages = Stages::new(now, config.stop_timeout(), &config);
        let rows = rows(&[2, 0, 2, 2, 0, 2], 4);
        let end = 12_000;
        for (worker, expected) in [
            (0, vec![2_000, 8_000, end]),
            (1, vec![end]),
            (2, vec![0, 4_000, 6_000, 10_000, end]),
            (3, vec![end]),
        ] {
            for (told, &milliseconds) in expected.iter().enumerate() {
                let due = now + Duration::from_millis(milliseconds);
                if let Some(before) = milliseconds.checked_sub(1) {
                    let before = now + Duration::from_millis(before);
                    let turn = stages.turn(before, &rows[worker]);
                    assert_eq!(turn, Turn::Wait(told, due), "{worker}");
                }
                let expected = if milliseconds == end {
                    usize::MAX
                } else {
                    told + 1
                };
                let Turn::Wait(told, _) = stages.turn(due, &rows[worker]) else {
                    panic!("it is not over");
                };
                assert_eq!(told, expected, "{worker}");
            }
        }
    }

    #[test]
    fn every_step_of_the_spread_is_one() {
        let config = config(0, 3);
        let start = Instant::now();
        let stages = Stages::new(start, config.stop_timeout(), &config);
        for (count, workers) in [(1, 1), (3, 2), (7, 3), (1000, 3), (99_991, 3)] {
            let comings: Vec<_> = (0..count).map(|id| id * id % workers).collect();
            for row in rows(&comings, workers) {
                // The first is another's.
                let (mut now, mut before, mut steps) = match stages.turn(start, &row) {
                    Turn::Wait(0, next) => (next, 0, 0),
                    _ => (start, 0, 0),
                };
                let count = row.own.len();
                while let Turn::Wait(told, next) = stages.turn(now, &row) {
                    assert!(next > now, "{count}: {told} after {before}");
                    assert!(told == before + 1 || told == usize::MAX && before == count);
                    steps += 1;
                    if told == usize::MAX {
                        break;
                    }
                    (now, before) = (next, told);
                }
                assert_eq!(steps, count + 1);
            }
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
