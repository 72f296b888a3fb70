//! The asyncio door: the dispatcher as turns on an event loop, which a byte on a socket pair starts, once for all that is
//! queued. Coroutines go on in tasks (`line`); what has to cross from one loop to another is rare (`crossing`).
//!
//! Everything here but the reader's end happens on the thread of the loop. No lock is held while Python code runs.

mod closing;
pub(super) mod crossing;
pub(super) mod inbox;
pub(super) mod line;

use self::closing::Closing;
use self::inbox::Mail;
use self::line::{Line, Running};
use super::client::PyClient;
use super::coroutine::{self, Step};
use super::dispatcher::{Args, Called, Dispatcher, Lasting, NoReply, Stage, Whose, to_python};
use super::doorbell::Doorbell;
use super::errors;
use super::link::{Event, lock};
use super::server::PyServer;
use crate::client::Client;
use crate::handler::Batch;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a turn takes the loop from others.
const TURN: Duration = Duration::from_millis(1);
/// The line of the server's own callback; those of clients have their numbers, from 1.
const SERVER: u64 = 0;
/// The last line of an upgrade request, which has none yet; the next ones count down.
const REQUESTS: u64 = u64::MAX;

/// The loop that a server is served on, and what waits for it there.
pub(super) struct Door {
    event_loop: Py<PyAny>,
    /// The context of contextvars in which the server was started.
    context: Py<PyAny>,
    task_class: Py<PyAny>,
    enter_task: Py<PyAny>,
    leave_task: Py<PyAny>,
    no_reply: Py<PyAny>,
    /// `echoserver.aio.Door`, which is told what Python code has to do.
    hooks: Py<PyAny>,
    server: Py<PyServer>,
    /// Whether the end of the server is its thread's, which goes on after the loop.
    is_owned: bool,
    doorbell: Arc<Doorbell>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    lines: HashMap<u64, Arc<Line>>,
    /// Lines of requests so far.
    requests: u64,
    lasting: Lasting,
    closing: Closing,
    /// `on_closed` was called.
    is_last: bool,
    busy: Busy,
}

/// Whether a turn, or a step of a task, is under way at the moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Busy {
    #[default]
    No,
    Yes,
    /// Its callback runs the loop: a turn was refused meanwhile.
    Due,
}

/// What a turn finds to do.
enum Work {
    Event(Event),
    /// A line whose time was up.
    Line(Arc<Line>),
}

/// A turn of a dispatcher on an event loop.
pub(super) struct Turn<'a> {
    door: &'a Arc<Door>,
    /// Whose task it is a step of.
    line: Option<&'a Arc<Line>>,
    until: Instant,
    /// It is, whatever the time.
    is_over: bool,
    /// A callback of another turn runs the loop.
    is_nested: bool,
}

impl Door {
    /// Makes this thread's event loop the one that runs the dispatcher of `server`.
    pub(super) fn open(
        server: &Bound<'_, PyServer>,
        event_loop: Py<PyAny>,
        context: Py<PyAny>,
        hooks: Py<PyAny>,
        is_watched: bool,
        is_owned: bool,
    ) -> PyResult<Reader> {
        let (py, own) = (server.py(), server.get());
        let asyncio = py.import("asyncio")?;
        let tasks = py.import("asyncio.tasks")?;
        let no_reply = Py::new(py, NoReply::new())?.into_any();
        if !own.link.begin_drain() {
            return Err(PyRuntimeError::new_err(
                "the server is not started, or run already",
            ));
        }
        let doorbell = own.link.hang_doorbell(is_watched)?;
        let door = Self {
            event_loop,
            context,
            task_class: asyncio.getattr("Task")?.unbind(),
            enter_task: tasks.getattr("_enter_task")?.unbind(),
            leave_task: tasks.getattr("_leave_task")?.unbind(),
            no_reply,
            hooks,
            server: server.clone().unbind(),
            is_owned,
            doorbell: doorbell.clone(),
            state: Mutex::default(),
        };
        *lock(&own.door) = Some(Arc::new(door));
        Ok(Reader {
            server: server.clone().unbind(),
            doorbell,
        })
    }

    /// A copy of the context in which the server was started.
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.context.bind(py).call_method0(intern!(py, "copy"))
    }

    /// What a callback that was cancelled is taken to have answered.
    fn nothing(&self, py: Python<'_>) -> Py<PyAny> {
        self.no_reply.clone_ref(py)
    }

    fn dispatcher<'a, 'py>(
        self: &'a Arc<Self>,
        server: &'a Bound<'py, PyServer>,
        line: Option<&'a Arc<Line>>,
    ) -> Dispatcher<'a, 'py> {
        let mut state = lock(&self.state);
        let lasting = mem::take(&mut state.lasting);
        let is_nested = state.busy != Busy::No;
        if !is_nested {
            state.busy = Busy::Yes;
        }
        drop(state);
        let turn = Turn {
            door: self,
            line,
            until: Instant::now() + TURN,
            is_over: false,
            is_nested,
        };
        Dispatcher::new(server.py(), server.get(), Some(turn), lasting)
    }

    /// Keeps what lasts.
    fn end_turn(&self, mut dispatcher: Dispatcher<'_, '_>) {
        let is_nested = dispatcher.turn.as_ref().is_some_and(|turn| turn.is_nested);
        let mut state = lock(&self.state);
        if !is_nested && mem::take(&mut state.busy) == Busy::Due {
            self.doorbell.ring();
        }
        let lasting = mem::take(&mut dispatcher.lasting);
        if state.lasting.fatal.is_none() {
            state.lasting = lasting;
        }
    }

    /// What the reader and timers call.
    pub(super) fn turn(self: &Arc<Self>, server: &Bound<'_, PyServer>) {
        self.doorbell.hush();
        let mut state = lock(&self.state);
        if state.busy != Busy::No {
            // A callback runs the loop: what is queued waits until it has returned.
            state.busy = Busy::Due;
            return;
        }
        drop(state);
        server.get().link.move_drain();
        let mut dispatcher = self.dispatcher(server, None);
        dispatcher.run_turn();
        self.end_turn(dispatcher);
    }

    fn line(&self, whose: Whose<'_>) -> Arc<Line> {
        let mut state = lock(&self.state);
        let key = match whose {
            Whose::Server => SERVER,
            Whose::Client(client) => client.id,
            Whose::Request(_) => {
                state.requests += 1;
                REQUESTS - state.requests
            }
        };
        let line = state.lines.entry(key);
        line.or_insert_with(|| Line::new(key, whose)).clone()
    }

    /// Nothing follows on this line.
    fn end_line(&self, py: Python<'_>, key: u64) {
        let line = lock(&self.state).lines.remove(&key);
        if let Some(line) = line {
            line.end(py);
        }
    }

    fn lines(&self) -> Vec<Arc<Line>> {
        lock(&self.state).lines.values().cloned().collect()
    }

    /// The name of a callback that waits for something.
    pub(super) fn running_callback(&self) -> Option<&'static str> {
        let running = self.lines().iter().find_map(|line| line.running());
        running.map(Stage::name)
    }

    /// The loop is gone, and with it all that would have run on it.
    pub(super) fn abandon(&self, py: Python<'_>) {
        let state = mem::take(&mut *lock(&self.state));
        for line in state.lines.values() {
            line.abandon(py);
        }
    }
}

impl<'py> Dispatcher<'_, 'py> {
    fn door(&self) -> Option<Arc<Door>> {
        self.turn.as_ref().map(|turn| turn.door.clone())
    }

    fn run_turn(&mut self) {
        let Some(door) = self.door() else { return };
        let mut events = Vec::new();
        loop {
            let mut state = lock(&door.state);
            let Some(work) = state.work.pop_front() else {
                drop(state);
                self.link.take_now(&mut events);
                if events.is_empty() {
                    break;
                }
                lock(&door.state)
                    .work
                    .extend(events.drain(..).map(Work::Event));
                continue;
            };
            let line = match &work {
                Work::Event(event) if !state.lines.is_empty() => {
                    let id = event.client().map_or(SERVER, |client| client.id);
                    state.lines.get(&id).filter(|line| line.is_busy()).cloned()
                }
                _ => None,
            };
            drop(state);
            match (work, line) {
                (Work::Event(event), Some(line)) => line.push(event),
                (Work::Event(event), None) => self.handle(event),
                (Work::Line(line), _) => self.unpark(&line),
            }
            if self.link.is_forked() {
                return;
            }
            self.clock = Instant::now();
            if self.is_time_up() {
                // The loop comes again when others had their turn.
                door.doorbell.ring();
                break;
            }
        }
        self.try_to_close();
    }

    pub(super) fn is_time_up(&self) -> bool {
        self.turn
            .as_ref()
            .is_some_and(|turn| turn.is_over || self.clock > turn.until)
    }

    /// Whatever can go on in another turn does.
    fn hurry(&mut self) {
        if let Some(turn) = &mut self.turn {
            turn.is_over = true;
        }
    }

    /// The batch under way goes on in another turn.
    pub(super) fn pause(&mut self, client: &Arc<Client>) {
        let Some(turn) = &self.turn else { return };
        let answers = lock(&self.link.outgoing).end();
        let line = turn.door.line(Whose::Client(client));
        if line.park(answers) {
            let mut state = lock(&turn.door.state);
            if turn.line.is_some() {
                state.work.push_back(Work::Line(line));
            } else {
                state.work.push_front(Work::Line(line));
            }
        }
        self.link.nudge();
    }

    /// The batch under way goes on when the callback has ended that waits.
    pub(super) fn suspend(&mut self, client: &Arc<Client>) {
        let answers = lock(&self.link.outgoing).end();
        if let Some(door) = self.door() {
            door.line(Whose::Client(client)).keep(answers);
        }
    }

    /// Goes on with a line whose time was up.
    fn unpark(&mut self, line: &Arc<Line>) {
        line.rest();
        if let (Whose::Client(client), Some(answers)) = (line.whose(), line.take_answers()) {
            lock(&self.link.outgoing).begin(answers);
            self.answer_all(client);
        }
        self.go_on(line);
        if line.is_empty()
            && let Some(door) = self.door()
        {
            lock(&door.state).lines.remove(&line.key);
        }
    }

    /// What has waited behind a callback that has ended now.
    fn go_on(&mut self, line: &Arc<Line>) {
        while !line.is_busy() {
            let Some(event) = line.pop() else { break };
            if self.is_time_up() {
                line.push_front(event);
                if let Some(turn) = &self.turn
                    && line.park(None)
                {
                    lock(&turn.door.state)
                        .work
                        .push_back(Work::Line(line.clone()));
                    self.link.nudge();
                }
                break;
            }
            self.handle(event);
            self.clock = Instant::now();
        }
        self.try_to_close();
    }

    /// Calls a callback in a copy of the start's context, and drives what it returns if that is a coroutine.
    pub(super) fn invoke_on_loop(
        &mut self,
        stage: Stage,
        whose: Whose<'_>,
        callback: &Py<PyAny>,
        args: Args<'_, 'py>,
    ) -> Called {
        let door = self.door()?;
        let begin = || {
            let context = door.context(self.py)?;
            let reply = self.call(stage.name(), || args.call_in(&context, callback))?;
            let is_coroutine = coroutine::is_coroutine(&reply)?;
            Ok((context, reply, is_coroutine))
        };
        match begin() {
            Ok((context, coroutine, true)) => {
                let running = Running::new(stage, coroutine.unbind(), context.unbind());
                self.begin_coroutine(&door, whose, running)
            }
            Ok((_, reply, false)) => Some(Ok(reply.unbind())),
            Err(error) => Some(Err(error)),
        }
    }

    /// The first step, in the name of the client's task.
    fn begin_coroutine(&mut self, door: &Arc<Door>, whose: Whose<'_>, running: Running) -> Called {
        let (py, name) = (self.py, running.stage.name());
        let line = door.line(whose);
        line.take();
        let is_step = self.turn.as_ref().is_some_and(|turn| turn.line.is_some());
        let begin = || {
            if is_step {
                return self.call(name, || Ok(running.step(py, None)));
            }
            let task = line.task(py, &door.server, door)?;
            let arguments = (&door.event_loop, task);
            door.enter_task.call1(py, (arguments.0, &arguments.1))?;
            let step = self.call(name, || Ok(running.step(py, None)));
            door.leave_task.call1(py, (arguments.0, &arguments.1))?;
            step
        };
        let outcome = begin();
        if !matches!(outcome, Ok(Step::Yielded(_))) {
            line.rest();
        }
        if matches!(whose, Whose::Request(_)) && !matches!(outcome, Ok(Step::Yielded(_))) {
            door.end_line(py, line.key);
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
                let _ = running.coroutine.call_method0(py, intern!(py, "close"));
                Some(Err(error))
            }
        }
    }

    /// A client has come: tells who iterates over clients.
    pub(super) fn announce(&mut self, client: &Arc<Client>) {
        if !self.link.is_iterated() {
            return;
        }
        if let Some(door) = self.door() {
            let came = PyClient::of(self.py, self.server, client).and_then(|object| {
                object.get().inbox(self.py)?;
                door.hooks
                    .call_method1(self.py, intern!(self.py, "came"), (object,))
            });
            if let Err(error) = came {
                self.report_to(error, None);
            }
        }
    }

    /// Gives messages to who iterates over them; what is given back is for callbacks.
    pub(super) fn deliver(&mut self, client: &Arc<Client>, batch: Batch) -> Option<Batch> {
        if self.turn.is_none() || !self.link.is_iterated() {
            return Some(batch);
        }
        let py = self.py;
        if self.link.debug() {
            for (kind, payload) in &batch.messages {
                if let Ok(message) = to_python(py, *kind, &batch.wire[payload.clone()]) {
                    self.print_message(*kind, &message);
                }
            }
        }
        let delivered = PyClient::of(py, self.server, client).and_then(|object| {
            let mail = Py::new(py, Mail::new(client, batch))?;
            let inbox = object.get().inbox(py)?;
            inbox.call_method1(intern!(py, "push"), (mail,))
        });
        if let Err(error) = delivered {
            self.report_to(error, None);
        }
        None
    }

    /// A client is gone: who iterates over its messages gets those that are left.
    pub(super) fn end_messages(&mut self, client: &Arc<Client>) {
        let py = self.py;
        if self.turn.is_some() && self.link.is_iterated() {
            let ended = PyClient::of(py, self.server, client).and_then(|object| {
                let inbox = object.get().inbox(py)?;
                inbox.call_method0(intern!(py, "end"))
            });
            if let Err(error) = ended {
                self.report_to(error, None);
            }
        }
    }

    /// A client is gone, and its callbacks have ended.
    pub(super) fn forget(&self, client: &Arc<Client>) {
        if let Some(door) = self.door() {
            door.end_line(self.py, client.id);
        }
    }
}

/// What the loop calls when the doorbell rings. The loop has the only reference to it, so that its end, before that of
/// the server, says that the loop was closed.
#[pyclass(frozen, name = "Reader", module = "echoserver._core")]
pub(super) struct Reader {
    server: Py<PyServer>,
    doorbell: Arc<Doorbell>,
}

#[pymethods]
impl Reader {
    /// The descriptor to watch; None if a thread has to `wait`.
    fn fileno(&self) -> Option<i32> {
        self.doorbell.fileno()
    }

    /// Waits in a thread until there is something to do; false if nothing will be any more.
    fn wait(&self, py: Python<'_>) -> bool {
        py.detach(|| self.doorbell.wait())
    }

    /// Does what is queued.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let server = self.server.bind(py);
        let Some(door) = server.get().door() else {
            return Ok(());
        };
        if !server.get().link.is_forked() {
            door.turn(server);
            return Ok(());
        }
        if let Some(fileno) = self.doorbell.fileno() {
            // The sockets are the parent's, too.
            door.event_loop
                .call_method1(py, intern!(py, "remove_reader"), (fileno,))?;
        }
        Err(errors::forked())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            let server = self.server.get();
            if server.link.is_forked() {
                return;
            }
            if let Some(door) = server.door()
                && lock(&door.state).closing != Closing::Done
                && let Err(error) = door.hooks.call_method0(py, intern!(py, "lost"))
            {
                error.write_unraisable(py, Some(door.hooks.bind(py)));
            }
        });
    }
}
