//! The wait for what workers have been asked for.

use super::shared::lock;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

/// What workers have been asked for, and may not have done.
#[derive(Debug)]
pub struct Pending<T> {
    answers: Mutex<Receiver<T>>,
}

impl<T> Pending<T> {
    pub(super) const fn new(answers: Receiver<T>) -> Self {
        Self {
            answers: Mutex::new(answers),
        }
    }

    /// Waits until it is done, or the workers have ended; what was answered, if something was. `None` at the deadline.
    #[must_use]
    pub fn wait(&self, until: Instant) -> Option<Option<T>> {
        let left = until.saturating_duration_since(Instant::now());
        match lock(&self.answers).recv_timeout(left) {
            Ok(answer) => Some(Some(answer)),
            // A worker that ends drops what it was asked for.
            Err(RecvTimeoutError::Disconnected) => Some(None),
            Err(RecvTimeoutError::Timeout) => None,
        }
    }
}
