//! The runner `thread`: one thread waits for events and runs the callbacks, until the server has ended. With no workers
//! (`workers=0`) it serves the clients itself while it waits: in turns, those without the interpreter and the callbacks of
//! what has come then.

use super::calls::{Args, Called, Stage, Whose};
use super::coroutine;
use super::dispatcher::Dispatcher;
use super::driving::{self, Driving};
use super::errors;
use super::events::Event;
use super::link::Link;
use super::lock::lock;
use super::runner::Runner;
use super::shared::Shared;
use super::waiting::{self, SIGNAL_CHECK};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::mem;
use std::thread;

struct OnThread<'py>(Python<'py>);

impl<'py> Runner<'py> for OnThread<'py> {
    const TAKES_TURNS: bool = false;

    fn invoke(
        &mut self,
        shared: &Shared,
        stage: Stage,
        _whose: Whose<'_>,
        callback: &Py<PyAny>,
        args: Args<'_, 'py>,
    ) -> Called {
        let reply = shared
            .link
            .call(stage.name(), || args.call(self.0, callback));
        Some(reply.and_then(|reply| coroutine::refuse(stage, callback.bind(self.0), reply)))
    }
}

/// Runs the dispatcher in this thread. `has_signals`: signal handlers may have to be run here.
pub(super) fn run(py: Python<'_>, shared: &Shared, has_signals: bool) -> PyResult<()> {
    let link = &*shared.link;
    if !link.drain.begin() {
        return Err(PyRuntimeError::new_err(
            "the server is not started, or run already",
        ));
    }
    let driving = match drive(py, shared) {
        Ok(driving) => driving,
        Err(error) => {
            waiting::detached(py, || link.end_drain());
            return Err(error);
        }
    };
    let mut dispatcher = Dispatcher::new(py, shared, OnThread(py), None);
    let unwinding = Unwinding(link);
    drain(&mut dispatcher, driving.is_some(), has_signals);
    mem::forget(unwinding);
    drop(driving);
    if link.is_forked() {
        return Err(dispatcher.into_fatal().unwrap_or_else(errors::forked));
    }
    waiting::detached(py, || {
        // With no limit it is true: the workers have said that they have ended.
        let _ = shared.core.wait(None);
        link.end_drain();
    });
    dispatcher.into_fatal().map_or(Ok(()), Err)
}

/// What serves the clients, if that is up to this thread.
fn drive<'py>(py: Python<'py>, shared: &Shared) -> PyResult<Option<Driving<'py>>> {
    if !shared.core.config().is_driven() {
        return Ok(None);
    }
    let driving = Driving::begin(py, &shared.core, &shared.link)?;
    // Nobody else could.
    lock(&shared.link.outgoing).be_alone();
    Ok(Some(driving))
}

// A frame of its own below which `Unwinding` is dropped when the thread is unwound.
#[inline(never)]
fn drain<'py>(
    dispatcher: &mut Dispatcher<'_, 'py, OnThread<'py>>,
    is_driven: bool,
    has_signals: bool,
) {
    let link = &dispatcher.shared.link;
    let mut events = Vec::new();
    // A child of a fork, in a callback or a signal's handler: what there is to do is up to the parent.
    while !link.is_forked() {
        let timeout = has_signals.then_some(SIGNAL_CHECK);
        waiting::detached(dispatcher.py, || {
            if is_driven {
                driving::take(link, &mut events, timeout);
            } else {
                link.events.take(&mut events, timeout);
            }
        });
        if let Err(error) = dispatcher.py.check_signals() {
            dispatcher.end_by(error);
        }
        for event in events.drain(..) {
            let is_last = matches!(event, Event::Closed);
            dispatcher.handle(event);
            if is_last || link.is_forked() {
                return;
            }
        }
    }
}

/// Guards the frames between a callback and the interpreter's end: a thread that asks for the interpreter then is
/// ended by unwinding, which Rust may not survive. It parks for ever instead, as pyo3 has it do where pyo3 asks.
struct Unwinding<'a>(&'a Link);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end_drain();
            return;
        }
        loop {
            thread::park();
        }
    }
}
