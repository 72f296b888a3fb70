//! What the Python objects of one server share, and the dispatcher with them. Holds no Python object, so that a worker
//! may hold it.

use crate::client::Client;
use crate::handler::{Batch, Gate, Handler, Wants};
use crate::mailbox::{Command, Mailbox, Order, Replies};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// What the workers tell the dispatcher.
#[derive(Debug)]
pub(super) enum Event {
    Open(Arc<Client>),
    Messages(Arc<Client>, Batch),
    Close(Arc<Client>),
    /// The server has ended; nothing follows.
    Closed,
}

/// Whether somebody runs the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    Never,
    Running(ThreadId),
    Done,
}

#[derive(Debug)]
pub(super) struct Link {
    pid: u32,
    pub(super) max_send_queue: usize,
    wants: AtomicU32,
    debug: AtomicBool,
    pub(super) callback_errors: AtomicU64,
    queue: Mutex<Queue>,
    filled: Condvar,
    drain: Mutex<Drain>,
    drained: Condvar,
    pub(super) outgoing: Mutex<Outgoing>,
    /// The callback that runs now.
    pub(super) callback: Mutex<Option<&'static str>>,
}

#[derive(Debug, Default)]
struct Queue {
    events: Vec<Event>,
    waiting: bool,
}

impl Link {
    pub(super) fn new(max_send_queue: usize) -> Arc<Self> {
        Arc::new(Self {
            pid: std::process::id(),
            max_send_queue,
            wants: AtomicU32::new(0),
            debug: AtomicBool::new(false),
            callback_errors: AtomicU64::new(0),
            queue: Mutex::default(),
            filled: Condvar::new(),
            drain: Mutex::new(Drain::Never),
            drained: Condvar::new(),
            outgoing: Mutex::default(),
            callback: Mutex::new(None),
        })
    }

    /// Whether this process was forked from the one that made the server.
    pub(super) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    pub(super) fn want(&self, wants: Wants) {
        self.wants.fetch_or(wants.bits(), Ordering::Relaxed);
    }

    pub(super) fn debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    /// From the next message on.
    pub(super) fn set_debug(&self, debug: bool) {
        self.debug.store(debug, Ordering::Relaxed);
    }

    fn push(&self, event: Event) {
        let mut queue = lock(&self.queue);
        queue.events.push(event);
        if mem::take(&mut queue.waiting) {
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// Swaps what is queued into `events`, which is empty before it; waits for something at most `timeout`.
    pub(super) fn take(&self, events: &mut Vec<Event>, timeout: Option<Duration>) {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut queue = lock(&self.queue);
        while queue.events.is_empty() {
            queue.waiting = true;
            queue =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    None => self
                        .filled
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner),
                    Some(Duration::ZERO) => break,
                    Some(left) => {
                        self.filled
                            .wait_timeout(queue, left)
                            .unwrap_or_else(PoisonError::into_inner)
                            .0
                    }
                };
        }
        mem::swap(&mut queue.events, events);
    }

    /// Makes the current thread the dispatcher's: `false` if another is or was.
    pub(super) fn begin_drain(&self) -> bool {
        let mut drain = lock(&self.drain);
        if *drain != Drain::Never {
            return false;
        }
        *drain = Drain::Running(thread::current().id());
        true
    }

    pub(super) fn end_drain(&self) {
        *lock(&self.drain) = Drain::Done;
        self.drained.notify_all();
    }

    pub(super) fn in_dispatcher(&self) -> bool {
        *lock(&self.drain) == Drain::Running(thread::current().id())
    }

    /// Waits until nobody runs the dispatcher: `false` at the deadline.
    pub(super) fn wait_drained(&self, timeout: Duration) -> bool {
        let drain = lock(&self.drain);
        let running = |drain: &mut Drain| matches!(drain, Drain::Running(_));
        let (drain, _) = self
            .drained
            .wait_timeout_while(drain, timeout, running)
            .unwrap_or_else(PoisonError::into_inner);
        !matches!(*drain, Drain::Running(_))
    }

    /// Gives a client's connection an order. From a callback it goes with the answers of the batch, behind those
    /// before it; from elsewhere at once.
    pub(super) fn order(&self, client: &Arc<Client>, order: Order) {
        if self.in_dispatcher() {
            lock(&self.outgoing).push(client, order);
        } else {
            client.order(order);
        }
    }
}

impl Handler for Link {
    fn wants(&self) -> Wants {
        let wants = Wants::from_bits(self.wants.load(Ordering::Relaxed));
        if self.debug() {
            wants | Wants::TEXT | Wants::BINARY | Wants::CLOSE
        } else {
            wants
        }
    }

    fn on_open(&self, client: &Arc<Client>) -> Gate {
        self.push(Event::Open(client.clone()));
        Gate::Later
    }

    fn on_messages(&self, client: &Arc<Client>, batch: Batch) {
        self.push(Event::Messages(client.clone(), batch));
    }

    fn on_close(&self, client: &Arc<Client>) {
        self.push(Event::Close(client.clone()));
    }

    fn on_closed(&self) {
        self.push(Event::Closed);
    }
}

/// What the dispatcher has for the workers; posted once for many callbacks, with one wake-up per worker.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    posts: Vec<(Arc<Mailbox>, Vec<Command>)>,
    answers: Option<Answers>,
}

/// The batch that is being answered.
#[derive(Debug)]
struct Answers {
    client: Arc<Client>,
    batch: Batch,
    /// Messages answered, and where the frame of the next one begins in the batch.
    done: usize,
    at: usize,
    /// What is not handed over yet: the frames, unless they are the batch's own from `from` to `at`.
    from: usize,
    written: Option<Vec<u8>>,
    ends: Vec<usize>,
    answered: usize,
}

/// The answer to one message.
#[derive(Debug)]
pub(super) enum Answer {
    Echo,
    Frame(Vec<u8>),
    Nothing,
}

impl Outgoing {
    pub(super) fn begin(&mut self, client: Arc<Client>, batch: Batch) {
        self.answers = Some(Answers {
            client,
            done: 0,
            at: 0,
            from: 0,
            written: None,
            ends: Vec::with_capacity(batch.messages.len()),
            answered: 0,
            batch,
        });
    }

    /// Payload of the message that is to be answered next.
    pub(super) fn message(&self) -> Option<(crate::protocol::message::Kind, &[u8])> {
        let answers = self.answers.as_ref()?;
        let (kind, payload) = answers.batch.messages.get(answers.done)?;
        Some((*kind, &answers.batch.wire[payload.clone()]))
    }

    /// Answers that message.
    pub(super) fn answer(&mut self, answer: Answer) {
        let Some(answers) = &mut self.answers else {
            return;
        };
        let Some((_, payload)) = answers.batch.messages.get(answers.done) else {
            return;
        };
        let frame = answers.at..payload.end;
        answers.answered += payload.len();
        answers.done += 1;
        answers.at = frame.end;
        match (answer, &mut answers.written) {
            (Answer::Echo, None) => {}
            (Answer::Echo, Some(written)) => written.extend_from_slice(&answers.batch.wire[frame]),
            (answer, written) => {
                let from = answers.from;
                let written =
                    written.get_or_insert_with(|| answers.batch.wire[from..frame.start].to_vec());
                if let Answer::Frame(bytes) = answer {
                    written.extend_from_slice(&bytes);
                }
            }
        }
        answers.ends.push(
            answers
                .written
                .as_ref()
                .map_or(answers.at - answers.from, Vec::len),
        );
    }

    /// Ends the batch.
    pub(super) fn end(&mut self) {
        self.hand_over();
        self.answers = None;
    }

    /// Puts the answers so far among what is posted, so that something can follow them.
    fn hand_over(&mut self) {
        let Some(answers) = &mut self.answers else {
            return;
        };
        if answers.ends.is_empty() {
            return;
        }
        let wire = match answers.written.take() {
            Some(written) => written,
            // The whole batch goes back as it came.
            None if answers.from == 0 && answers.done == answers.batch.messages.len() => {
                mem::take(&mut answers.batch.wire)
            }
            None => answers.batch.wire[answers.from..answers.at].to_vec(),
        };
        answers.from = answers.at;
        let replies = Replies {
            wire,
            ends: mem::take(&mut answers.ends),
            answered: mem::take(&mut answers.answered),
        };
        let client = answers.client.clone();
        self.add(&client, Order::Replies(replies));
    }

    pub(super) fn push(&mut self, client: &Arc<Client>, order: Order) {
        self.hand_over();
        self.add(client, order);
    }

    fn add(&mut self, client: &Arc<Client>, order: Order) {
        let command = Command::Client(client.clone(), order);
        match self
            .posts
            .iter_mut()
            .find(|(mailbox, _)| Arc::ptr_eq(mailbox, client.mailbox()))
        {
            Some((_, commands)) => commands.push(command),
            None => self.posts.push((client.mailbox().clone(), vec![command])),
        }
    }

    /// Posts everything, the answers of an unfinished batch included.
    pub(super) fn flush(&mut self) {
        self.hand_over();
        for (mailbox, commands) in &mut self.posts {
            if !commands.is_empty() {
                mailbox.post(commands);
            }
        }
    }
}

/// Nothing that can panic runs under these locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
