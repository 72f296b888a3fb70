//! What is timed on a worker whose clock a test advances.

use crate::manual_clock::{Hand, Time};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::task::yield_now;
use tokio::time::Instant;

/// When something is due; a number, for several that are due then.
type Key = (Instant, u64);

/// A worker's timers.
#[derive(Debug)]
pub(super) struct Timers {
    hand: Hand,
    time: Cell<Time>,
    /// Who is to be woken when.
    all: RefCell<BTreeMap<Key, Waker>>,
    last: Cell<u64>,
    /// Whether somebody goes on without waiting for anything, since that was asked last.
    come_later: Cell<bool>,
}

/// One of them. It is none any more when that is dropped.
#[derive(Debug)]
pub(super) struct Entry(Box<(Rc<Timers>, Key)>);

impl Drop for Entry {
    fn drop(&mut self) {
        let (timers, key) = &*self.0;
        let waker = timers.all.borrow_mut().remove(key);
        // After the borrow: a task that has ended may go with it.
        drop(waker);
    }
}

impl Timers {
    pub(super) fn new(hand: Hand) -> Self {
        Self {
            time: Cell::new(hand.time()),
            hand,
            all: RefCell::default(),
            last: Cell::new(0),
            come_later: Cell::new(false),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.time.get().now.into()
    }

    pub(super) fn reached(&self) -> Instant {
        self.time.get().reached.into()
    }

    /// Ready when it is `due`; the task is woken then.
    pub(super) fn poll(
        self: &Rc<Self>,
        entry: &mut Option<Entry>,
        due: Instant,
        cx: &Context<'_>,
    ) -> Poll<()> {
        if due <= self.reached() {
            *entry = None;
            return Poll::Ready(());
        }
        let set = entry.as_ref().map(|Entry(own)| own.1);
        let key = set.filter(|(before, _)| *before == due).unwrap_or_else(|| {
            self.last.set(self.last.get() + 1);
            (due, self.last.get())
        });
        let waker = self.all.borrow_mut().insert(key, cx.waker().clone());
        drop(waker);
        if set != Some(key) {
            *entry = Some(Entry(Box::new((self.clone(), key))));
        }
        Poll::Pending
    }

    /// Somebody goes on when others had their turn.
    pub(super) fn come_later(&self) {
        self.come_later.set(true);
    }

    /// Keeps the time; never ends.
    pub(super) async fn keep(self: Rc<Self>, is_busy: impl Fn() -> bool) {
        loop {
            let time = poll_fn(|cx| self.hand.poll_told(cx)).await;
            self.time.set(time);
            self.ring();
            // Comes back after the event queue was looked at, behind all who were woken until then.
            yield_now().await;
            let first = self.all.borrow().keys().next().map(|(due, _)| *due);
            let is_busy = self.come_later.take() || is_busy();
            self.hand.answer(first.map(Instant::into_std), is_busy);
        }
    }

    /// Wakes who is due, in the order of that.
    fn ring(&self) {
        let reached = self.reached();
        loop {
            let mut all = self.all.borrow_mut();
            let Some(first) = all.first_entry().filter(|first| first.key().0 <= reached) else {
                return;
            };
            let waker = first.remove();
            drop(all);
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual_clock::ManualClock;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn who_is_put_off_or_waits_no_longer_is_not_kept() {
        let timers = Rc::new(Timers::new(Arc::new(ManualClock::new()).join()));
        let context = Context::from_waker(Waker::noop());
        let (mut one, mut other) = (None, None);
        for seconds in [2, 1, 1, 3] {
            let due = timers.now() + Duration::from_secs(seconds);
            assert!(timers.poll(&mut one, due, &context).is_pending());
            assert!(timers.poll(&mut other, due, &context).is_pending());
            let all: Vec<_> = timers.all.borrow().keys().map(|(due, _)| *due).collect();
            assert_eq!(all, [due, due]);
        }
        assert!(timers.poll(&mut one, timers.now(), &context).is_ready());
        assert_eq!(timers.all.borrow().len(), 1);
        drop(other);
        assert!(one.is_none() && timers.all.borrow().is_empty());
    }
}
