//! The send queue of one client: what an application has sent to it and what is not on the wire yet, as a number of
//! bytes with a limit, and those who wait until what was in it is gone, or until nothing will go out any more.
//!
//! What is sent goes out in its order. So two numbers that only grow say what a waiter has to know, whatever others send
//! meanwhile: what was taken in when it began to wait, and what has gone out since the beginning.

use crate::condition::wait_while;
use crate::wakers::Wakers;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// What a message costs beside its payload: its frame's header and the two allocations that hold it.
const OVERHEAD: usize = 64;
/// What is awaited when nobody waits.
const NOTHING: u64 = u64::MAX;

/// Bytes that a message of `len` counts for.
const fn cost(len: usize) -> usize {
    len + OVERHEAD
}

/// Room that a message has in a send queue. There is none but what a queue has given; dropped, it is as if it had not
/// been given.
#[derive(Debug)]
pub struct Room {
    queue: Arc<SendQueue>,
    cost: usize,
}

impl Room {
    /// Has this be the room of both. They are of one queue.
    pub fn join(&mut self, other: Self) {
        self.cost += other.into_cost();
    }

    /// The bytes that are to be given back with [`SendQueue::release`] instead, once.
    pub(crate) fn into_cost(mut self) -> usize {
        mem::take(&mut self.cost)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.queue.take_back(self.cost);
    }
}

/// A send queue; the messages themselves are elsewhere.
#[derive(Debug)]
pub(crate) struct SendQueue {
    /// What [`cost`] says of all messages that were ever in it, and of those that have left it.
    taken: AtomicU64,
    released: AtomicU64,
    /// The most that was ever in it.
    highest: AtomicU64,
    /// The least of what is waited for to be released.
    awaited: AtomicU64,
    /// Nothing is waited for any more.
    ended: AtomicBool,
    waiters: (Mutex<Waiters>, Condvar),
}

impl Default for SendQueue {
    fn default() -> Self {
        Self {
            taken: AtomicU64::new(0),
            released: AtomicU64::new(0),
            highest: AtomicU64::new(0),
            awaited: AtomicU64::new(NOTHING),
            ended: AtomicBool::new(false),
            waiters: Default::default(),
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// So much was released since the beginning, or nothing is in the queue, or the client has ended.
    Released(u64),
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
        // In this order, so that the first is never more.
        let released = self.released.load(Ordering::SeqCst);
        let queued = self.taken.load(Ordering::SeqCst) - released;
        usize::try_from(queued).unwrap_or(usize::MAX)
    }

    /// What has to be true for all to be out that is in the queue now.
    pub(crate) fn flushed(&self) -> Until {
        Until::Released(self.taken.load(Ordering::SeqCst))
    }

    /// Takes room for a message of `len` bytes in a queue of at most `limit`; a message goes into an empty queue
    /// whatever its length.
    ///
    /// # Errors
    /// The bytes that wait already, if that leaves no room.
    pub(crate) fn take(self: &Arc<Self>, len: usize, limit: usize) -> Result<Room, usize> {
        let cost = cost(len);
        let mut queued = 0;
        let fits = |taken: u64| {
            // Less than nothing if others have taken and released meanwhile: then this is tried again.
            let left = taken.saturating_sub(self.released.load(Ordering::SeqCst));
            queued = usize::try_from(left).unwrap_or(usize::MAX);
            (queued == 0 || queued.saturating_add(cost) <= limit).then(|| taken + cost as u64)
        };
        let taken = self
            .taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits);
        if taken.is_err() {
            return Err(queued);
        }
        let high = queued.saturating_add(cost) as u64;
        if high > self.highest.load(Ordering::Relaxed) {
            self.highest.fetch_max(high, Ordering::Relaxed);
        }
        Ok(Room {
            queue: self.clone(),
            cost,
        })
    }

    /// The most bytes that ever were in it.
    pub(crate) fn highest(&self) -> u64 {
        self.highest.load(Ordering::Relaxed)
    }

    /// A message of that cost was not sent at all: nobody need wait for it.
    fn take_back(&self, cost: usize) {
        if cost > 0 {
            self.taken.fetch_sub(cost as u64, Ordering::SeqCst);
            if self.awaited.load(Ordering::SeqCst) != NOTHING {
                self.wake();
            }
        }
    }

    /// Messages of that cost are on the wire or given up, in the order in which they were given.
    pub(crate) fn release(&self, cost: usize) {
        if cost == 0 {
            return;
        }
        let cost = cost as u64;
        let released = self.released.fetch_add(cost, Ordering::SeqCst) + cost;
        let awaited = self.awaited.load(Ordering::SeqCst);
        // More than there is may be awaited, if some of it was taken back.
        let is_empty = || released == self.taken.load(Ordering::SeqCst);
        if awaited != NOTHING && (released >= awaited || is_empty()) {
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
        self.ended.load(Ordering::Acquire)
            || match what {
                Until::Released(all) => {
                    self.released.load(Ordering::SeqCst) >= all || self.len() == 0
                }
                Until::Ended => false,
            }
    }

    /// Whether it is so for somebody who waits, and is woken for it if not. With the lock of the waiters.
    fn is_at_last(&self, what: Until) -> bool {
        if let Until::Released(all) = what
            && !self.is(what)
        {
            self.awaited.fetch_min(all, Ordering::SeqCst);
        }
        // After that: whoever releases looks for who waits then.
        self.is(what)
    }

    /// Waits until that is so: `false` at the deadline. `None` waits for ever.
    pub(crate) fn wait(&self, until: Until, deadline: Option<Instant>) -> bool {
        let mut waiters = self.lock();
        waiters.threads += 1;
        let is_on = |_: &mut Waiters| !self.is_at_last(until);
        let mut waiters = wait_while(&self.waiters.1, waiters, deadline, is_on);
        waiters.threads -= 1;
        self.is(until)
    }

    /// Ready when that is so. `key` is the waiting task's, `None` at first; one that waits no longer has to say so with
    /// [`Self::forget`].
    pub(crate) fn poll(&self, until: Until, cx: &Context<'_>, key: &mut Option<u64>) -> Poll<()> {
        let mut waiters = self.lock();
        if self.is_at_last(until) {
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
        // Who goes on waiting says so again.
        self.awaited.store(NOTHING, Ordering::SeqCst);
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
    use std::sync::atomic::AtomicUsize;
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
        let flushed = queue.flushed();
        assert!(queue.len() == 1128 && !queue.is(flushed));
        queue.release(first.into_cost());
        // As when an order is thrown away.
        drop(second);
        assert!(queue.len() == 0 && queue.is(flushed));
    }

    #[test]
    fn who_waits_until_all_is_out_does_not_wait_for_what_comes_meanwhile() {
        let queue = Arc::new(SendQueue::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let mut rooms: Vec<_> = (0..2).map(|_| queue.take(36, 1000).unwrap()).collect();
        let (first, mut key) = (queue.flushed(), None);
        let (second, mut later) = (queue.flushed(), None);
        assert!(queue.poll(first, &cx, &mut key).is_pending());
        for _ in 0..2 {
            // Never empty: another comes before one goes.
            rooms.push(queue.take(36, 1000).unwrap());
            assert_eq!(count.0.load(Ordering::Relaxed), 0);
            assert!(!queue.is(first) && !queue.wait(second, Some(Instant::now())));
            queue.release(rooms.remove(0).into_cost());
        }
        assert_eq!((count.0.load(Ordering::Relaxed), queue.len()), (1, 200));
        assert!(queue.poll(first, &cx, &mut key).is_ready() && queue.wait(second, None));

        // One that began later waits for more. What is not sent at all is waited for by nobody.
        let third = queue.flushed();
        assert!(queue.poll(third, &cx, &mut later).is_pending());
        queue.release(rooms.remove(0).into_cost());
        assert!(queue.poll(third, &cx, &mut later).is_pending());
        drop(rooms);
        assert_eq!((count.0.load(Ordering::Relaxed), queue.len()), (2, 0));
        assert!(queue.poll(third, &cx, &mut later).is_ready());
        // Nor is more that is awaited than there is.
        let (sent, lost) = (queue.take(0, 1000).unwrap(), queue.take(0, 1000).unwrap());
        let fourth = queue.flushed();
        assert!(queue.poll(fourth, &cx, &mut later).is_pending());
        drop(lost);
        assert!(queue.poll(fourth, &cx, &mut later).is_pending());
        queue.release(sent.into_cost());
        assert_eq!(count.0.load(Ordering::Relaxed), 4);
        assert!(queue.poll(fourth, &cx, &mut later).is_ready());
    }

    #[test]
    fn who_waits_is_woken_once_and_who_gave_up_leaves_nothing() {
        let queue = Arc::new(SendQueue::default());
        let room = queue.take(5, 1000).unwrap();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let (flushed, mut key) = (queue.flushed(), None);
        for _ in 0..1000 {
            let mut other = None;
            assert!(queue.poll(flushed, &cx, &mut other).is_pending());
            queue.forget(other.unwrap());
            assert!(queue.poll(flushed, &cx, &mut key).is_pending());
        }
        assert_eq!(queue.lock().tasks.len(), 1);
        queue.release(room.into_cost());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(queue.poll(flushed, &cx, &mut key).is_ready());

        // The queue of a client that has ended is waited for by nobody.
        let _lost = queue.take(5, 1000).unwrap();
        let (flushed, mut key) = (queue.flushed(), None);
        assert!(queue.poll(flushed, &cx, &mut key).is_pending());
        assert!(!queue.wait(flushed, Some(Instant::now())));
        let mut end = None;
        assert!(queue.poll(Until::Ended, &cx, &mut end).is_pending());
        queue.end();
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        assert!(queue.is(Until::Ended) && queue.poll(Until::Ended, &cx, &mut end).is_ready());
        assert!(queue.len() == 0 && queue.is(flushed) && queue.wait(flushed, None));
        assert!(queue.poll(flushed, &cx, &mut key).is_ready());
    }

    #[test]
    fn an_empty_queue_is_not_the_end() {
        let queue = Arc::new(SendQueue::default());
        assert!(queue.is(queue.flushed()) && !queue.is(Until::Ended));
        assert!(!queue.wait(Until::Ended, Some(Instant::now())));
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let mut key = None;
        assert!(queue.poll(Until::Ended, &cx, &mut key).is_pending());
        queue.release(queue.take(5, 1000).unwrap().into_cost());
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        // Who is woken because another waits for that looks, and goes on waiting.
        let room = queue.take(5, 1000).unwrap();
        assert!(queue.poll(queue.flushed(), &cx, &mut None).is_pending());
        queue.release(room.into_cost());
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert!(queue.poll(Until::Ended, &cx, &mut key).is_pending());
        queue.end();
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        assert!(queue.wait(Until::Ended, None));
    }
}
