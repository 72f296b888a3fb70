//! Waiting at a condition variable, with a deadline or without one.

use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Instant;

/// Waits while `is_on`, at most until the deadline; `None` waits for ever.
pub(crate) fn wait_while<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
    is_on: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    match deadline {
        None => condition
            .wait_while(guard, is_on)
            .unwrap_or_else(PoisonError::into_inner),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            condition
                .wait_timeout_while(guard, left, is_on)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        }
    }
}
