//! The wait for what workers have been asked for.

use super::shared::{Shared, lock};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What workers have been asked for, and may not have done.
#[derive(Debug)]
pub struct Pending<T> {
    answers: Mutex<Receiver<T>>,
    shared: Arc<Shared>,
}

impl<T> Pending<T> {
    pub(super) fn new(answers: Receiver<T>, shared: &Arc<Shared>) -> Self {
        Self {
            answers: Mutex::new(answers),
            shared: shared.clone(),
        }
    }

    /// Waits until it is done, or the server has ended; what was answered, if something was. `None` at the deadline.
    #[must_use]
    pub fn wait(&self, until: Instant) -> Option<Option<T>> {
        let left = until.saturating_duration_since(Instant::now());
        match lock(&self.answers).recv_timeout(left) {
            Ok(answer) => Some(Some(answer)),
            Err(RecvTimeoutError::Disconnected) => Some(None),
            // Nobody takes commands from workers that have ended.
            Err(RecvTimeoutError::Timeout) => (*lock(&self.shared.over.0)).then_some(None),
        }
    }
}
