//! Messages for those who iterate over them instead of having a callback called.

use super::super::answers::{Answer, Answers};
use super::super::lock::lock;
use super::super::values::to_python;
use crate::client::{self, Client};
use crate::handler::Batch;
use pyo3::prelude::*;
use std::mem;
use std::sync::{Arc, Mutex};

/// Keeps the charge for a client that waits for somebody to iterate to it.
#[pyclass(frozen, name = "Held", module = "echoserver._core")]
pub(in crate::python) struct Held {
    #[expect(dead_code, reason = "it is there to be held")]
    charge: Option<client::held::Held>,
}

impl Held {
    pub(super) fn new(client: &Arc<Client>) -> Self {
        Self {
            charge: client.charge(),
        }
    }
}

/// Messages of one client that came together, for those who iterate over them.
#[pyclass(frozen, name = "Mail", module = "echoserver._core")]
pub(in crate::python) struct Mail {
    state: Mutex<State>,
}

struct State {
    answers: Answers,
    is_handed_out: bool,
}

impl Mail {
    pub(super) fn new(client: &Arc<Client>, batch: Batch) -> Self {
        let state = State {
            answers: Answers::new(client.clone(), batch),
            is_handed_out: false,
        };
        Self {
            state: Mutex::new(state),
        }
    }
}

impl State {
    fn settle(&mut self) {
        if mem::take(&mut self.is_handed_out) {
            self.answers.answer(Answer::Nothing);
        }
    }
}

#[pymethods]
impl Mail {
    /// The next message, None after the last one; the one before it counts as answered.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut state = lock(&self.state);
        state.settle();
        state.is_handed_out = true;
        // Making an object of a message runs no Python code.
        let message = state.answers.message();
        let message = message.map(|(kind, payload)| to_python(py, kind, payload));
        if message.is_none() {
            state.answers.post();
        }
        message.transpose()
    }

    /// The last message that was handed out counts as answered.
    fn settle(&self) {
        let mut state = lock(&self.state);
        state.settle();
        state.answers.post();
    }
}
