//! Turns on an event loop: what starts them, and what is done in one.

use super::super::calls::Whose;
use super::super::events::Event;
use super::super::lock::lock;
use super::super::runner::Runner;
use super::super::shared::Shared;
use super::closing::try_to_close;
use super::event_loop::{Busy, EventLoop, SERVER, Surroundings, Work};
use super::on_loop::{OnLoop, dispatcher, end_turn, unpark};
use super::task::task;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// What the reader and timers call.
///
/// # Errors
/// As `end_turn`.
fn turn(py: Python<'_>, event_loop: &Arc<EventLoop>) -> PyResult<()> {
    if !event_loop.is_plain() {
        event_loop.doorbell.hush();
    }
    let mut state = lock(&event_loop.state);
    if state.busy != Busy::No && !event_loop.is_plain() {
        // A callback runs the loop: what is queued waits until it has returned.
        state.busy = Busy::Due;
        return Ok(());
    }
    // There, as with a dialog, others are served meanwhile, and not the clients whose callback it is.
    let held = state.hold_under_way();
    drop(state);
    for client in held {
        event_loop.line(Whose::Client(&client)).take();
    }
    if event_loop.is_over() {
        event_loop.doorbell.hush();
        return Ok(());
    }
    event_loop.shared.link.drain.move_here();
    let mut dispatcher = dispatcher(py, event_loop, None);
    run(&mut dispatcher);
    let ended = end_turn(dispatcher);
    let back = event_loop.go_back(py, None);
    ended.and(back)
}

fn run(dispatcher: &mut OnLoop<'_, '_>) {
    let event_loop = dispatcher.runner.event_loop;
    let mut events = Vec::new();
    // Where a callback may run the loop, the doorbell is heard as long as there is something to do.
    let mut is_quiet = !event_loop.is_plain();
    if event_loop.is_plain() && !lock(&event_loop.state).work.is_empty() {
        // The turn before had no time for it.
        lock(&dispatcher.shared.link.outgoing).gather();
    }
    loop {
        let mut state = lock(&event_loop.state);
        let Some(work) = state.work.pop_front() else {
            drop(state);
            dispatcher.shared.link.events.take_now(&mut events);
            if events.is_empty() {
                if is_quiet {
                    break;
                }
                event_loop.doorbell.hush();
                is_quiet = true;
                continue;
            }
            if event_loop.is_plain() && is_quiet {
                event_loop.doorbell.ring();
                is_quiet = false;
            }
            if event_loop.is_plain() && are_many(&events) {
                lock(&dispatcher.shared.link.outgoing).gather();
            }
            lock(&event_loop.state)
                .work
                .extend(events.drain(..).map(Work::Event));
            continue;
        };
        let line = match &work {
            Work::Event(event) if !state.lines.is_empty() => {
                let id = event.client().map_or(SERVER, |client| client.id);
                state.lines.get(&id).filter(|line| line.is_busy()).cloned()
            }
            // It goes on when its callback has returned.
            Work::Line(line) if state.is_under_way(line.key) => continue,
            Work::Event(_) | Work::Line(_) => None,
        };
        drop(state);
        match (work, line) {
            (Work::Event(event), Some(line)) => line.push(event),
            (Work::Event(event), None) => dispatcher.handle(event),
            (Work::Line(line), _) => unpark(dispatcher, &line),
        }
        if dispatcher.shared.link.is_forked() {
            return;
        }
        dispatcher.clock = Instant::now();
        if dispatcher.runner.is_time_up(dispatcher.clock) {
            // The loop comes again when others had their turn.
            if is_quiet {
                event_loop.doorbell.ring();
            }
            break;
        }
    }
    if event_loop.is_plain() {
        lock(&dispatcher.shared.link.outgoing).post_gathered();
    }
    try_to_close(dispatcher);
}

/// Whether callbacks are called for them more than once.
fn are_many(events: &[Event]) -> bool {
    match events {
        [Event::Messages(_, batch)] => batch.messages.len() > 1,
        events => events.len() > 1,
    }
}

/// What an event loop calls when something is queued for the callbacks.
#[pyclass(frozen, name = "Reader", module = "echoserver._core")]
pub(in crate::python) struct Reader {
    // The loop has the only reference to this, so that its end, before that of the server, says that the loop was
    // closed.
    event_loop: Arc<EventLoop>,
}

#[pymethods]
impl Reader {
    /// The descriptor that is readable then; None where a thread has to `wait`.
    fn fileno(&self) -> Option<i32> {
        self.event_loop.doorbell.fileno()
    }

    /// Waits until something is queued; False if nothing will be any more.
    fn wait(&self, py: Python<'_>) -> bool {
        py.detach(|| self.event_loop.doorbell.wait())
    }

    /// Does what is queued.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let event_loop = &self.event_loop;
        // In a forked child what is queued is the parent's, and so is the selector: see `Door.end_in_child`.
        if event_loop.shared.link.is_forked() {
            return Ok(());
        }
        turn(py, event_loop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.traverse(&visit)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            let event_loop = &self.event_loop;
            if event_loop.shared.link.is_forked() || event_loop.is_over() {
                return;
            }
            let hooks = &event_loop.around.hooks;
            if let Err(error) = hooks.call_method0(py, intern!(py, "lost")) {
                error.write_unraisable(py, Some(hooks.bind(py)));
            }
        });
    }
}

impl Reader {
    /// Makes this thread's event loop the one that runs the dispatcher.
    pub(in crate::python) fn open(
        py: Python<'_>,
        shared: Arc<Shared>,
        around: Surroundings,
        is_watched: bool,
    ) -> PyResult<Self> {
        let event_loop = EventLoop::new(py, shared, around, is_watched, task)?;
        let again = Py::new(py, Again(Arc::downgrade(&event_loop)))?.into_any();
        // The first time.
        let _ = event_loop.again.set(again);
        Ok(Self { event_loop })
    }

    pub(in crate::python) fn event_loop(&self) -> Weak<EventLoop> {
        Arc::downgrade(&self.event_loop)
    }
}

/// What timers of the loop call.
#[pyclass(frozen, name = "Again", module = "echoserver._core")]
struct Again(Weak<EventLoop>);

#[pymethods]
impl Again {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        match self.0.upgrade() {
            Some(event_loop) if !event_loop.shared.link.is_forked() => {
                if event_loop.is_plain() {
                    event_loop.doorbell.ring();
                }
                turn(py, &event_loop)
            }
            _ => Ok(()),
        }
    }
}
