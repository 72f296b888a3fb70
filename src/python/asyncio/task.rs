//! The task in which the callbacks of one client go on.
//!
//! What a coroutine waits for is passed on to the task, so that cancellation, `asyncio.timeout` and task groups in it are
//! the task's own. The task is made for the first coroutine of a client and ends with the client; one that was cancelled
//! is not used again.

use super::super::calls::{Stage, Whose};
use super::super::client::PyClient;
use super::super::coroutine::Step;
use super::super::lock::lock;
use super::event_loop::EventLoop;
use super::line::{Line, is_cancelled, mark};
use super::on_loop::{dispatcher, end_turn, go_on};
use crate::admission::Decision;
use pyo3::exceptions::PyStopIteration;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use std::sync::Arc;

/// The task in which coroutines of this line run, made if there is none that is fit for it.
pub(super) fn task<'py>(
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
    let class = event_loop.tasks()?.class.bind(py);
    let task = class.call((pump,), Some(&options))?;
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

    /// A step of the task, which goes back to the loop: what it has to wait for then, or `None` at its end.
    fn advance(&self, py: Python<'_>, thrown: Option<PyErr>) -> PyResult<Option<Py<PyAny>>> {
        let task = lock(&self.line.state)
            .task
            .as_ref()
            .map(|task| task.bind(py).clone());
        let awaited = self.step(py, thrown);
        let back = self.event_loop.go_back(py, task.as_ref());
        let awaited = awaited?;
        back.map(|()| awaited)
    }

    fn step(&self, py: Python<'_>, thrown: Option<PyErr>) -> PyResult<Option<Py<PyAny>>> {
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
        let is_child = link.is_forked();
        if is_child {
            dispatcher.leave();
        }
        let result = match outcome {
            Ok(Step::Yielded(yielded)) => {
                lock(&self.line.state).running = Some(running);
                end_turn(dispatcher)?;
                return Ok(Some(yielded));
            }
            Ok(Step::Done(result)) => result,
            Err(error) => Err(error),
        };
        if is_child {
            return match result {
                Err(error) if is_cancellation(py, &error) => Err(error),
                result => {
                    dispatcher.report(running.stage, self.line.whose(), result);
                    end_turn(dispatcher).map(|()| None)
                }
            };
        }
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
                    Whose::Server | Whose::Client(_) | Whose::Error => Ok(event_loop.nothing(py)),
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
        end_turn(dispatcher)?;
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
