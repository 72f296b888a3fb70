//! The send queue of one client: what an application has sent to it and what is not on the wire yet, as a number of
//! bytes with a limit, and those who wait until it is nothing, or until nothing will go out any more.

use crate::condition::wait_while;
use crate::wakers::Wakers;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// What a message costs beside its payload: its frame's header and the two allocations that hold it.
const OVERHEAD: usize = 64;

/// Bytes that a message of `len` counts for.
const fn cost(len: usize) -> usize {
    len + OVERHEAD
}

/// Room that a message has in a send queue. There is none but what a queue has given; dropped, it is given back.
#[derive(Debug)]
pub struct Room {
    queue: Arc<SendQueue>,
    cost: usize,
}

impl Room {
    /// The bytes that are to be given back with [`SendQueue::release`] instead, once.
    pub(crate) fn into_cost(mut self) -> usize {
        mem::take(&mut self.cost)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.queue.release(self.cost);
    }
}

/// A send queue; the messages themselves are elsewhere.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    /// What [`cost`] says of the messages in it.
    queued: AtomicUsize,
    /// Nothing is waited for any more.
    ended: AtomicBool,
    waiters: (Mutex<Waiters>, Condvar),
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Nothing waits for the network, or never will.
    Flushed,
    /// The client has ended.
    Ended,
}

/// Who waits.
#[derive(Debug, Default)]
struct Waiters {
    /// Threads; counted, because a signal to nobody is a system call all the same.
    threads: usize,
    tasks: Wakers,
}

impl SendQueue {
    /// Bytes in the queue; none after its end, whatever was given to a connection that took no more.
    pub(crate) fn len(&self) -> usize {
        if self.ended.load(Ordering::Acquire) {
            return 0;
        }
        self.queued.load(Ordering::Acquire)
    }

    /// Takes room for a message of `len` bytes in a queue of at most `limit`; a message goes into an empty queue
    /// whatever its length.
    ///
    /// # Errors
    /// The bytes that wait already, if that leaves no room.
    pub(crate) fn take(self: &Arc<Self>, len: usize, limit: usize) -> Result<Room, usize> {
        let cost = cost(len);
        let fits = |queued: usize| {
            (queued == 0 || queued.saturating_add(cost) <= limit).then(|| queued + cost)
        };
        self.queued
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
            .map(|_| Room {
                queue: self.clone(),
                cost,
            })
    }

    /// Messages of that cost are on the wire or given up.
    pub(crate) fn release(&self, cost: usize) {
        if cost > 0 && self.queued.fetch_sub(cost, Ordering::AcqRel) == cost {
            self.wake();
        }
    }

    /// Nothing goes out any more: whoever waits goes on.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether that is so.
    pub(crate) fn is(&self, what: Until) -> bool {
        self.ended.load(Ordering::Acquire) || (what == Until::Flushed && self.len() == 0)
    }

    /// Waits until that is so: `false` at the deadline. `None` waits for ever.
    pub(crate) fn wait(&self, until: Until, deadline: Option<Instant>) -> bool {
        let mut waiters = self.lock();
        waiters.threads += 1;
        let is_on = |_: &mut Waiters| !self.is(until);
        let mut waiters = wait_while(&self.waiters.1, waiters, deadline, is_on);
        waiters.threads -= 1;
        self.is(until)
    }

    /// Ready when that is so. `key` is the waiting task's, `None` at first; one that waits no longer has to say so with
    /// [`Self::forget`].
    pub(crate) fn poll(&self, until: Until, cx: &Context<'_>, key: &mut Option<u64>) -> Poll<()> {
        let mut waiters = self.lock();
        if self.is(until) {
            return Poll::Ready(());
        }
        waiters.tasks.keep(key, cx);
        Poll::Pending
    }

    pub(crate) fn forget(&self, key: u64) {
        let waker = self.lock().tasks.forget(key);
        drop(waker);
    }

    fn wake(&self) {
        // The lock orders this after a waiter's look at the queue.
        let mut waiters = self.lock();
        let tasks = waiters.tasks.take();
        if waiters.threads > 0 {
            self.waiters.1.notify_all();
        }
        drop(waiters);
        tasks.for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Nothing that can panic runs under the lock.
        self.waiters
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_queue_has_its_limit_and_gives_room_back() {
        let queue = Arc::new(SendQueue::default());
        let first = queue.take(1000, 10).unwrap();
        assert_eq!(queue.take(0, 1127).unwrap_err(), 1064);
        let second = queue.take(0, 1128).unwrap();
        assert!(queue.len() == 1128 && !queue.is(Until::Flushed));
        queue.release(first.into_cost());
        // As when an order is thrown away.
        drop(second);
        assert!(queue.len() == 0 && queue.is(Until::Flushed));
    }

    #[test]
    fn who_waits_is_woken_once_and_who_gave_up_leaves_nothing() {
        let queue = Arc::new(SendQueue::default());
        let room = queue.take(5, 1000).unwrap();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let mut key = None;
        for _ in 0..1000 {
            let mut other = None;
            assert!(queue.poll(Until::Flushed, &cx, &mut other).is_pending());
            queue.forget(other.unwrap());
            assert!(queue.poll(Until::Flushed, &cx, &mut key).is_pending());
        }
        assert_eq!(queue.lock().tasks.len(), 1);
        queue.release(room.into_cost());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(queue.poll(Until::Flushed, &cx, &mut key).is_ready());

        // The queue of a client that has ended is waited for by nobody.
        let _lost = queue.take(5, 1000).unwrap();
        let mut key = None;
        assert!(queue.poll(Until::Flushed, &cx, &mut key).is_pending());
        assert!(!queue.wait(Until::Flushed, Some(Instant::now())));
        let mut end = None;
        assert!(queue.poll(Until::Ended, &cx, &mut end).is_pending());
        queue.end();
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        assert!(queue.is(Until::Ended) && queue.poll(Until::Ended, &cx, &mut end).is_ready());
        assert!(queue.len() == 0 && queue.is(Until::Flushed) && queue.wait(Until::Flushed, None));
        assert!(queue.poll(Until::Flushed, &cx, &mut key).is_ready());
    }

    #[test]
    fn an_empty_queue_is_not_the_end() {
        let queue = Arc::new(SendQueue::default());
        assert!(queue.is(Until::Flushed) && !queue.is(Until::Ended));
        assert!(!queue.wait(Until::Ended, Some(Instant::now())));
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let mut key = None;
        assert!(queue.poll(Until::Ended, &cx, &mut key).is_pending());
        // Who waits for the end and is woken by an empty queue looks, and goes on waiting.
        queue.release(queue.take(5, 1000).unwrap().into_cost());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(queue.poll(Until::Ended, &cx, &mut key).is_pending());
        queue.end();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert!(queue.wait(Until::Ended, None));
    }
}
