//! One client's callbacks on an event loop: in order, and in a task of its own once one of them waits.

use super::super::answers::Answers;
use super::super::calls::{Stage, Whose};
use super::super::coroutine::{Step, step};
use super::super::events::Event;
use super::super::lock::lock;
use crate::admission::Request;
use crate::client::Client;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// The callbacks of one client that are under way or wait for it; or that of an upgrade request or a failure; or the
/// server's own.
pub(super) struct Line {
    pub(super) key: u64,
    owner: Owner,
    pub(super) state: Mutex<State>,
}

/// As `Whose`, to be kept.
enum Owner {
    Server,
    Request(Arc<Request>),
    Client(Arc<Client>),
    Error,
}

#[derive(Default)]
pub(super) struct State {
    queue: VecDeque<Event>,
    /// The batch under way.
    answers: Option<Answers>,
    pub(super) running: Option<Coroutine>,
    stand: Stand,
    pub(super) task: Option<Py<PyAny>>,
    /// What the task waits for while there is nothing to do.
    pub(super) wake: Option<Py<PyAny>>,
    /// Counts the tasks.
    pub(super) number: u64,
    pub(super) is_over: bool,
}

/// The one place where a line stands: whoever finds it elsewhere than at rest leaves what there is to do in its queue.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// Nothing of it is under way.
    #[default]
    AtRest,
    /// In the work of the next turn, once.
    Parked,
    /// A callback of it runs, or waits for something.
    Taken,
}

/// A coroutine under way.
pub(super) struct Coroutine {
    pub(super) stage: Stage,
    pub(super) object: Py<PyAny>,
    /// The copy of the start's context that it runs in.
    pub(super) context: Py<PyAny>,
    /// What it waits for, while the task does not know of it yet.
    pub(super) yielded: Option<Yielded>,
}

/// Something that was yielded to a task, as asyncio's futures do: with a mark that it was awaited. Another task that
/// awaits the same future meanwhile would take the mark away, so it is kept apart until the task gets it.
pub(super) struct Yielded {
    pub(super) object: Py<PyAny>,
    is_marked: bool,
}

impl Yielded {
    fn take(object: Bound<'_, PyAny>) -> Self {
        let mark = intern!(object.py(), "_asyncio_future_blocking");
        let is_marked = object
            .getattr(mark)
            .and_then(|mark| mark.is_truthy())
            .unwrap_or(false)
            && object.setattr(mark, false).is_ok();
        Self {
            object: object.unbind(),
            is_marked,
        }
    }

    pub(super) fn give(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.is_marked {
            mark(self.object.bind(py))?;
        }
        Ok(self.object)
    }
}

pub(super) fn mark(future: &Bound<'_, PyAny>) -> PyResult<()> {
    future.setattr(intern!(future.py(), "_asyncio_future_blocking"), true)
}

impl Coroutine {
    pub(super) const fn new(stage: Stage, object: Py<PyAny>, context: Py<PyAny>) -> Self {
        Self {
            stage,
            object,
            context,
            yielded: None,
        }
    }

    /// Up to where it waits.
    pub(super) fn step(&self, py: Python<'_>, thrown: Option<PyErr>) -> Step {
        step(self.object.bind(py), self.context.bind(py), thrown)
    }
}

impl Line {
    pub(super) fn new(key: u64, whose: Whose<'_>) -> Arc<Self> {
        let owner = match whose {
            Whose::Server => Owner::Server,
            Whose::Request(request) => Owner::Request(request.clone()),
            Whose::Client(client) => Owner::Client(client.clone()),
            Whose::Error => Owner::Error,
        };
        Arc::new(Self {
            key,
            owner,
            state: Mutex::default(),
        })
    }

    pub(super) fn whose(&self) -> Whose<'_> {
        match &self.owner {
            Owner::Server => Whose::Server,
            Owner::Request(request) => Whose::Request(request),
            Owner::Client(client) => Whose::Client(client),
            Owner::Error => Whose::Error,
        }
    }

    /// Whether events have to wait.
    pub(super) fn is_busy(&self) -> bool {
        lock(&self.state).stand != Stand::AtRest
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.stand == Stand::AtRest && state.queue.is_empty() && state.task.is_none()
    }

    /// Whether something waits for its callback.
    pub(super) fn has_queue(&self) -> bool {
        !lock(&self.state).queue.is_empty()
    }

    /// A callback of it begins.
    pub(super) fn take(&self) {
        lock(&self.state).stand = Stand::Taken;
    }

    /// Nothing of it is under way.
    pub(super) fn rest(&self) {
        lock(&self.state).stand = Stand::AtRest;
    }

    /// It goes on in the next turn, with what is left of the batch: `false` if it stands there already.
    pub(super) fn park(&self, answers: Option<Answers>) -> bool {
        let mut state = lock(&self.state);
        if answers.is_some() {
            state.answers = answers;
        }
        std::mem::replace(&mut state.stand, Stand::Parked) != Stand::Parked
    }

    /// The callback that is under way.
    pub(super) fn running(&self) -> Option<Stage> {
        lock(&self.state).running.as_ref().map(|one| one.stage)
    }

    pub(super) fn push(&self, event: Event) {
        lock(&self.state).queue.push_back(event);
    }

    pub(super) fn push_front(&self, event: Event) {
        lock(&self.state).queue.push_front(event);
    }

    pub(super) fn pop(&self) -> Option<Event> {
        lock(&self.state).queue.pop_front()
    }

    pub(super) fn keep(&self, answers: Option<Answers>) {
        lock(&self.state).answers = answers;
    }

    pub(super) fn take_answers(&self) -> Option<Answers> {
        lock(&self.state).answers.take()
    }

    pub(super) fn take_running(&self) -> Option<Coroutine> {
        lock(&self.state).running.take()
    }

    /// A coroutine that its task begins.
    pub(super) fn keep_running(&self, running: Coroutine) {
        lock(&self.state).running = Some(running);
    }

    /// A coroutine that waits for `yielded` now.
    pub(super) fn keep_waiting(&self, mut running: Coroutine, yielded: Bound<'_, PyAny>) {
        running.yielded = Some(Yielded::take(yielded));
        lock(&self.state).running = Some(running);
    }

    pub(super) fn drop_task(&self) {
        let mut state = lock(&self.state);
        let old = (state.task.take(), state.wake.take());
        state.number += 1;
        drop(state);
        drop(old);
    }

    /// Has the task look at what there is to do.
    pub(super) fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let wake = lock(&self.state).wake.take();
        let Some(wake) = wake else {
            return Ok(());
        };
        let wake = wake.bind(py);
        if !wake.call_method0(intern!(py, "done"))?.is_truthy()? {
            wake.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(())
    }

    /// Cancels the callback that is under way.
    pub(super) fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let state = lock(&self.state);
        let task = state.task.as_ref().filter(|_| state.running.is_some());
        let task = task.map(|task| task.clone_ref(py));
        drop(state);
        if let Some(task) = task {
            task.call_method0(py, intern!(py, "cancel"))?;
        }
        Ok(())
    }

    /// Nothing follows: the task ends.
    pub(super) fn end(&self, py: Python<'_>) {
        lock(&self.state).is_over = true;
        // If the loop is closed, the task will never run, and so need not.
        let _ = self.wake(py);
    }

    /// For the collector; see `EventLoop::traverse`.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.state.try_lock() else {
            return Ok(());
        };
        for object in state.task.iter().chain(&state.wake) {
            visit.call(object)?;
        }
        if let Some(running) = &state.running {
            visit.call(&running.object)?;
            visit.call(&running.context)?;
            if let Some(yielded) = &running.yielded {
                visit.call(&yielded.object)?;
            }
        }
        Ok(())
    }

    /// The loop is gone: nothing of this runs any more, and nobody need hear that the task never ended.
    pub(super) fn abandon(&self, py: Python<'_>) {
        let old = std::mem::take(&mut *lock(&self.state));
        if let Some(task) = &old.task {
            // Where it can't be set, asyncio reports the task, which harms nobody.
            let _ = task.setattr(py, intern!(py, "_log_destroy_pending"), false);
        }
        drop(old);
    }
}

pub(super) fn is_cancelled(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    task.call_method0(intern!(task.py(), "cancelling"))?
        .is_truthy()
}
