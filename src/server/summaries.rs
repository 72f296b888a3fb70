//! What the clients of a worker have sent and got, each for itself: kept only while somebody wants to hear of it.

use crate::handler::Summary;
use crate::protocol::tally::Tally;
use std::cell::RefCell;

/// Each at the number of the client's seat, so that a connection keeps nothing for it.
#[derive(Debug, Default)]
pub(super) struct Summaries(RefCell<Seats>);

#[derive(Debug, Default)]
struct Seats {
    all: Vec<Option<Box<Summary>>>,
    taken: usize,
}

impl Summaries {
    /// What the client there sends and gets is counted from now on.
    pub(super) fn begin(&self, index: u32) {
        let mut seats = self.0.borrow_mut();
        let index = index as usize;
        if seats.all.len() <= index {
            seats.all.resize(index + 1, None);
        }
        if seats.all[index].replace(Box::default()).is_none() {
            seats.taken += 1;
        }
    }

    /// It has, if it is one of these.
    pub(super) fn add(&self, index: u32, received: Tally, sent: Tally) {
        if let Some(Some(summary)) = self.0.borrow_mut().all.get_mut(index as usize) {
            summary.received += received;
            summary.sent += sent;
        }
    }

    /// All of it, once it is gone; `None` if it is none of these.
    pub(super) fn end(&self, index: u32) -> Option<Box<Summary>> {
        let mut seats = self.0.borrow_mut();
        let summary = seats.all.get_mut(index as usize)?.take()?;
        seats.taken -= 1;
        // Not before: who comes and goes at a high seat would have the seats below made and looked at each time.
        if seats.taken == 0 {
            seats.all = Vec::new();
        }
        Some(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_stay_until_the_last_one_is_gone() {
        let summaries = Summaries::default();
        let seats = || summaries.0.borrow().all.len();
        summaries.begin(3);
        summaries.begin(1000);
        summaries.begin(1000);
        assert!(summaries.end(1000).is_some() && summaries.end(1000).is_none());
        assert!(summaries.end(2).is_none() && summaries.end(5000).is_none());
        assert_eq!(seats(), 1001);
        assert!(summaries.end(3).is_some());
        assert_eq!(seats(), 0);
    }
}
