//! What the clients of a worker have sent and got, each for itself: kept only while somebody wants to hear of it.

use crate::handler::Summary;
use crate::protocol::tally::Tally;
use std::cell::RefCell;

/// Each at the number of the client's seat, so that a connection keeps nothing for it.
#[derive(Debug, Default)]
pub(super) struct Summaries(RefCell<Vec<Option<Box<Summary>>>>);

impl Summaries {
    /// What the client there sends and gets is counted from now on.
    pub(super) fn begin(&self, index: u32) {
        let mut all = self.0.borrow_mut();
        let index = index as usize;
        if all.len() <= index {
            all.resize(index + 1, None);
        }
        all[index] = Some(Box::default());
    }

    /// It has, if it is one of these.
    pub(super) fn add(&self, index: u32, received: Tally, sent: Tally) {
        if let Some(Some(summary)) = self.0.borrow_mut().get_mut(index as usize) {
            summary.received += received;
            summary.sent += sent;
        }
    }

    /// All of it, once it is gone; `None` if it is none of these.
    pub(super) fn end(&self, index: u32) -> Option<Box<Summary>> {
        let mut all = self.0.borrow_mut();
        let summary = all.get_mut(index as usize)?.take();
        let last = all.iter().rposition(Option::is_some);
        all.truncate(last.map_or(0, |last| last + 1));
        if all.is_empty() {
            *all = Vec::new();
        }
        summary
    }
}
