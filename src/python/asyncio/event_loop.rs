//! The event loop that a server is served on, and what waits for it there.

use super::super::calls::{Stage, Whose};
use super::super::doorbell::Doorbell;
use super::super::enter::call_method;
use super::super::events::Event;
use super::super::lock::lock;
use super::super::shared::Shared;
use super::super::values::NoReply;
use super::super::wanted::Whom;
use super::line::Line;
use crate::client::Client;
use crate::handler::Wants;
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
    /// The context of contextvars in which the server was started; `None` where the loop has no tasks, as Qt's: then
    /// callbacks are plain functions, called as they are.
    pub(in crate::python) context: Option<Py<PyAny>>,
    /// `echoserver.aio.Door`, or `echoserver.qt.door.Door`, which is told what Python code has to do.
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
    /// None of them where the loop has no tasks.
    pub(super) tasks: Option<Tasks>,
    pub(super) no_reply: Py<PyAny>,
    /// What the loop calls for a turn.
    pub(super) again: OnceLock<Py<PyAny>>,
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) state: Mutex<State>,
}

/// What of asyncio is needed for tasks.
pub(super) struct Tasks {
    pub(super) class: Py<PyAny>,
    pub(super) enter: Py<PyAny>,
    pub(super) leave: Py<PyAny>,
}

impl Tasks {
    fn new(py: Python<'_>) -> PyResult<Self> {
        let asyncio = py.import("asyncio")?;
        let tasks = py.import("asyncio.tasks")?;
        Ok(Self {
            class: asyncio.getattr("Task")?.unbind(),
            enter: tasks.getattr("_enter_task")?.unbind(),
            leave: tasks.getattr("_leave_task")?.unbind(),
        })
    }
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
    /// Clients whose plain callbacks run, the innermost last, and whether their lines know.
    under_way: Vec<(Arc<Client>, bool)>,
}

impl State {
    /// Clients whose lines have to know that a callback of theirs is under way: another runs while it does.
    pub(super) fn hold_under_way(&mut self) -> Vec<Arc<Client>> {
        let unknown = self.under_way.iter_mut().filter(|(_, is_held)| !is_held);
        unknown
            .map(|(client, is_held)| {
                *is_held = true;
                client.clone()
            })
            .collect()
    }

    /// Whether a plain callback of that line runs.
    pub(super) fn is_under_way(&self, key: u64) -> bool {
        self.under_way.iter().any(|(client, _)| client.id == key)
    }
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
        let tasks = around
            .context
            .as_ref()
            .map(|_| Tasks::new(py))
            .transpose()?;
        let no_reply = Py::new(py, NoReply::new())?.into_any();
        if !shared.link.drain.begin() {
            return Err(PyRuntimeError::new_err(
                "the server is not started, or run already",
            ));
        }
        let doorbell = shared.link.events.hang_doorbell(is_watched)?;
        if tasks.is_none() {
            let wants = Wants::PONG | Wants::PLAIN;
            shared.link.wanted.set(Whom::Door, wants);
        }
        Ok(Arc::new(Self {
            around,
            shared,
            task_of,
            tasks,
            no_reply,
            again: OnceLock::new(),
            doorbell,
            state: Mutex::default(),
        }))
    }

    /// A copy of the context in which the server was started, where the loop has tasks.
    pub(super) fn context<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let copy = |context: &Py<PyAny>| context.bind(py).call_method0(intern!(py, "copy"));
        self.around.context.as_ref().map(copy).transpose()
    }

    /// Calls a plain callback. It may run the loop: what comes of its client meanwhile waits until it has returned.
    pub(super) fn call<R>(&self, whose: Whose<'_>, call: impl FnOnce() -> R) -> R {
        let Whose::Client(client) = whose else {
            return call();
        };
        lock(&self.state).under_way.push((client.clone(), false));
        let called = call();
        let mut state = lock(&self.state);
        let is_held = state.under_way.pop().is_some_and(|(_, is_held)| is_held);
        let is_outer = !state.is_under_way(client.id);
        drop(state);
        if is_held && is_outer && !self.shared.link.is_forked() {
            let line = self.line(whose);
            line.rest();
            if line.has_queue() && line.park(None) {
                lock(&self.state).work.push_front(Work::Line(line));
            }
        }
        called
    }

    /// Whether callbacks are called as they are.
    pub(super) const fn is_plain(&self) -> bool {
        self.tasks.is_none()
    }

    /// What of asyncio is needed for tasks.
    ///
    /// # Errors
    /// `RuntimeError` where the loop has none: nothing is to be awaited there.
    pub(super) fn tasks(&self) -> PyResult<&Tasks> {
        let none = || PyRuntimeError::new_err("this event loop has no tasks");
        self.tasks.as_ref().ok_or_else(none)
    }

    /// The thread goes back to the loop, out of a step of that task if it is one: in a forked child asyncio has to be told.
    ///
    /// # Errors
    /// As asyncio's, if the child runs something else by now.
    pub(super) fn go_back(&self, py: Python<'_>, task: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if self.is_plain() || !self.shared.link.is_forked() {
            return Ok(());
        }
        let hooks = self.around.hooks.bind(py);
        call_method(hooks, intern!(py, "back_in_child"), (task,)).map(drop)
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
        for object in [&around.event_loop, &around.hooks, &around.server] {
            visit.call(object)?;
        }
        if let Some(context) = &around.context {
            visit.call(context)?;
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
