//! What the workers tell the dispatcher, and what wakes it for that.

use super::doorbell::Doorbell;
use super::lock::lock;
use crate::admission::Request;
use crate::client::{self, Client};
use crate::condition::wait_while;
use crate::endpoint::Peer;
use crate::handler::{Batch, Gate, Summary};
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Between two wake-ups of the dispatcher by a worker that has more to do.
const WAKE_INTERVAL: Duration = Duration::from_micros(100);

/// Lines of a kind that may wait to be logged; further ones are only counted.
const MAX_LINES: usize = 1024;

/// The charge for a client, while something of it waits.
pub(super) type Held = Option<client::held::Held>;

/// Something to tell. What a new one has to heed is in `docs/design.md`.
#[derive(Debug)]
pub(super) enum Event {
    /// Not held here: of clients that come and go while a callback waits, nothing may pile up.
    Handshake(Weak<Request>),
    /// Its messages may wait until it is admitted.
    Open(Arc<Client>, Held, Gate),
    Messages(Arc<Client>, Batch),
    /// A ping that Python has sent was answered, with this payload.
    Pong(Arc<Client>, Vec<u8>, Held),
    /// What somebody has asked about is on the wire.
    Written(Arc<Client>, Held),
    Close(Arc<Client>, Held),
    Refusal(Refusal),
    Ended(Box<Ended>),
    /// The server has ended; nothing follows.
    Closed,
}

impl Event {
    /// Whose it is; of no client if it is of the server.
    pub(super) const fn client(&self) -> Option<&Arc<Client>> {
        match self {
            Self::Open(client, ..)
            | Self::Messages(client, _)
            | Self::Pong(client, ..)
            | Self::Written(client, _)
            | Self::Close(client, _) => Some(client),
            // The log does not wait for a client's callbacks.
            Self::Handshake(_) | Self::Refusal(_) | Self::Ended(_) | Self::Closed => None,
        }
    }
}

/// Somebody who did not get in, for the log and for the door of an event loop.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What the log says, with places for those of the other two that there are; nothing of plain requests.
    pub(super) text: Option<&'static str>,
    /// Whether it was in already, of which the door is not told.
    pub(super) was_in: bool,
    /// What has happened, in a word.
    pub(super) event: &'static str,
    /// Nobody, of connections that could not be accepted.
    pub(super) peer: Option<Peer>,
    pub(super) reason: String,
}

impl Refusal {
    /// Of somebody who was not in, as the log says it.
    pub(super) fn new(
        event: &'static str,
        text: &'static str,
        peer: Option<Peer>,
        reason: &str,
    ) -> Self {
        Self {
            text: Some(text),
            was_in: false,
            event,
            peer,
            reason: reason.to_owned(),
        }
    }
}

/// A client that is gone, for the log.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) client: Arc<Client>,
    pub(super) summary: Summary,
    pub(super) _held: Held,
}

/// Lines of a kind that wait to be logged, and how many more there were.
#[derive(Debug, Default)]
struct Lines {
    waiting: usize,
    unlogged: u64,
}

impl Lines {
    /// Whether one more may wait; else it is counted.
    const fn take_place(&mut self) -> bool {
        let has_place = self.take_place_uncounted();
        if !has_place {
            self.unlogged += 1;
        }
        has_place
    }

    /// The same of what is in no log.
    const fn take_place_uncounted(&mut self) -> bool {
        let has_place = self.waiting < MAX_LINES;
        if has_place {
            self.waiting += 1;
        }
        has_place
    }
}

/// Those that the dispatcher has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: Mutex<Queue>,
    /// Messages are queued, and the dispatcher sleeps: it is woken when the worker has nothing else to do, or soon.
    owed: AtomicBool,
    filled: Condvar,
    /// What wakes an event loop that runs the dispatcher; `None` wherever a thread waits in `take`.
    doorbell: Mutex<Option<Arc<Doorbell>>>,
}

#[derive(Debug, Default)]
struct Queue {
    events: Vec<Event>,
    refusals: Lines,
    ends: Lines,
    waiting: bool,
    /// What wakes it, if its thread serves the clients meanwhile.
    turn: Option<Waker>,
    /// When the dispatcher was last woken.
    woken: Option<Instant>,
}

impl Queue {
    /// Swaps what is queued into `events`, which is empty before it.
    fn swap(&mut self, events: &mut Vec<Event>) {
        mem::swap(&mut self.events, events);
        self.refusals.waiting = 0;
        self.ends.waiting = 0;
    }
}

impl Events {
    pub(super) fn push(&self, event: Event) {
        let can_wait = matches!(event, Event::Messages(..));
        let mut queue = lock(&self.queue);
        queue.events.push(event);
        self.wake(queue, can_wait);
    }

    /// Somebody did not get in. `make` is asked only if there is room for the line.
    pub(super) fn push_refusal(&self, make: impl FnOnce() -> Refusal) {
        let mut queue = lock(&self.queue);
        if queue.refusals.take_place() {
            queue.events.push(Event::Refusal(make()));
            self.wake(queue, false);
        }
    }

    /// The same of somebody who is in no log.
    pub(super) fn push_unlogged(&self, make: impl FnOnce() -> Refusal) {
        let mut queue = lock(&self.queue);
        if queue.refusals.take_place_uncounted() {
            queue.events.push(Event::Refusal(make()));
            self.wake(queue, false);
        }
    }

    /// A client is gone; the same.
    pub(super) fn push_ended(&self, make: impl FnOnce() -> Ended) {
        let mut queue = lock(&self.queue);
        if queue.ends.take_place() {
            queue.events.push(Event::Ended(Box::new(make())));
            self.wake(queue, false);
        }
    }

    /// Wakes the dispatcher if it sleeps. With messages that can wait it does so at most once in `WAKE_INTERVAL`: each
    /// wake-up may take the core from the worker, which has more for it in a moment.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>, can_wait: bool) {
        if !queue.waiting {
            return;
        }
        if let Some(turn) = queue.turn.take() {
            // It takes all that comes in this turn of the worker.
            queue.waiting = false;
            drop(queue);
            return turn.wake();
        }
        let now = Instant::now();
        if can_wait && queue.woken.is_some_and(|woken| now - woken < WAKE_INTERVAL) {
            self.owed.store(true, Ordering::Relaxed);
            return;
        }
        self.owed.store(false, Ordering::Relaxed);
        queue.waiting = false;
        queue.woken = Some(now);
        drop(queue);
        let doorbell = lock(&self.doorbell).clone();
        match doorbell {
            Some(doorbell) => doorbell.ring(),
            None => self.filled.notify_one(),
        }
    }

    /// Wakes the dispatcher if messages wait for that; if they `can_wait`, at most once in `WAKE_INTERVAL`.
    pub(super) fn wake_if_owed(&self, can_wait: bool) {
        if self.owed.load(Ordering::Relaxed) {
            self.wake(lock(&self.queue), can_wait);
        }
    }

    /// Has the dispatcher run once more, if it waits.
    pub(super) fn nudge(&self) {
        self.wake(lock(&self.queue), false);
    }

    /// Refusals that were not queued since the last call: there was no room for them.
    pub(super) fn take_unlogged_refusals(&self) -> u64 {
        mem::take(&mut lock(&self.queue).refusals.unlogged)
    }

    /// The same of clients that are gone.
    pub(super) fn take_unlogged_ends(&self) -> u64 {
        mem::take(&mut lock(&self.queue).ends.unlogged)
    }

    /// Swaps what is queued into `events`, which is empty before it; waits for something at most `timeout`.
    pub(super) fn take(&self, events: &mut Vec<Event>, timeout: Option<Duration>) {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut queue = wait_while(&self.filled, lock(&self.queue), deadline, |queue| {
            queue.waiting |= queue.events.is_empty();
            queue.events.is_empty()
        });
        queue.swap(events);
    }

    /// Ready if something is queued; else the task of the last call is woken for what comes.
    pub(super) fn poll_filled(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = lock(&self.queue);
        if !queue.events.is_empty() {
            return Poll::Ready(());
        }
        queue.waiting = true;
        queue.turn = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Swaps what is queued into `events`, which is empty before it. If there is nothing, the doorbell rings for what
    /// comes then.
    pub(super) fn take_now(&self, events: &mut Vec<Event>) {
        let mut queue = lock(&self.queue);
        if queue.events.is_empty() {
            queue.waiting = true;
        } else {
            queue.swap(events);
        }
    }

    /// From now on the dispatcher does not wait in `take`, but is run when the doorbell rings.
    /// `is_watched` says whether the loop can watch a descriptor.
    pub(super) fn hang_doorbell(&self, is_watched: bool) -> io::Result<Arc<Doorbell>> {
        let doorbell = Arc::new(if is_watched {
            Doorbell::pair()?
        } else {
            Doorbell::thread()
        });
        *lock(&self.doorbell) = Some(doorbell.clone());
        let mut queue = lock(&self.queue);
        queue.waiting = true;
        if !queue.events.is_empty() {
            self.wake(queue, false);
        }
        Ok(doorbell)
    }

    /// Whether an event loop runs the dispatcher.
    pub(super) fn has_doorbell(&self) -> bool {
        lock(&self.doorbell).is_some()
    }

    /// Nothing rings any more.
    pub(super) fn remove_doorbell(&self) {
        let doorbell = lock(&self.doorbell).take();
        if let Some(doorbell) = doorbell {
            doorbell.end();
        }
    }
}
