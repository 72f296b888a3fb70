//! A connection as others on its worker know it: the way to its task, and the orders for it.

use crate::order::Order;
use std::cell::{Cell, OnceCell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::sync::mpsc::Sender;
use std::task::{Context, Waker};

/// Where a connection is found by those who have an order for it.
#[derive(Default)]
pub(super) struct Seat {
    /// Its number at the worker's desk.
    pub(super) index: u32,
    /// The client's id; 0 before the upgrade.
    pub(super) client: Cell<u64>,
    waker: Cell<Option<Waker>>,
    orders: RefCell<Option<Box<Orders>>>,
    pub(super) queueing: Cell<Queueing>,
    /// It is the client's turn to be told of a stop.
    pub(super) is_told: Cell<bool>,
    /// It is to be reset; those who have asked for that wait until this is dropped.
    reset: OnceCell<Box<RefCell<Vec<Sender<Infallible>>>>>,
}

/// Orders for a connection, or the room that they had. Boxed, since it is as large as all else of a seat, and most have
/// none.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) list: Vec<Order>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("client", &self.client.get())
            .finish_non_exhaustive()
    }
}

impl Seat {
    pub(super) fn new(index: usize) -> Self {
        Self {
            // There are no more descriptors than an `int` counts.
            index: u32::try_from(index).expect("fewer seats than that"),
            ..Self::default()
        }
    }

    /// Called first at each poll, so that an order wakes the right task.
    pub(super) fn register(&self, cx: &Context<'_>) {
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
    }

    pub(super) fn take_orders(&self) -> Option<Box<Orders>> {
        self.orders.take()
    }

    /// Nobody does these any more.
    pub(super) fn give_back(&self, orders: Box<Orders>) {
        self.orders.replace(Some(orders));
    }

    /// Has room for orders from `spare`, if it has none.
    #[expect(clippy::vec_box, reason = "so they come from others")]
    pub(super) fn make_room(&self, spare: &mut Vec<Box<Orders>>) {
        let mut orders = self.orders.borrow_mut();
        if orders.is_none() {
            *orders = spare.pop();
        }
    }

    pub(super) fn has_orders(&self) -> bool {
        let orders = self.orders.borrow();
        orders
            .as_ref()
            .is_some_and(|orders| !orders.list.is_empty())
    }

    /// Has the connection end with a reset, as a client's or before it is one. `done` is dropped after that.
    pub(super) fn reset(&self, done: Sender<Infallible>) {
        let was_reset = self.is_reset();
        let waiting = self.reset.get_or_init(Box::default);
        waiting.borrow_mut().push(done);
        if !was_reset {
            self.give(Order::Reset);
        }
    }

    /// Whether it is to be reset.
    pub(super) fn is_reset(&self) -> bool {
        self.reset.get().is_some()
    }

    pub(super) fn give(&self, order: Order) {
        self.give_later(order);
        self.wake();
    }

    /// The same, for when its task is woken anyway.
    pub(super) fn give_later(&self, order: Order) {
        let mut orders = self.orders.borrow_mut();
        orders.get_or_insert_default().list.push(order);
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Whether a connection waits for a turn at work that takes a while.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queueing {
    #[default]
    No,
    Waits,
    /// It did, and may go on.
    First,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{TryRecvError, channel};

    #[test]
    fn one_is_not_large() {
        // As a connection: its size decides what lies idle between tokio's pieces, too.
        let size = size_of::<Seat>();
        assert!(size <= 56, "a seat has {size} bytes, more than 56");
    }

    #[test]
    fn whoever_asks_for_a_reset_once_more_waits_as_well() {
        let seat = Seat::default();
        assert!(!seat.is_reset());
        let waiting = [(); 3].map(|()| {
            let (done, is_done) = channel();
            seat.reset(done);
            is_done
        });
        assert!(seat.is_reset());
        // The connection hears of it once.
        let orders = seat.take_orders();
        assert_eq!(orders.map(|orders| orders.list.len()), Some(1));
        for is_done in &waiting {
            assert_eq!(is_done.try_recv(), Err(TryRecvError::Empty));
        }
        drop(seat);
        for is_done in &waiting {
            assert_eq!(is_done.try_recv(), Err(TryRecvError::Disconnected));
        }
    }
}
