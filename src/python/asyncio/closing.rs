//! The end of a server on an event loop: `on_closed` comes when no other callback is under way; those that still are at
//! the deadline of the stop are cancelled.

use super::super::dispatcher::{Args, Dispatcher, Stage, Whose};
use super::super::link::lock;
use super::Door;
use super::line::Line;
use pyo3::exceptions::PyTimeoutError;
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a callback may take that says good-bye after the deadline of a stop, and one that was cancelled for it.
const GRACE: Duration = Duration::from_secs(1);
/// How far the end of the server is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    #[default]
    No,
    /// The workers have ended; callbacks may not have.
    Waiting,
    /// The deadline is over: callbacks were cancelled, except those that say good-bye, which have until then.
    Late(Instant),
    /// So were those.
    Cancelled(Instant),
    Done,
}

impl Dispatcher<'_, '_> {
    /// The workers have ended.
    pub(in crate::python) fn begin_to_close(&mut self) {
        if let Some(door) = self.door() {
            lock(&door.state).closing = Closing::Waiting;
        }
        self.try_to_close();
    }

    /// Ends the server as soon as no callback is under way.
    pub(super) fn try_to_close(&mut self) {
        let Some(door) = self.door() else { return };
        let state = lock(&door.state);
        let (mut closing, is_last, has_work) =
            (state.closing, state.is_last, !state.work.is_empty());
        drop(state);
        if has_work || matches!(closing, Closing::No | Closing::Done) {
            return;
        }
        if self.turn.as_ref().is_some_and(|turn| turn.line.is_some()) {
            // In a step of a client's task; this is nothing of the client's.
            return self.link.nudge();
        }
        let mut busy = door.lines();
        busy.retain(|line| line.is_busy());
        if busy.is_empty() && !is_last {
            lock(&door.state).is_last = true;
            if let Some(result) = self.invoke(Stage::Closed, Whose::Server, Args::None) {
                return self.finish(Stage::Closed, Whose::Server, result);
            }
            // It has its time, too.
            if closing != Closing::Waiting {
                closing = Closing::Late(Instant::now() + GRACE);
            }
            busy = door.lines();
        }
        if let Err(error) = self.wait_for(&door, closing, &busy) {
            self.report_to(error, None);
        }
    }

    /// Waits for callbacks, and cancels those for which it is too late.
    fn wait_for(&mut self, door: &Door, closing: Closing, busy: &[Arc<Line>]) -> PyResult<()> {
        let now = Instant::now();
        let says_good_bye =
            |line: &&Arc<Line>| matches!(line.running(), Some(Stage::Close | Stage::Closed));
        let (next, delay) = match closing {
            Closing::Waiting if self.server.core.is_overdue() => {
                for line in busy.iter().filter(|line| !says_good_bye(line)) {
                    line.cancel(self.py)?;
                }
                (Closing::Late(now + GRACE), GRACE)
            }
            // Without a stop there is no deadline.
            Closing::Waiting => match self.server.core.time_left() {
                Some(left) => (Closing::Waiting, left),
                None => return Ok(()),
            },
            Closing::Late(due) if due <= now => {
                for line in busy {
                    line.cancel(self.py)?;
                }
                (Closing::Cancelled(now + GRACE), GRACE)
            }
            Closing::Cancelled(due) if due <= now => {
                self.give_up_on(busy);
                return Ok(());
            }
            Closing::Late(due) | Closing::Cancelled(due) => (closing, due - now),
            Closing::No | Closing::Done => return Ok(()),
        };
        lock(&door.state).closing = next;
        self.look_again(door, delay)
    }

    /// Has a turn come in that time.
    fn look_again(&self, door: &Door, delay: Duration) -> PyResult<()> {
        let py = self.py;
        let turn = door.server.bind(py).getattr(intern!(py, "turn"))?;
        // A little late rather than a little early.
        let delay = delay.as_secs_f64() + 0.001;
        door.event_loop
            .call_method1(py, intern!(py, "call_later"), (delay, turn))
            .map(drop)
    }

    /// A callback does not end though it was cancelled.
    fn give_up_on(&mut self, busy: &[Arc<Line>]) {
        let name = busy
            .iter()
            .find_map(|line| line.running())
            .map_or("a callback", Stage::name);
        let error = PyTimeoutError::new_err(format!(
            "{name} still runs, though it was cancelled at the deadline of the stop"
        ));
        self.lasting.fatal.get_or_insert(error);
        self.end();
    }

    /// The server has ended, and its last callback.
    pub(in crate::python) fn end(&mut self) {
        let py = self.py;
        let Some(door) = self.door() else { return };
        lock(&door.state).closing = Closing::Done;
        py.detach(|| {
            // With no limit it is true: the workers have said that they have ended.
            let _ = self.server.core.wait(None);
        });
        // Unless the loop's own thread still has something to do.
        *lock(&self.server.door) = None;
        for line in door.lines() {
            line.end(py);
        }
        let failure = self.lasting.fatal.take().map(|error| error.into_value(py));
        let closed = door
            .hooks
            .call_method1(py, intern!(py, "ended"), (failure,));
        self.link.remove_doorbell();
        if !door.is_owned {
            py.detach(|| self.link.end_drain());
        }
        if let Err(error) = closed {
            self.report_to(error, None);
        }
    }
}
