//! Callbacks on an event loop, and the tasks in which they go on.
//!
//! A coroutine is begun where its message is taken, as a step of the client's task, so that one that never waits costs
//! no turn of the loop. If it waits, the task takes it over: what it waits for is passed on to the task, so that
//! cancellation, `asyncio.timeout` and task groups in it are the task's own. The task is made for the first coroutine
//! of a client and ends with the client; one that was cancelled is not used again.

use super::super::answers::Answers;
use super::super::calls::{Args, Called, Stage, Whose};
use super::super::client::PyClient;
use super::super::coroutine::{self, Step};
use super::super::dispatcher::Dispatcher;
use super::super::lock::lock;
use super::super::log::{self, Failure};
use super::super::runner::Runner;
use super::super::shared::Shared;
use super::closing::{Turning, end, try_to_close};
use super::event_loop::{Busy, Closing, EventLoop, Work};
use super::inbox::{Held, Mail};
use super::line::{Coroutine, Line, is_cancelled, mark};
use crate::admission::Decision;
use crate::client::Client;
use crate::handler::Batch;
use pyo3::exceptions::PyStopIteration;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a turn takes the loop from others.
const TURN: Duration = Duration::from_millis(1);

/// The runner of one turn, or of a step of a task.
pub(super) struct LoopRunner<'a, 'py> {
    py: Python<'py>,
    pub(super) event_loop: &'a Arc<EventLoop>,
    /// Whose task it is a step of.
    line: Option<&'a Arc<Line>>,
    until: Instant,
    /// It is, whatever the time.
    is_over: bool,
    /// A callback of another turn runs the loop.
    is_nested: bool,
    /// A callback that does not end was given up.
    has_given_up: bool,
}

pub(super) type OnLoop<'a, 'py> = Dispatcher<'a, 'py, LoopRunner<'a, 'py>>;

impl<'py> Runner<'py> for LoopRunner<'_, 'py> {
    /// Calls a callback in a copy of the start's context, and drives what it returns if that is a coroutine.
    fn invoke(
        &mut self,
        shared: &Shared,
        stage: Stage,
        whose: Whose<'_>,
        callback: &Py<PyAny>,
        args: Args<'_, 'py>,
    ) -> Called {
        let begin = || {
            let context = self.event_loop.context(self.py)?;
            let reply = shared
                .link
                .call(stage.name(), || args.call_in(&context, callback))?;
            let coroutine = coroutine::awaited(&reply)?;
            Ok((context, reply, coroutine))
        };
        match begin() {
            Ok((context, _, Some(coroutine))) => {
                let running = Coroutine::new(stage, coroutine.unbind(), context.unbind());
                match whose {
                    Whose::Error => self.begin_later(running),
                    _ => self.begin(whose, running),
                }
            }
            Ok((_, reply, None)) => Some(Ok(reply.unbind())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Through the loop, whose handler of exceptions is the application's, unless the loop is the server's own.
    fn tell(&self, failure: &Failure<'py>) -> PyResult<()> {
        if self.event_loop.around.is_owned {
            return log::failure(failure);
        }
        let context = PyDict::new(self.py);
        context.set_item("message", format!("echoserver: {}", failure.text))?;
        context.set_item("exception", &failure.error)?;
        if let Some(callback) = &failure.callback {
            context.set_item("callback", callback)?;
        }
        if let Some(client) = &failure.client {
            context.set_item("client", client)?;
        }
        self.event_loop
            .around
            .event_loop
            .call_method1(
                self.py,
                intern!(self.py, "call_exception_handler"),
                (context,),
            )
            .map(drop)
    }

    fn is_time_up(&self, now: Instant) -> bool {
        self.is_over || now > self.until
    }

    fn pause(&mut self, shared: &Shared, client: &Arc<Client>, answers: Option<Answers>) {
        let line = self.event_loop.line(Whose::Client(client));
        if line.park(answers) {
            let work = &mut lock(&self.event_loop.state).work;
            if self.line.is_some() {
                work.push_back(Work::Line(line));
            } else {
                work.push_front(Work::Line(line));
            }
        }
        shared.link.events.nudge();
    }

    fn suspend(&mut self, client: &Arc<Client>, answers: Option<Answers>) {
        self.event_loop.line(Whose::Client(client)).keep(answers);
    }

    /// Tells who iterates over clients.
    fn opened(&mut self, shared: &Shared, client: &Arc<Client>) -> PyResult<()> {
        if !shared.link.is_iterated() {
            return Ok(());
        }
        let py = self.py;
        let object = shared.client(py, client)?;
        object.get().inbox(py)?;
        self.event_loop
            .around
            .hooks
            .call_method1(py, intern!(py, "came"), (object, Held::new(client)))
            .map(drop)
    }

    fn is_iterated(&self, shared: &Shared) -> bool {
        shared.link.is_iterated()
    }

    fn deliver(&mut self, shared: &Shared, client: &Arc<Client>, batch: Batch) -> PyResult<()> {
        let py = self.py;
        let object = shared.client(py, client)?;
        let mail = Py::new(py, Mail::new(client, batch))?;
        let inbox = object.get().inbox(py)?;
        inbox.call_method1(intern!(py, "push"), (mail,)).map(drop)
    }

    /// Who iterates over its messages gets those that are left.
    fn closed(&mut self, shared: &Shared, client: &Arc<Client>) -> PyResult<()> {
        if !shared.link.is_iterated() {
            return Ok(());
        }
        let py = self.py;
        let object = shared.client(py, client)?;
        let inbox = object.get().inbox(py)?;
        inbox.call_method0(intern!(py, "end")).map(drop)
    }

    fn ended(&mut self, client: &Arc<Client>) {
        self.event_loop.end_line(self.py, client.id);
    }

    fn may_finish(&mut self) -> bool {
        self.event_loop.begin_to_close();
        false
    }

    fn finished(&mut self) {
        lock(&self.event_loop.state).is_over = true;
    }

    fn give_up(&mut self) {
        self.has_given_up = true;
    }
}

impl<'a> Turning<'a> for LoopRunner<'a, '_> {
    fn event_loop(&self) -> &'a EventLoop {
        self.event_loop
    }

    fn is_step(&self) -> bool {
        self.line.is_some()
    }
}

impl LoopRunner<'_, '_> {
    /// In a task of its own, from the next turn of the loop on: this may be a step of another.
    fn begin_later(&self, running: Coroutine) -> Called {
        let (py, event_loop) = (self.py, self.event_loop);
        let line = event_loop.line(Whose::Error);
        if let Err(error) = task(py, event_loop, &line) {
            event_loop.end_line(py, line.key);
            return Some(Err(error));
        }
        line.take();
        line.keep_running(running);
        None
    }

    /// The first step, in the name of the client's task.
    fn begin(&self, whose: Whose<'_>, running: Coroutine) -> Called {
        let (py, event_loop, name) = (self.py, self.event_loop, running.stage.name());
        let shared = &event_loop.shared;
        let line = event_loop.line(whose);
        line.take();
        let is_step = self.line.is_some();
        let begin = || {
            if is_step {
                return shared.link.call(name, || Ok(running.step(py, None)));
            }
            let task = task(py, event_loop, &line)?;
            let arguments = (&event_loop.around.event_loop, task);
            event_loop
                .enter_task
                .call1(py, (arguments.0, &arguments.1))?;
            let step = shared.link.call(name, || Ok(running.step(py, None)));
            event_loop
                .leave_task
                .call1(py, (arguments.0, &arguments.1))?;
            step
        };
        let outcome = begin();
        if !matches!(outcome, Ok(Step::Yielded(_))) {
            line.rest();
        }
        if matches!(whose, Whose::Request(_)) && !matches!(outcome, Ok(Step::Yielded(_))) {
            event_loop.end_line(py, line.key);
        }
        match outcome {
            Ok(Step::Done(result)) => Some(result),
            Ok(Step::Yielded(yielded)) => {
                line.keep_waiting(running, yielded.into_bound(py));
                if is_step {
                    return None;
                }
                // A task that can't be woken is one of a closed loop.
                let _ = line.wake(py);
                None
            }
            Err(error) => {
                // It was not begun.
                let _ = running.object.call_method0(py, intern!(py, "close"));
                Some(Err(error))
            }
        }
    }
}

/// A dispatcher for a turn, or for a step of the task of `line`.
pub(super) fn dispatcher<'a, 'py>(
    py: Python<'py>,
    event_loop: &'a Arc<EventLoop>,
    line: Option<&'a Arc<Line>>,
) -> OnLoop<'a, 'py> {
    let mut state = lock(&event_loop.state);
    let fatal = mem::take(&mut state.fatal);
    let is_nested = state.busy != Busy::No;
    if !is_nested {
        state.busy = Busy::Yes;
    }
    drop(state);
    let runner = LoopRunner {
        py,
        event_loop,
        line,
        until: Instant::now() + TURN,
        is_over: false,
        is_nested,
        has_given_up: false,
    };
    Dispatcher::new(py, &event_loop.shared, runner, fatal)
}

/// Keeps what lasts.
pub(super) fn end_turn(dispatcher: OnLoop<'_, '_>) {
    let (py, event_loop) = (dispatcher.py, dispatcher.runner.event_loop);
    let is_nested = dispatcher.runner.is_nested;
    let mut is_last = dispatcher.runner.has_given_up;
    let mut state = lock(&event_loop.state);
    if !is_nested && mem::take(&mut state.busy) == Busy::Due {
        event_loop.doorbell.ring();
    }
    if let Some(fatal) = dispatcher.into_fatal() {
        state.fatal.get_or_insert(fatal);
    }
    if state.is_over && state.closing != Closing::Done {
        // What `on_closed` has raised may be with `on_error`.
        is_last |= !state.lines.values().any(|line| line.is_busy());
    }
    drop(state);
    if is_last {
        end(py, event_loop);
    }
}

/// Goes on with a line whose time was up.
pub(super) fn unpark(dispatcher: &mut OnLoop<'_, '_>, line: &Arc<Line>) {
    line.rest();
    if let (Whose::Client(client), Some(answers)) = (line.whose(), line.take_answers()) {
        lock(&dispatcher.shared.link.outgoing).begin(answers);
        dispatcher.answer_all(client);
    }
    go_on(dispatcher, line);
    if line.is_empty() {
        lock(&dispatcher.runner.event_loop.state)
            .lines
            .remove(&line.key);
    }
}

/// What has waited behind a callback that has ended now.
pub(super) fn go_on(dispatcher: &mut OnLoop<'_, '_>, line: &Arc<Line>) {
    let event_loop = dispatcher.runner.event_loop;
    while !line.is_busy() {
        let Some(event) = line.pop() else { break };
        if dispatcher.runner.is_time_up(dispatcher.clock) {
            line.push_front(event);
            if line.park(None) {
                lock(&event_loop.state)
                    .work
                    .push_back(Work::Line(line.clone()));
                event_loop.shared.link.events.nudge();
            }
            break;
        }
        dispatcher.handle(event);
        dispatcher.clock = Instant::now();
    }
    try_to_close(dispatcher);
}

/// The task in which coroutines of this line run, made if there is none that is fit for it.
fn task<'py>(
    py: Python<'py>,
    event_loop: &Arc<EventLoop>,
    line: &Arc<Line>,
) -> PyResult<Bound<'py, PyAny>> {
    let task = lock(&line.state)
        .task
        .as_ref()
        .map(|task| task.bind(py).clone());
    if let Some(task) = task {
        if !is_cancelled(&task)? {
            return Ok(task);
        }
        line.drop_task();
    }
    let number = {
        let mut state = lock(&line.state);
        state.number += 1;
        state.number
    };
    let pump = Pump {
        line: line.clone(),
        event_loop: event_loop.clone(),
        number,
    };
    let name = match line.whose() {
        Whose::Client(client) => format!("echoserver client {}", client.id),
        Whose::Request(request) => format!("echoserver request of {}", request.peer),
        Whose::Server => "echoserver".to_owned(),
        Whose::Error => "echoserver on_error".to_owned(),
    };
    let options: Bound<'py, PyDict> = [("name", name)].into_py_dict(py)?;
    options.set_item("loop", &event_loop.around.event_loop)?;
    options.set_item("context", event_loop.context(py)?)?;
    let task = event_loop
        .task_class
        .bind(py)
        .call((pump,), Some(&options))?;
    lock(&line.state).task = Some(task.clone().unbind());
    Ok(task)
}

/// The coroutine of a task in which the callbacks of one client run.
#[pyclass(frozen, name = "Callbacks", module = "echoserver._core")]
pub(in crate::python) struct Pump {
    line: Arc<Line>,
    event_loop: Arc<EventLoop>,
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

    /// A step of it.
    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        // A task sends None.
        let _ = value;
        self.advance(py, None)?
            .ok_or_else(|| PyStopIteration::new_err(py.None()))
    }

    /// A step of it that begins with an exception.
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

    /// Ends it where it waits.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_current()
            && let Some(running) = self.line.take_running()
        {
            running.object.call_method0(py, intern!(py, "close"))?;
            self.line.rest();
        }
        Ok(())
    }

    /// Whether it runs the callbacks of this client.
    fn is_of(&self, client: &PyClient) -> bool {
        matches!(self.line.whose(), Whose::Client(own) if Arc::ptr_eq(own, &client.client))
    }

    fn __repr__(&self) -> String {
        let what = self.line.running().map_or("none", Stage::name);
        match self.line.whose() {
            Whose::Client(client) => format!("<callbacks of client {}: {what}>", client.id),
            Whose::Request(request) => format!("<callbacks of {}: {what}>", request.peer),
            Whose::Server | Whose::Error => format!("<callbacks of the server: {what}>"),
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
        let event_loop = &self.event_loop;
        if event_loop.is_over() {
            // The server has given this callback up.
            self.line.abandon(py);
            return thrown.map_or(Ok(None), Err);
        }
        let Some(mut running) = self.line.take_running() else {
            if let Some(error) = thrown {
                self.line.drop_task();
                return Err(error);
            }
            return self.rest(py);
        };
        if let Some(yielded) = running.yielded.take() {
            // Cancelled before the task knew what to cancel: asyncio does that first, too.
            let is_passed_on = thrown.as_ref().is_none_or(|error| {
                is_cancellation(py, error)
                    && cancel(yielded.object.bind(py), error).unwrap_or(false)
            });
            if is_passed_on {
                lock(&self.line.state).running = Some(running);
                return yielded.give(py).map(Some);
            }
        }
        let mut dispatcher = dispatcher(py, event_loop, Some(&self.line));
        let link = &event_loop.shared.link;
        let outcome = link.call(running.stage.name(), || Ok(running.step(py, thrown)));
        let result = match outcome {
            Ok(Step::Yielded(yielded)) => {
                lock(&self.line.state).running = Some(running);
                end_turn(dispatcher);
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
                    _ => Ok(event_loop.nothing(py)),
                }
            }
            result => result,
        };
        if is_cancelled {
            // What follows gets another task.
            dispatcher.runner.is_over = true;
            self.line.drop_task();
        }
        self.line.rest();
        if let Some(answers) = self.line.take_answers() {
            lock(&link.outgoing).begin(answers);
        }
        dispatcher.finish(running.stage, self.line.whose(), result);
        if let Whose::Request(_) | Whose::Error = self.line.whose() {
            event_loop.end_line(py, self.line.key);
        }
        go_on(&mut dispatcher, &self.line);
        end_turn(dispatcher);
        match cancellation {
            Some(error) => Err(error),
            None if is_cancelled => Ok(None),
            None => self.rest(py),
        }
    }

    /// What the task waits for when it has done what there was to do.
    fn rest(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
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
        let wake = self
            .event_loop
            .around
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

/// Cancels what a task waits for, with the message of the task's own cancellation: anyio knows its own by it.
fn cancel(awaited: &Bound<'_, PyAny>, error: &PyErr) -> PyResult<bool> {
    let py = awaited.py();
    let args = error.value(py).getattr(intern!(py, "args"))?;
    let message = args.get_item(0).ok();
    let options = [("msg", message)].into_py_dict(py)?;
    awaited
        .call_method(intern!(py, "cancel"), (), Some(&options))?
        .is_truthy()
}
