//! A clock that stands still until somebody moves it, for tests. Those who move it and the workers whose timers go by
//! it meet here; what is timed, and how, nobody here knows.
//!
//! Strategy. Each worker has a hand of the clock, which it moves between two things that it does: nothing sees the time
//! change under it. An advance goes in rounds: every worker is told a time, does what there is to do then, and answers.
//! The last one to answer has the next round begin. So nobody runs the clock, and an advance that nobody waits for any
//! more comes to its end as well. Its first rounds are at the old time, at which all is seen that clients have done
//! before. Then all hands show the new one, and what is due happens in further rounds, one due time after the other.

use crate::condition::wait_while;
use crate::wakers::Wakers;
use slab::Slab;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Rounds after which all is done that follows from what has happened: somebody is accepted, handed to another worker,
/// read from, and answered; each of that may take a round of its own.
const ROUNDS: usize = 4;
/// More of them, at the most, for a worker whose connections take turns at what takes a while. Only clients that go on
/// sending have so much.
const MOST: usize = 1000;

/// A clock that shows no other time before somebody advances it. Servers may share one.
///
/// ```
/// use echoserver::{config::Config, handler::Echo, manual_clock::ManualClock, server::Server, tungstenite};
/// use std::{sync::Arc, time::Duration};
///
/// let clock = Arc::new(ManualClock::new());
/// let hour = Duration::from_secs(3600);
/// let config = Config {
///     host: vec!["127.0.0.1".into()],
///     port: 0,
///     idle_timeout: Some(hour),
///     clock: Some(clock.clone()),
///     ..Config::default()
/// };
/// let server = Server::bind(config, Arc::new(Echo))?;
/// server.start()?;
/// let (mut client, _) = tungstenite::connect(format!("ws://{}/", server.address()))?;
/// assert!(clock.advance(hour).wait(None));
/// assert!(client.read()?.is_close());
/// assert_eq!(clock.shown(), hour);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<State>,
    ended: Condvar,
}

/// How late it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    /// What the clock shows, from which timers count.
    pub(crate) now: Instant,
    /// What was due by then has happened, or may now. Less than `now` only in an advance.
    pub(crate) reached: Instant,
}

#[derive(Debug)]
struct State {
    began: Instant,
    time: Time,
    /// By how much it is to be advanced, again and again; the first of that is under way.
    asked: VecDeque<Duration>,
    /// Advances that have ended.
    ended: u64,
    stage: Stage,
    /// Rounds that this stage has still, and those that it may have beyond them.
    rounds: usize,
    more: usize,
    hands: Slab<Told>,
    /// Those of them that have not answered.
    awaited: usize,
    /// Who waits for the end of an advance elsewhere than in a thread.
    tasks: Wakers,
}

/// How far an advance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is none.
    Still,
    /// What has happened before it is looked at.
    Before,
    /// The clock shows the new time.
    After,
}

/// What a worker has been told, and what it has answered.
#[derive(Debug, Default)]
struct Told {
    /// What it has not heard yet.
    time: Option<Time>,
    is_awaited: bool,
    first: Option<Instant>,
    is_busy: bool,
    waker: Option<Waker>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// It begins now, which it shows as nothing.
    #[must_use]
    pub fn new() -> Self {
        let began = Instant::now();
        let state = State {
            began,
            time: Time {
                now: began,
                reached: began,
            },
            asked: VecDeque::new(),
            ended: 0,
            stage: Stage::Still,
            rounds: 0,
            more: 0,
            hands: Slab::new(),
            awaited: 0,
            tasks: Wakers::default(),
        };
        Self {
            state: Mutex::new(state),
            ended: Condvar::new(),
        }
    }

    /// How far it was advanced in all.
    #[must_use]
    pub fn shown(&self) -> Duration {
        let state = self.lock();
        state.time.now.duration_since(state.began)
    }

    /// Advances it after those who have asked for that before. It is over when all workers have done what was due by
    /// then, whether or not somebody waits for that. Any thread; never blocks.
    #[must_use]
    pub fn advance(self: &Arc<Self>, by: Duration) -> Advance {
        let number = self.change(|state, woken| {
            state.asked.push_back(by);
            let number = state.ended + state.asked.len() as u64;
            if state.stage == Stage::Still {
                state.go_on(woken);
            }
            number
        });
        Advance {
            clock: self.clone(),
            number,
            key: None,
        }
    }

    /// A worker's hand, from now on.
    pub(crate) fn join(self: &Arc<Self>) -> Hand {
        let index = self.lock().hands.insert(Told::default());
        Hand {
            clock: self.clone(),
            index,
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, &mut Vec<Waker>) -> T) -> T {
        let mut woken = Vec::new();
        let mut state = self.lock();
        let ended = state.ended;
        let result = change(&mut state, &mut woken);
        if state.ended > ended {
            self.ended.notify_all();
            woken.extend(state.tasks.take());
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Goes on until somebody's answer is awaited, or there is nothing to do.
    fn go_on(&mut self, woken: &mut Vec<Waker>) {
        while self.awaited == 0 {
            if self.rounds > 0 {
                self.rounds -= 1;
                self.ask(woken);
            } else if self.more > 0 && self.hands.iter().any(|(_, told)| told.is_busy) {
                self.more -= 1;
                self.ask(woken);
            } else if !self.enter_next() {
                return;
            }
        }
    }

    /// What comes when all is done that was to be done; `false` if that is nothing.
    fn enter_next(&mut self) -> bool {
        (self.rounds, self.more) = (ROUNDS, MOST);
        match self.stage {
            Stage::Still if self.asked.is_empty() => {
                self.rounds = 0;
                return false;
            }
            Stage::Still => self.stage = Stage::Before,
            Stage::Before => {
                self.time.now += self.asked.front().copied().unwrap_or_default();
                self.stage = Stage::After;
                // Of everybody, to know what is due.
                self.rounds = 1;
            }
            Stage::After if self.time.reached < self.time.now => {
                let Time { now, reached } = self.time;
                let firsts = self.hands.iter().filter_map(|(_, told)| told.first);
                let first = firsts.filter(|first| *first > reached).min();
                self.time.reached = first.map_or(now, |first| first.min(now));
            }
            Stage::After => {
                self.asked.pop_front();
                self.ended += 1;
                self.stage = Stage::Still;
                self.rounds = 0;
            }
        }
        true
    }

    /// Has every worker do what there is to do.
    fn ask(&mut self, woken: &mut Vec<Waker>) {
        self.awaited = self.hands.len();
        for (_, told) in &mut self.hands {
            told.time = Some(self.time);
            told.is_awaited = true;
            woken.extend(told.waker.take());
        }
    }
}

/// What a worker has of the clock. It leaves when that is dropped.
#[derive(Debug)]
pub(crate) struct Hand {
    clock: Arc<ManualClock>,
    index: usize,
}

impl Hand {
    /// How late it is, for a worker that has been told nothing yet.
    pub(crate) fn time(&self) -> Time {
        self.clock.lock().time
    }

    /// What the worker is told; it has to answer then.
    pub(crate) fn poll_told(&self, cx: &Context<'_>) -> Poll<Time> {
        let mut state = self.clock.lock();
        let told = &mut state.hands[self.index];
        if let Some(time) = told.time.take() {
            return Poll::Ready(time);
        }
        told.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// It has done what there was to do at that time. `first` is when something is due next; `is_busy`: there is more
    /// that waits for nobody else.
    pub(crate) fn answer(&self, first: Option<Instant>, is_busy: bool) {
        self.clock.change(|state, woken| {
            let told = &mut state.hands[self.index];
            (told.first, told.is_busy) = (first, is_busy);
            told.is_awaited = false;
            state.awaited -= 1;
            state.go_on(woken);
        });
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let told = self.clock.change(|state, woken| {
            let told = state.hands.remove(self.index);
            if told.is_awaited {
                state.awaited -= 1;
                state.go_on(woken);
            }
            told
        });
        // After the lock: the runtime behind its waker may go with it.
        drop(told);
    }
}

/// An advance, and the wait for its end: of a task, which may drop it at any time, or of a thread.
#[derive(Debug)]
pub struct Advance {
    clock: Arc<ManualClock>,
    number: u64,
    key: Option<u64>,
}

impl Advance {
    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.clock.lock().ended >= self.number
    }

    /// Waits in this thread: `false` at the deadline. `None` waits for ever.
    #[must_use]
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let is_on = |state: &mut State| state.ended < self.number;
        let state = wait_while(&self.clock.ended, self.clock.lock(), deadline, is_on);
        state.ended >= self.number
    }

    /// Ready when it has ended.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.clock.lock();
        if state.ended >= self.number {
            return Poll::Ready(());
        }
        state.tasks.keep(&mut self.key, cx);
        Poll::Pending
    }
}

impl Drop for Advance {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.clock.lock().tasks.forget(key);
            // After the lock, as above.
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests;
