//! One client's callbacks on an event loop: in order, and in a task of its own once one of them waits.
//!
//! A coroutine is begun where its message is taken, as a step of the client's task, so that one that never waits costs
//! no turn of the loop. If it waits, the task takes it over: what it waits for is passed on to the task, so that
//! cancellation, `asyncio.timeout` and task groups in it are the task's own. The task is made for the first coroutine
//! of a client and ends with the client; one that was cancelled is not used again.

use super::super::answers::Answers;
use super::super::client::PyClient;
use super::super::coroutine::{Step, step};
use super::super::dispatcher::{Stage, Whose};
use super::super::link::{Event, lock};
use super::super::server::PyServer;
use super::Door;
use crate::admission::{Decision, Request};
use crate::client::Client;
use pyo3::exceptions::PyStopIteration;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// The callbacks of one client that are under way or wait for it; or that of an upgrade request; or the server's own.
pub(in crate::python) struct Line {
    pub(super) key: u64,
    client: Option<Arc<Client>>,
    request: Option<Arc<Request>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Event>,
    /// The batch under way.
    answers: Option<Answers>,
    running: Option<Running>,
    place: Place,
    task: Option<Py<PyAny>>,
    /// What the task waits for while there is nothing to do.
    wake: Option<Py<PyAny>>,
    /// Counts the tasks.
    number: u64,
    is_over: bool,
}

/// The one place where a line stands: whoever finds it elsewhere than at rest leaves what there is to do in its queue.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing of it is under way.
    #[default]
    AtRest,
    /// In the work of the next turn, once.
    Parked,
    /// A callback of it runs, or waits for something.
    Taken,
}

/// A coroutine under way.
pub(super) struct Running {
    pub(super) stage: Stage,
    pub(super) coroutine: Py<PyAny>,
    /// The copy of the start's context that it runs in.
    pub(super) context: Py<PyAny>,
    /// What it waits for, while the task does not know of it yet.
    yielded: Option<Yielded>,
}

/// Something that was yielded to a task, as asyncio's futures do: with a mark that it was awaited. Another task that
/// awaits the same future meanwhile would take the mark away, so it is kept apart until the task gets it.
struct Yielded {
    object: Py<PyAny>,
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

    fn give(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.is_marked {
            mark(self.object.bind(py))?;
        }
        Ok(self.object)
    }
}

fn mark(future: &Bound<'_, PyAny>) -> PyResult<()> {
    future.setattr(intern!(future.py(), "_asyncio_future_blocking"), true)
}

impl Running {
    pub(super) const fn new(stage: Stage, coroutine: Py<PyAny>, context: Py<PyAny>) -> Self {
        Self {
            stage,
            coroutine,
            context,
            yielded: None,
        }
    }

    /// Up to where it waits.
    pub(super) fn step(&self, py: Python<'_>, thrown: Option<PyErr>) -> Step {
        step(self.coroutine.bind(py), self.context.bind(py), thrown)
    }
}

impl Line {
    pub(super) fn new(key: u64, whose: Whose<'_>) -> Arc<Self> {
        let (client, request) = match whose {
            Whose::Server => (None, None),
            Whose::Client(client) => (Some(client.clone()), None),
            Whose::Request(request) => (None, Some(request.clone())),
        };
        Arc::new(Self {
            key,
            client,
            request,
            state: Mutex::default(),
        })
    }

    pub(super) fn whose(&self) -> Whose<'_> {
        match (&self.client, &self.request) {
            (Some(client), _) => Whose::Client(client),
            (_, Some(request)) => Whose::Request(request),
            _ => Whose::Server,
        }
    }

    /// Whether events have to wait.
    pub(super) fn is_busy(&self) -> bool {
        lock(&self.state).place != Place::AtRest
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.place == Place::AtRest && state.queue.is_empty() && state.task.is_none()
    }

    /// A callback of it begins.
    pub(super) fn take(&self) {
        lock(&self.state).place = Place::Taken;
    }

    /// Nothing of it is under way.
    pub(super) fn rest(&self) {
        lock(&self.state).place = Place::AtRest;
    }

    /// It goes on in the next turn, with what is left of the batch: `false` if it stands there already.
    pub(super) fn park(&self, answers: Option<Answers>) -> bool {
        let mut state = lock(&self.state);
        if answers.is_some() {
            state.answers = answers;
        }
        std::mem::replace(&mut state.place, Place::Parked) != Place::Parked
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

    pub(super) fn take_running(&self) -> Option<Running> {
        lock(&self.state).running.take()
    }

    /// A coroutine that waits for `yielded` now.
    pub(super) fn keep_waiting(&self, mut running: Running, yielded: Bound<'_, PyAny>) {
        running.yielded = Some(Yielded::take(yielded));
        lock(&self.state).running = Some(running);
    }

    /// The task in which coroutines of this client run, made if there is none that is fit for it.
    pub(super) fn task<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        server: &Py<PyServer>,
        door: &Door,
    ) -> PyResult<Bound<'py, PyAny>> {
        let task = lock(&self.state)
            .task
            .as_ref()
            .map(|task| task.bind(py).clone());
        if let Some(task) = task {
            if !is_cancelled(&task)? {
                return Ok(task);
            }
            self.drop_task();
        }
        let number = {
            let mut state = lock(&self.state);
            state.number += 1;
            state.number
        };
        let pump = Pump {
            line: self.clone(),
            server: server.clone_ref(py),
            number,
        };
        let name = match self.whose() {
            Whose::Client(client) => format!("echoserver client {}", client.id),
            Whose::Request(request) => format!("echoserver request of {}", request.peer),
            Whose::Server => "echoserver".to_owned(),
        };
        let options: Bound<'py, PyDict> = [("name", name)].into_py_dict(py)?;
        options.set_item("loop", &door.event_loop)?;
        options.set_item("context", door.context(py)?)?;
        let task = door.task_class.bind(py).call((pump,), Some(&options))?;
        lock(&self.state).task = Some(task.clone().unbind());
        Ok(task)
    }

    fn drop_task(&self) {
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

fn is_cancelled(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    task.call_method0(intern!(task.py(), "cancelling"))?
        .is_truthy()
}

/// The coroutine of a client's task.
#[pyclass(frozen, name = "Callbacks", module = "echoserver._core")]
pub(in crate::python) struct Pump {
    line: Arc<Line>,
    server: Py<PyServer>,
    number: u64,
}

#[pymethods]
impl Pump {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.advance(py, None)
    }

    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        // A task sends None.
        let _ = value;
        self.advance(py, None)?
            .ok_or_else(|| PyStopIteration::new_err(py.None()))
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        // The exception has its own.
        let _ = traceback;
        let error = PyErr::from_value(value.unwrap_or(kind));
        self.advance(py, Some(error))?
            .ok_or_else(|| PyStopIteration::new_err(py.None()))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_current()
            && let Some(running) = self.line.take_running()
        {
            running.coroutine.call_method0(py, intern!(py, "close"))?;
            self.line.rest();
        }
        Ok(())
    }

    /// Whether it runs the callbacks of this client.
    fn is_of(&self, client: &PyClient) -> bool {
        let own = self.line.client.as_ref();
        own.is_some_and(|own| Arc::ptr_eq(own, &client.client))
    }

    fn __repr__(&self) -> String {
        let what = self.line.running().map_or("none", Stage::name);
        match self.line.whose() {
            Whose::Client(client) => format!("<callbacks of client {}: {what}>", client.id),
            Whose::Request(request) => format!("<callbacks of {}: {what}>", request.peer),
            Whose::Server => format!("<callbacks of the server: {what}>"),
        }
    }
}

impl Pump {
    fn is_current(&self) -> bool {
        lock(&self.line.state).number == self.number
    }

    /// A step of the task: what it has to wait for then, or `None` at its end.
    fn advance(&self, py: Python<'_>, thrown: Option<PyErr>) -> PyResult<Option<Py<PyAny>>> {
        if !self.is_current() {
            return thrown.map_or(Ok(None), Err);
        }
        let Some(door) = self.server.get().door() else {
            // The server has given this callback up.
            self.line.abandon(py);
            return thrown.map_or(Ok(None), Err);
        };
        let Some(mut running) = self.line.take_running() else {
            if let Some(error) = thrown {
                self.line.drop_task();
                return Err(error);
            }
            return self.rest(py, &door);
        };
        if let Some(yielded) = running.yielded.take() {
            // Cancelled before the task knew what to cancel: asyncio does that first, too.
            let is_passed_on = thrown.as_ref().is_none_or(|error| {
                is_cancellation(py, error)
                    && yielded
                        .object
                        .call_method0(py, intern!(py, "cancel"))
                        .and_then(|cancelled| cancelled.bind(py).is_truthy())
                        .unwrap_or(false)
            });
            if is_passed_on {
                lock(&self.line.state).running = Some(running);
                return yielded.give(py).map(Some);
            }
        }
        let server = self.server.bind(py);
        let mut dispatcher = door.dispatcher(server, Some(&self.line));
        let outcome = dispatcher.call(running.stage.name(), || Ok(running.step(py, thrown)));
        let result = match outcome {
            Ok(Step::Yielded(yielded)) => {
                lock(&self.line.state).running = Some(running);
                door.end_turn(dispatcher);
                return Ok(Some(yielded));
            }
            Ok(Step::Done(result)) => result,
            Err(error) => Err(error),
        };
        let task = lock(&self.line.state)
            .task
            .as_ref()
            .map(|task| task.clone_ref(py));
        let is_cancelled = match task {
            // Only tasks of ours, which have it.
            Some(task) => is_cancelled(task.bind(py)).unwrap_or(false),
            None => false,
        };
        let mut cancellation = None;
        let result = match result {
            Err(error) if is_cancelled && is_cancellation(py, &error) => {
                cancellation = Some(error);
                match self.line.whose() {
                    Whose::Request(request) => {
                        // It may be decided already: then nobody is there to be told.
                        let _ = request.decide(Decision::Fail);
                        Ok(py.None())
                    }
                    _ => Ok(door.nothing(py)),
                }
            }
            result => result,
        };
        if is_cancelled {
            // What follows gets another task.
            dispatcher.hurry();
            self.line.drop_task();
        }
        self.line.rest();
        if let Some(answers) = self.line.take_answers() {
            lock(&dispatcher.link.outgoing).begin(answers);
        }
        dispatcher.finish(running.stage, self.line.whose(), result);
        if let Whose::Request(_) = self.line.whose() {
            door.end_line(py, self.line.key);
        }
        dispatcher.go_on(&self.line);
        door.end_turn(dispatcher);
        match cancellation {
            Some(error) => Err(error),
            None if is_cancelled => Ok(None),
            None => self.rest(py, &door),
        }
    }

    /// What the task waits for when it has done what there was to do.
    fn rest(&self, py: Python<'_>, door: &Door) -> PyResult<Option<Py<PyAny>>> {
        let mut state = lock(&self.line.state);
        if let Some(running) = &mut state.running
            && let Some(yielded) = running.yielded.take()
        {
            drop(state);
            return yielded.give(py).map(Some);
        }
        if state.is_over {
            state.task = None;
            return Ok(None);
        }
        drop(state);
        let wake = door
            .event_loop
            .bind(py)
            .call_method0(intern!(py, "create_future"))?;
        mark(&wake)?;
        lock(&self.line.state).wake = Some(wake.clone().unbind());
        Ok(Some(wake.unbind()))
    }
}

fn is_cancellation(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<CancelledError>(py)
}
