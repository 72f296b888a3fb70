//! The event loop that a server is served on, and what waits for it there.

use super::super::calls::{Stage, Whose};
use super::super::doorbell::Doorbell;
use super::super::events::Event;
use super::super::lock::lock;
use super::super::shared::Shared;
use super::super::values::NoReply;
use super::line::Line;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

/// The line of the server's own callback; those of clients have their numbers, from 1.
pub(super) const SERVER: u64 = 0;
/// The last line of an upgrade request or a failure, which have no number; the next ones count down.
const UNNUMBERED: u64 = u64::MAX;

/// What a server finds where it is served.
pub(in crate::python) struct Surroundings {
    pub(in crate::python) event_loop: Py<PyAny>,
    /// The context of contextvars in which the server was started.
    pub(in crate::python) context: Py<PyAny>,
    /// `echoserver.aio.Door`, which is told what Python code has to do.
    pub(in crate::python) hooks: Py<PyAny>,
    /// Keeps what the callbacks belong to as long as they may be called.
    pub(in crate::python) server: Py<PyAny>,
    /// Whether the end of the server is its thread's, which goes on after the loop.
    pub(in crate::python) is_owned: bool,
}

/// Gives the task in which coroutines of a line run.
pub(super) type TaskOf =
    for<'py> fn(Python<'py>, &Arc<EventLoop>, &Arc<Line>) -> PyResult<Bound<'py, PyAny>>;

pub(in crate::python) struct EventLoop {
    pub(super) around: Surroundings,
    pub(super) shared: Arc<Shared>,
    /// Handed in: a task knows what runs callbacks, which asks for tasks.
    pub(super) task_of: TaskOf,
    pub(super) task_class: Py<PyAny>,
    pub(super) enter_task: Py<PyAny>,
    pub(super) leave_task: Py<PyAny>,
    pub(super) no_reply: Py<PyAny>,
    /// What the loop calls for a turn.
    pub(super) again: OnceLock<Py<PyAny>>,
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) work: VecDeque<Work>,
    pub(super) lines: HashMap<u64, Arc<Line>>,
    /// Lines of requests and failures so far.
    unnumbered: u64,
    /// What has ended the server.
    pub(super) fatal: Option<PyErr>,
    pub(super) closing: Closing,
    /// `on_closed` was called.
    pub(super) is_last: bool,
    /// It has ended.
    pub(super) is_over: bool,
    pub(super) busy: Busy,
}

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

/// Whether a turn, or a step of a task, is under way at the moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    #[default]
    No,
    Yes,
    /// Its callback runs the loop: a turn was refused meanwhile.
    Due,
}

/// What a turn finds to do.
pub(super) enum Work {
    Event(Event),
    /// A line whose time was up.
    Line(Arc<Line>),
}

impl EventLoop {
    /// Makes this thread's event loop the one that runs the dispatcher.
    pub(super) fn new(
        py: Python<'_>,
        shared: Arc<Shared>,
        around: Surroundings,
        is_watched: bool,
        task_of: TaskOf,
    ) -> PyResult<Arc<Self>> {
        let asyncio = py.import("asyncio")?;
        let tasks = py.import("asyncio.tasks")?;
        let no_reply = Py::new(py, NoReply::new())?.into_any();
        if !shared.link.drain.begin() {
            return Err(PyRuntimeError::new_err(
                "the server is not started, or run already",
            ));
        }
        let doorbell = shared.link.events.hang_doorbell(is_watched)?;
        Ok(Arc::new(Self {
            around,
            shared,
            task_of,
            task_class: asyncio.getattr("Task")?.unbind(),
            enter_task: tasks.getattr("_enter_task")?.unbind(),
            leave_task: tasks.getattr("_leave_task")?.unbind(),
            no_reply,
            again: OnceLock::new(),
            doorbell,
            state: Mutex::default(),
        }))
    }

    /// A copy of the context in which the server was started.
    pub(super) fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.around
            .context
            .bind(py)
            .call_method0(intern!(py, "copy"))
    }

    /// What a callback that was cancelled is taken to have answered.
    pub(super) fn nothing(&self, py: Python<'_>) -> Py<PyAny> {
        self.no_reply.clone_ref(py)
    }

    /// Whether the server has ended, or was given up: nothing runs here any more.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.state).closing == Closing::Done
    }

    pub(super) fn line(&self, whose: Whose<'_>) -> Arc<Line> {
        let mut state = lock(&self.state);
        let key = match whose {
            Whose::Server => SERVER,
            Whose::Client(client) => client.id,
            Whose::Request(_) | Whose::Error => {
                state.unnumbered += 1;
                UNNUMBERED - state.unnumbered
            }
        };
        let line = state.lines.entry(key);
        line.or_insert_with(|| Line::new(key, whose)).clone()
    }

    /// Nothing follows on this line.
    pub(super) fn end_line(&self, py: Python<'_>, key: u64) {
        let line = lock(&self.state).lines.remove(&key);
        if let Some(line) = line {
            line.end(py);
        }
    }

    pub(super) fn lines(&self) -> Vec<Arc<Line>> {
        lock(&self.state).lines.values().cloned().collect()
    }

    /// The name of a callback that waits for something.
    pub(in crate::python) fn running_callback(&self) -> Option<&'static str> {
        let running = self.lines().iter().find_map(|line| line.running());
        running.map(Stage::name)
    }

    /// For the collector, which finds a loop that nobody has any more; for one owner of this.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let around = &self.around;
        for object in [
            &around.event_loop,
            &around.context,
            &around.hooks,
            &around.server,
        ] {
            visit.call(object)?;
        }
        // Locked only by whoever uses it at this moment: then there are references from a running thread.
        if let Ok(state) = self.state.try_lock() {
            for line in state.lines.values() {
                line.traverse(visit)?;
            }
        }
        Ok(())
    }

    /// The loop is gone, and with it all that would have run on it.
    pub(in crate::python) fn abandon(&self, py: Python<'_>) {
        let over = State {
            closing: Closing::Done,
            ..State::default()
        };
        let state = mem::replace(&mut *lock(&self.state), over);
        for line in state.lines.values() {
            line.abandon(py);
        }
    }
}
