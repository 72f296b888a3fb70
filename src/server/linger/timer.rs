//! One timer for all who linger on a worker: nearly everybody leaves long before it, and is not worth one of its own.

use crate::server::clock::{Alarm, Clock};
use crate::server::seat::Seat;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::Instant;

/// The timer goes off no more often than that; so much longer than `close_timeout` somebody may linger.
pub(in crate::server) const GRAIN: Duration = Duration::from_millis(100);

/// Those who linger on a worker.
#[derive(Default)]
pub(in crate::server) struct Lingering {
    all: RefCell<Slab<(Instant, Rc<Seat>)>>,
    /// The task that wakes them.
    keeper: Cell<Option<Waker>>,
    /// When it does; `None` if it has nobody to wake.
    next: Cell<Option<Instant>>,
}

impl fmt::Debug for Lingering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lingering")
            .field("count", &self.all.borrow().len())
            .finish_non_exhaustive()
    }
}

/// Somebody who lingers, until dropped.
#[derive(Debug)]
pub(super) struct Entry<'a>(&'a Lingering, usize);

impl Entry<'_> {
    /// It is due only then.
    pub(super) fn put_off(&self, due: Instant) {
        self.0.all.borrow_mut()[self.1].0 = due;
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.all.borrow_mut().remove(self.1);
    }
}

impl Lingering {
    /// Has the task of `seat` woken when it is `due`, or somewhat later.
    pub(super) fn enter(&self, due: Instant, seat: &Rc<Seat>) -> Entry<'_> {
        let index = self.all.borrow_mut().insert((due, seat.clone()));
        self.look_at(due);
        Entry(self, index)
    }

    fn look_at(&self, due: Instant) {
        if self.next.get().is_none_or(|next| due < next)
            && let Some(keeper) = self.keeper.take()
        {
            keeper.wake();
        }
    }

    /// Waits until the first of them is due, but not less than until `earliest`.
    async fn wait(&self, earliest: Instant, clock: &Clock) {
        let mut alarm = Alarm::default();
        poll_fn(|cx| {
            self.keeper.set(Some(cx.waker().clone()));
            let first = self.all.borrow().iter().map(|(_, (due, _))| *due).min();
            self.next.set(first);
            match first {
                None => Poll::Pending,
                Some(first) => clock.poll_due(&mut alarm, first.max(earliest), cx),
            }
        })
        .await;
    }

    /// Keeps the time; never ends.
    pub(in crate::server) async fn keep(self: Rc<Self>, clock: Clock) {
        let mut earliest = clock.reached();
        loop {
            self.wait(earliest, &clock).await;
            let reached = clock.reached();
            for (_, (due, seat)) in self.all.borrow().iter() {
                if *due <= reached {
                    seat.wake();
                }
            }
            if clock.is_exact() {
                // They leave before this looks again.
                yield_now().await;
            } else {
                earliest = reached + GRAIN;
            }
        }
    }
}
