//! Who runs the dispatcher, and with it the callbacks, as a port.

use super::answers::Answers;
use super::calls::{Args, Called, Stage, Whose};
use super::events::Refusal;
use super::log::{self, Failure};
use super::shared::Shared;
use crate::client::Client;
use crate::handler::Batch;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Instant;

pub(super) trait Runner<'py> {
    /// Whether others have their turn between two callbacks, so that after each of them the time is looked at.
    const TAKES_TURNS: bool;

    /// Calls a callback. `None`: it goes on by itself, and its end is told to `Dispatcher::finish`.
    fn invoke(
        &mut self,
        shared: &Shared,
        stage: Stage,
        whose: Whose<'_>,
        callback: &Py<PyAny>,
        args: Args<'_, 'py>,
    ) -> Called;

    /// Tells the application of an exception that no callback takes.
    fn tell(&self, failure: &Failure<'py>) -> PyResult<()> {
        log::failure(failure)
    }

    /// Whether others are to have their turn before the next callback.
    fn is_time_up(&self, _now: Instant) -> bool {
        false
    }

    /// A batch goes on in another turn.
    fn pause(&mut self, _shared: &Shared, _client: &Arc<Client>, _answers: Option<Answers>) {}

    /// A batch goes on when the callback has ended that waits.
    fn suspend(&mut self, _client: &Arc<Client>, _answers: Option<Answers>) {}

    /// A client has come, and its `on_connect` has ended.
    fn opened(&mut self, _shared: &Shared, _client: &Arc<Client>) -> PyResult<()> {
        Ok(())
    }

    /// Whether messages go to iterators, and not to callbacks.
    fn is_iterated(&self, _shared: &Shared) -> bool {
        false
    }

    /// Gives messages to who iterates over them.
    fn deliver(&mut self, _shared: &Shared, _client: &Arc<Client>, _batch: Batch) -> PyResult<()> {
        Ok(())
    }

    /// Somebody did not get in.
    fn refused(&mut self, _refusal: &Refusal) -> PyResult<()> {
        Ok(())
    }

    /// A ping that Python has sent was answered.
    fn ponged(&mut self, _shared: &Shared, _client: &Arc<Client>, _payload: &[u8]) -> PyResult<()> {
        Ok(())
    }

    /// What somebody has asked about is on the wire.
    fn written(&mut self, _shared: &Shared, _client: &Arc<Client>) -> PyResult<()> {
        Ok(())
    }

    /// A client is gone; its `on_disconnect` follows.
    fn closed(&mut self, _shared: &Shared, _client: &Arc<Client>) -> PyResult<()> {
        Ok(())
    }

    /// That has ended.
    fn ended(&mut self, _client: &Arc<Client>) {}

    /// The workers have ended: whether `on_closed` is to be called now, and not when the runner has it called.
    fn may_finish(&mut self) -> bool {
        true
    }

    /// `on_closed` has ended.
    fn finished(&mut self) {}

    /// A callback does not end, and is not waited for.
    fn give_up(&mut self) {}
}
