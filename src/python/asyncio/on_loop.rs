//! Callbacks on an event loop.
//!
//! A coroutine is begun where its message is taken, as a step of the client's task, so that one that never waits costs
//! no turn of the loop. If it waits, the task takes it over.

use super::super::answers::Answers;
use super::super::calls::{Args, Called, Stage, Whose};
use super::super::coroutine::{self, Step};
use super::super::dispatcher::Dispatcher;
use super::super::enter::call_method;
use super::super::events::Refusal;
use super::super::lock::lock;
use super::super::log::{self, Failure};
use super::super::runner::Runner;
use super::super::shared::Shared;
use super::closing::{Turning, end, try_to_close};
use super::event_loop::{Busy, Closing, EventLoop, Work};
use super::inbox::{Held, Mail};
use super::line::{Coroutine, Line};
use crate::client::Client;
use crate::handler::Batch;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
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
    pub(super) is_over: bool,
    /// A callback of another turn runs the loop.
    is_nested: bool,
    /// A callback that does not end was given up.
    has_given_up: bool,
}

pub(super) type OnLoop<'a, 'py> = Dispatcher<'a, 'py, LoopRunner<'a, 'py>>;

impl<'py> Runner<'py> for LoopRunner<'_, 'py> {
    const TAKES_TURNS: bool = true;

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
            let Some(context) = self.event_loop.context(self.py)? else {
                let call = || args.call(self.py, callback);
                let reply = self
                    .event_loop
                    .call(whose, || shared.link.call(stage.name(), call))?;
                let reply = coroutine::refuse(stage, callback.bind(self.py), reply)?;
                return Ok((None, reply.into_bound(self.py), None));
            };
            let reply = shared
                .link
                .call(stage.name(), || args.call_in(&context, callback))?;
            let coroutine = coroutine::awaited(&reply)?;
            Ok((Some(context), reply, coroutine))
        };
        match begin() {
            Ok((Some(context), _, Some(coroutine))) => {
                let running = Coroutine::new(stage, coroutine.unbind(), context.unbind());
                match whose {
                    Whose::Error => self.begin_later(running),
                    Whose::Server | Whose::Request(_) | Whose::Client(_) => {
                        self.begin(whose, running)
                    }
                }
            }
            Ok((_, reply, _)) => Some(Ok(reply.unbind())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Through the loop, whose handler of exceptions is the application's, unless the loop is the server's own or has none.
    fn tell(&self, failure: &Failure<'py>) -> PyResult<()> {
        if self.event_loop.around.is_owned || self.event_loop.is_plain() {
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
        let event_loop = self.event_loop.around.event_loop.bind(self.py);
        let how = intern!(self.py, "call_exception_handler");
        call_method(event_loop, how, (context,)).map(drop)
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
        let hooks = self.event_loop.around.hooks.bind(py);
        call_method(hooks, intern!(py, "came"), (object, Held::new(client))).map(drop)
    }

    fn is_iterated(&self, shared: &Shared) -> bool {
        shared.link.is_iterated()
    }

    fn deliver(&mut self, shared: &Shared, client: &Arc<Client>, batch: Batch) -> PyResult<()> {
        let py = self.py;
        let object = shared.client(py, client)?;
        let mail = Py::new(py, Mail::new(client, batch))?;
        let inbox = object.get().inbox(py)?;
        call_method(inbox, intern!(py, "push"), (mail,)).map(drop)
    }

    fn refused(&mut self, refusal: &Refusal) -> PyResult<()> {
        if refusal.was_in {
            return Ok(());
        }
        let Some(hooks) = self.plain_hooks() else {
            return Ok(());
        };
        let arguments = (refusal.event, &refusal.reason);
        call_method(hooks, intern!(self.py, "refused"), arguments).map(drop)
    }

    fn ponged(&mut self, shared: &Shared, client: &Arc<Client>, payload: &[u8]) -> PyResult<()> {
        let Some(hooks) = self.plain_hooks() else {
            return Ok(());
        };
        let py = self.py;
        let payload = PyBytes::new(py, payload);
        let arguments = (shared.client(py, client)?, payload);
        call_method(hooks, intern!(py, "ponged"), arguments).map(drop)
    }

    fn written(&mut self, shared: &Shared, client: &Arc<Client>) -> PyResult<()> {
        let Some(hooks) = self.plain_hooks() else {
            return Ok(());
        };
        let py = self.py;
        let client = shared.client(py, client)?;
        call_method(hooks, intern!(py, "written"), (client,)).map(drop)
    }

    /// Who iterates over its messages gets those that are left.
    fn closed(&mut self, shared: &Shared, client: &Arc<Client>) -> PyResult<()> {
        if !shared.link.is_iterated() {
            return Ok(());
        }
        let py = self.py;
        let object = shared.client(py, client)?;
        let inbox = object.get().inbox(py)?;
        call_method(inbox, intern!(py, "end"), ()).map(drop)
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

impl<'py> LoopRunner<'_, 'py> {
    /// Those of a plain event loop, which alone is told of what no callback is for.
    fn plain_hooks(&self) -> Option<&Bound<'py, PyAny>> {
        let event_loop = self.event_loop;
        let is_plain = event_loop.is_plain();
        is_plain.then(|| event_loop.around.hooks.bind(self.py))
    }

    /// In a task of its own, from the next turn of the loop on: this may be a step of another.
    fn begin_later(&self, running: Coroutine) -> Called {
        let (py, event_loop) = (self.py, self.event_loop);
        let line = event_loop.line(Whose::Error);
        if let Err(error) = (event_loop.task_of)(py, event_loop, &line) {
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
            let task = (event_loop.task_of)(py, event_loop, &line)?;
            let arguments = (&event_loop.around.event_loop, task);
            let tasks = event_loop.tasks()?;
            tasks.enter.call1(py, (arguments.0, &arguments.1))?;
            let step = shared.link.call(name, || Ok(running.step(py, None)));
            event_loop.go_back(py, Some(&arguments.1))?;
            tasks.leave.call1(py, (arguments.0, &arguments.1))?;
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
///
/// # Errors
/// In the child of a callback's fork: what that has raised to end it. All else is the parent's.
pub(super) fn end_turn(dispatcher: OnLoop<'_, '_>) -> PyResult<()> {
    let (py, event_loop) = (dispatcher.py, dispatcher.runner.event_loop);
    if event_loop.shared.link.is_forked() {
        return dispatcher.into_fatal().map_or(Ok(()), Err);
    }
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
    Ok(())
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
    let shared = &event_loop.shared;
    while !shared.link.is_forked() && !line.is_busy() {
        let Some(event) = line.pop() else { break };
        if dispatcher.runner.is_time_up(dispatcher.clock) {
            line.push_front(event);
            if line.park(None) {
                lock(&event_loop.state)
                    .work
                    .push_back(Work::Line(line.clone()));
                shared.link.events.nudge();
            }
            break;
        }
        dispatcher.handle(event);
        dispatcher.clock = Instant::now();
    }
    if !shared.link.is_forked() {
        try_to_close(dispatcher);
    }
}
