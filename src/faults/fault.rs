//! A fault that somebody has set.

use super::hits::Hits;
use super::selector::Selector;
use super::table::Row;
use super::values::Values;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A fault that was set. Shared by all connections on which it may act.
#[derive(Debug)]
pub struct Fault {
    /// What it is.
    pub row: &'static Row,
    /// What it was told.
    pub values: Values,
    /// When it acts.
    pub selector: Selector,
    /// Counts from 1 in the order in which they were set.
    pub(super) number: u64,
    hits: AtomicU64,
    /// Of all.
    all: Arc<Hits>,
    /// How often it may still act.
    left: Option<AtomicU64>,
    /// No connection knows it any more.
    is_over: AtomicBool,
}

impl Fault {
    pub(super) fn new(
        row: &'static Row,
        values: Values,
        selector: Selector,
        number: u64,
        all: Arc<Hits>,
    ) -> Self {
        Self {
            row,
            values,
            number,
            hits: AtomicU64::new(0),
            all,
            left: selector.times.map(AtomicU64::new),
            selector,
            is_over: AtomicBool::new(false),
        }
    }

    /// How often it has acted; of what acts on bytes, on how many connections.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Acquire)
    }

    /// Whether it acts no more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Every connection has been told that it has ended.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Whether it acts this time, which is counted then.
    pub(super) fn hit(&self) -> bool {
        let take = |left: &AtomicU64| {
            let less = |left: u64| left.checked_sub(1);
            left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
        };
        if self.left.as_ref().is_some_and(|left| take(left).is_err()) {
            return false;
        }
        self.hits.fetch_add(1, Ordering::AcqRel);
        self.all.add(self.row);
        true
    }
}
