//! Turns at work that takes a while: to inflate and to compress. A worker does a bounded amount of it before it looks
//! after everybody else, however many connections have such work to do.
//!
//! Strategy. There is a credit for all connections of a worker. Who finds it used up waits in a queue; a task of its
//! own renews the credit and wakes the first few of the queue, once per round of the event loop.

use super::seat::{Queueing, Seat};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use tokio::task::yield_now;

/// What one connection may do in one turn: inflate that many bytes. What else it does, it tells in terms of them.
pub(super) const TURN: usize = 64 << 10;
/// What all of them may do in one round.
const ROUND: usize = 8 * TURN;
/// How many are woken from the queue in one round; it leaves as much for those who come anew.
const WOKEN: usize = 4;

/// A worker's turns.
#[derive(Default)]
pub(super) struct Pace {
    spent: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Seat>>>,
    /// The task that renews the credit, if it sleeps.
    keeper: Cell<Option<Waker>>,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace")
            .field("spent", &self.spent.get())
            .field("queue", &self.queue.borrow().len())
            .finish_non_exhaustive()
    }
}

impl Pace {
    /// What the connection on `seat` may spend now; 0 if it has to wait. Who has waited gets its turn whatever those
    /// who came meanwhile have left.
    pub(super) fn allowance(&self, seat: &Seat) -> usize {
        if seat.queueing.get() == Queueing::First {
            seat.queueing.set(Queueing::No);
            return TURN;
        }
        ROUND.saturating_sub(self.spent.get()).min(TURN)
    }

    /// Tells what it spent.
    pub(super) fn spend(&self, amount: usize) {
        let spent = self.spent.get() + amount;
        self.spent.set(spent);
        // Who works little, one message at a time, is no reason for a round.
        if spent > ROUND / 2 {
            self.wake_keeper();
        }
    }

    /// Wakes the connection on `seat` once it has a turn again.
    pub(super) fn wait(&self, seat: &Rc<Seat>) {
        if seat.queueing.replace(Queueing::Waits) != Queueing::Waits {
            self.queue.borrow_mut().push_back(seat.clone());
            self.wake_keeper();
        }
    }

    fn wake_keeper(&self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
    }

    /// Keeps the rounds; never ends.
    pub(super) async fn keep(self: Rc<Self>) {
        loop {
            poll_fn(|cx| {
                if self.queue.borrow().is_empty() && self.spent.get() <= ROUND / 2 {
                    self.keeper.set(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            self.spent.set(0);
            for _ in 0..WOKEN {
                let Some(seat) = self.queue.borrow_mut().pop_front() else {
                    break;
                };
                seat.queueing.set(Queueing::First);
                seat.wake();
            }
            // Comes back after the event queue was looked at.
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::Context;

    #[test]
    fn a_round_is_bounded_and_the_queue_goes_on_in_order() {
        let pace = Rc::new(Pace::default());
        let new = Seat::default();
        let mut given = 0;
        while pace.allowance(&new) > 0 {
            given += pace.allowance(&new);
            pace.spend(pace.allowance(&new));
        }
        assert_eq!(given, ROUND);

        let mut context = Context::from_waker(Waker::noop());
        let seats: Vec<Rc<Seat>> = (0..=WOKEN).map(|_| Rc::default()).collect();
        for seat in seats.iter().chain(&seats) {
            pace.wait(seat);
        }
        assert_eq!(pace.queue.borrow().len(), seats.len());
        let mut keeper = Box::pin(pace.clone().keep());
        assert!(keeper.as_mut().poll(&mut context).is_pending());
        assert_eq!(pace.queue.borrow().len(), 1);
        pace.spend(ROUND);
        assert_eq!(pace.allowance(&new), 0);
        assert_eq!(pace.allowance(&seats[0]), TURN);
        assert_eq!(pace.allowance(&seats[0]), 0);
        assert_eq!(pace.allowance(&seats[WOKEN]), 0);
    }
}
