//! Who runs the dispatcher of a server, and who waits for its end.

use super::crossing;
use super::lock::lock;
use crate::error::Error;
use crate::wakers::Wakers;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Whether somebody runs the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Never,
    /// The server is being started.
    Soon,
    /// The server was started; somebody will.
    Expected,
    Running(ThreadId),
    /// The callbacks have ended; those who wait for that are told.
    Ending,
    Done,
}

impl State {
    /// Whether its end will come.
    const fn is_expected(self) -> bool {
        matches!(self, Self::Soon | Self::Expected | Self::Running(_))
    }

    /// Whether it was.
    const fn has_ended(self) -> bool {
        matches!(self, Self::Ending | Self::Done)
    }
}

#[derive(Debug)]
pub(super) struct Drain {
    state: Mutex<State>,
    ended: Condvar,
    /// Who waits for that elsewhere than in a thread.
    awaiting: Mutex<Wakers>,
}

impl Drain {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::Never),
            ended: Condvar::new(),
            awaiting: Mutex::default(),
        })
    }

    /// The server is started by `start`, so that the dispatcher will be run.
    pub(super) fn expect(&self, start: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let is_first = match &mut *lock(&self.state) {
            State::Soon => return Err(Error::State("the server was started before")),
            state @ State::Never => {
                *state = State::Soon;
                true
            }
            State::Expected | State::Running(_) | State::Ending | State::Done => false,
        };
        // Before the start, from which on others may wait for the end.
        crossing::hold();
        let started = start();
        if is_first {
            *lock(&self.state) = match started {
                Ok(()) => State::Expected,
                Err(_) => State::Never,
            };
        }
        if started.is_err() {
            self.tell();
            crossing::release();
        }
        started
    }

    /// Makes the current thread the dispatcher's: `false` if another is or was.
    pub(super) fn begin(&self) -> bool {
        let mut state = lock(&self.state);
        if *state != State::Expected {
            return false;
        }
        *state = State::Running(thread::current().id());
        true
    }

    /// The event loop that runs the dispatcher runs in the current thread now.
    pub(super) fn move_here(&self) {
        let mut state = lock(&self.state);
        if let State::Running(thread) = &mut *state {
            *thread = thread::current().id();
        }
    }

    /// Nobody runs the dispatcher any more; `tell` tells those of it who do not wait here. Not to be called with the
    /// interpreter attached.
    pub(super) fn end(&self, tell: impl FnOnce()) {
        {
            let mut state = lock(&self.state);
            if state.has_ended() {
                return;
            }
            *state = State::Ending;
        }
        self.tell();
        tell();
        // All are told, for it waits until their tasks have ended.
        crossing::release();
        // Threads later: then this one needs nothing any more that a thread that forks may have while it waits for it.
        *lock(&self.state) = State::Done;
        self.ended.notify_all();
    }

    /// Wakes those who wait for that.
    fn tell(&self) {
        self.ended.notify_all();
        let awaiting = lock(&self.awaiting).take();
        awaiting.for_each(Waker::wake);
    }

    /// Whether the server was started.
    pub(super) fn is_started(&self) -> bool {
        *lock(&self.state) != State::Never
    }

    /// Whether the current thread runs the dispatcher.
    pub(super) fn is_here(&self) -> bool {
        *lock(&self.state) == State::Running(thread::current().id())
    }

    /// Whether the dispatcher runs, or will.
    pub(super) fn is_expected(&self) -> bool {
        lock(&self.state).is_expected()
    }

    /// Whether the dispatcher has ended.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.state).has_ended()
    }

    /// Waits until nobody runs the dispatcher: `false` at the deadline.
    pub(super) fn wait_ended(&self, timeout: Duration) -> bool {
        let state = lock(&self.state);
        let is_on = |state: &mut State| state.is_expected() || *state == State::Ending;
        let (_state, waited) = self
            .ended
            .wait_timeout_while(state, timeout, is_on)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    /// Ready when the dispatcher has ended. May be dropped at any time.
    pub(super) fn ended(self: &Arc<Self>) -> Ended {
        Ended {
            drain: self.clone(),
            key: None,
        }
    }
}

/// The wait for the end of the dispatcher, as a task does it.
#[derive(Debug)]
pub(super) struct Ended {
    drain: Arc<Drain>,
    key: Option<u64>,
}

impl Future for Ended {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { drain, key } = &mut *self;
        let state = lock(&drain.state);
        if !state.is_expected() {
            return Poll::Ready(());
        }
        lock(&drain.awaiting).keep(key, cx);
        Poll::Pending
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = lock(&self.drain.awaiting).forget(key);
            drop(waker);
        }
    }
}
