//! The end of a server on an event loop: `on_closed` comes when no other callback is under way; those that still are at
//! the deadline of the stop are cancelled.

use super::super::calls::Stage;
use super::super::dispatcher::Dispatcher;
use super::super::enter::call_method;
use super::super::lock::lock;
use super::super::runner::Runner;
use super::super::waiting;
use super::event_loop::{Closing, EventLoop};
use super::line::Line;
use pyo3::exceptions::PyTimeoutError;
use pyo3::intern;
use pyo3::prelude::*;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a callback may take that says good-bye after the deadline of a stop, and one that was cancelled for it.
const GRACE: Duration = Duration::from_secs(1);

/// A runner of an event loop.
pub(super) trait Turning<'a> {
    fn event_loop(&self) -> &'a EventLoop;

    /// Whether it runs a step of a client's task.
    fn is_step(&self) -> bool;
}

impl EventLoop {
    /// The workers have ended.
    pub(super) fn begin_to_close(&self) {
        lock(&self.state).closing = Closing::Waiting;
    }

    /// Has a turn come in that time.
    fn look_again(&self, py: Python<'_>, delay: Duration) -> PyResult<()> {
        // A little late rather than a little early.
        let delay = delay.as_secs_f64() + 0.001;
        let event_loop = self.around.event_loop.bind(py);
        call_method(
            event_loop,
            intern!(py, "call_later"),
            (delay, self.again.get()),
        )
        .map(drop)
    }
}

/// Ends the server as soon as no callback is under way.
pub(super) fn try_to_close<'a, 'py, R>(dispatcher: &mut Dispatcher<'_, 'py, R>)
where
    R: Runner<'py> + Turning<'a>,
{
    let event_loop = dispatcher.runner.event_loop();
    let state = lock(&event_loop.state);
    let (mut closing, is_last, has_work) = (state.closing, state.is_last, !state.work.is_empty());
    drop(state);
    if has_work || matches!(closing, Closing::No | Closing::Done) {
        return;
    }
    if dispatcher.runner.is_step() {
        // This is nothing of the client's.
        return event_loop.shared.link.events.nudge();
    }
    let mut busy = event_loop.lines();
    busy.retain(|line| line.is_busy());
    if busy.is_empty() && !is_last {
        lock(&event_loop.state).is_last = true;
        let is_over = dispatcher.close_server();
        if event_loop.shared.link.is_forked() {
            return;
        }
        busy = event_loop.lines();
        busy.retain(|line| line.is_busy());
        if is_over && busy.is_empty() {
            return;
        }
        // It has its time, too.
        if closing != Closing::Waiting {
            closing = Closing::Late(Instant::now() + GRACE);
        }
    }
    let waiting = wait_for(dispatcher, closing, &busy);
    dispatcher.check(waiting);
}

/// Waits for callbacks, and cancels those for which it is too late.
fn wait_for<'a, 'py, R>(
    dispatcher: &mut Dispatcher<'_, 'py, R>,
    closing: Closing,
    busy: &[Arc<Line>],
) -> PyResult<()>
where
    R: Runner<'py> + Turning<'a>,
{
    let (py, event_loop) = (dispatcher.py, dispatcher.runner.event_loop());
    let core = &event_loop.shared.core;
    let now = Instant::now();
    let says_good_bye = |line: &&Arc<Line>| {
        let running = line.running();
        matches!(running, Some(Stage::Close | Stage::Closed | Stage::Error))
    };
    let (next, delay) = match closing {
        Closing::Waiting if core.is_overdue() => {
            for line in busy.iter().filter(|line| !says_good_bye(line)) {
                line.cancel(py)?;
            }
            (Closing::Late(now + GRACE), GRACE)
        }
        // Without a stop there is no deadline.
        Closing::Waiting => match core.time_left() {
            Some(left) => (Closing::Waiting, left),
            None => return Ok(()),
        },
        Closing::Late(due) if due <= now => {
            for line in busy {
                line.cancel(py)?;
            }
            (Closing::Cancelled(now + GRACE), GRACE)
        }
        Closing::Cancelled(due) if due <= now => {
            let name = busy
                .iter()
                .find_map(|line| line.running())
                .map_or("a callback", Stage::name);
            let error = PyTimeoutError::new_err(format!(
                "{name} still runs, though it was cancelled at the deadline of the stop"
            ));
            dispatcher.give_up(error);
            return Ok(());
        }
        Closing::Late(due) | Closing::Cancelled(due) => (closing, due - now),
        Closing::No | Closing::Done => return Ok(()),
    };
    lock(&event_loop.state).closing = next;
    event_loop.look_again(py, delay)
}

/// The server has ended, and its last callback.
pub(super) fn end(py: Python<'_>, event_loop: &EventLoop) {
    let (shared, around) = (&event_loop.shared, &event_loop.around);
    waiting::detached(py, || {
        // With no limit it is true: the workers have said that they have ended.
        let _ = shared.core.wait(None);
    });
    let mut state = lock(&event_loop.state);
    state.closing = Closing::Done;
    let failure = state.fatal.take();
    let lines = mem::take(&mut state.lines);
    drop(state);
    for line in lines.values() {
        line.end(py);
    }
    let failure = failure.map(|error| error.into_value(py));
    let closed = call_method(around.hooks.bind(py), intern!(py, "ended"), (failure,));
    shared.link.events.remove_doorbell();
    if !around.is_owned {
        waiting::detached(py, || shared.link.end_drain());
    }
    if let Err(error) = closed {
        error.write_unraisable(py, Some(around.hooks.bind(py)));
    }
}
