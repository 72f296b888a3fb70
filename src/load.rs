//! A load for a WebSocket server, made by tokio-tungstenite's client, and how long each answer took. Knows nothing of our
//! server: it is for any that echoes.
//!
//! Each thread has a runtime, and its share of the clients. They connect, wait for each other, and then each keeps
//! `in_flight` messages on their way: for one answer, one message more.

mod connecting;
mod trust;

pub use self::trust::Trust;

use self::connecting::{Socket, connect};
use futures_util::future::join_all;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread::Builder;
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long a client may need to connect, and for the answers that are due at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Nanoseconds; an answer that took longer is counted as this.
const LONGEST: u64 = 600_000_000_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server's; `ws://` or `wss://`.
    pub url: String,
    /// Whose certificates are accepted, which `wss://` needs.
    pub trust: Option<Trust>,
    /// How many, at least 1.
    pub clients: usize,
    /// Messages of each client that wait for their answer, at least 1.
    pub in_flight: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Binary messages instead of text.
    pub is_binary: bool,
    /// How long it goes on once all have connected.
    pub time: Duration,
    /// Threads that make it, at least 1.
    pub threads: usize,
}

/// What has come of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Answers within the time.
    pub messages: u64,
    /// Clients that did not connect, or ended before the time was over.
    pub failed: usize,
    /// Why the first of them did.
    pub failure: Option<String>,
    /// Answers that were not what had been sent.
    pub wrong: u64,
    /// How long answers took, in nanoseconds.
    pub latencies: Histogram<u64>,
}

impl Report {
    fn new() -> Result<Self, String> {
        Ok(Self {
            messages: 0,
            failed: 0,
            failure: None,
            wrong: 0,
            // Three digits of each.
            latencies: Histogram::new_with_bounds(1, LONGEST, 3)
                .map_err(|error| error.to_string())?,
        })
    }

    fn fail(&mut self, count: usize, failure: String) {
        self.failed += count;
        self.failure.get_or_insert(failure);
    }

    fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.failed += other.failed;
        self.failure = self.failure.take().or_else(|| other.failure.clone());
        self.wrong += other.wrong;
        // Both have the same bounds.
        let _ = self.latencies.add(&other.latencies);
    }
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    message: Message,
    /// Clients that have connected, and answers so far.
    connected: AtomicUsize,
    answered: AtomicU64,
    /// All threads have connected their clients.
    begin: Barrier,
    /// What the threads that are done have found, and how many are not.
    found: Mutex<(Report, usize)>,
    done: Condvar,
}

/// A load that is made.
#[derive(Debug, Clone)]
pub struct Load(Arc<Shared>);

impl Load {
    /// Begins with it, in threads of its own, which nobody needs to wait for.
    ///
    /// # Errors
    /// There are no threads or event queues.
    pub fn start(plan: Plan) -> io::Result<Self> {
        let threads = plan.threads.min(plan.clients).max(1);
        let message = if plan.is_binary {
            Message::binary(vec![b'x'; plan.size])
        } else {
            Message::text("x".repeat(plan.size))
        };
        let load = Self(Arc::new(Shared {
            message,
            connected: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            begin: Barrier::new(threads),
            found: Mutex::new((Report::new().map_err(io::Error::other)?, threads)),
            done: Condvar::new(),
            plan,
        }));
        let runtimes: Vec<_> = (0..threads)
            .map(|_| runtime::Builder::new_current_thread().enable_all().build())
            .collect::<Result<_, _>>()?;
        for (number, runtime) in runtimes.into_iter().enumerate() {
            let shared = load.0.clone();
            // One for each that is left over.
            let share = (shared.plan.clients + threads - 1 - number) / threads;
            Builder::new()
                .name(format!("load-{number}"))
                .spawn(move || shared.make(&runtime, share))?;
        }
        Ok(load)
    }

    /// Clients that have connected so far.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.0.connected.load(Ordering::Relaxed)
    }

    /// Answers so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// What has come of it; `None` if it is not over after `time`.
    #[must_use]
    pub fn wait(&self, time: Duration) -> Option<Report> {
        let found = self.0.found();
        let waited = self
            .0
            .done
            .wait_timeout_while(found, time, |(_, left)| *left > 0);
        let (found, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (found.1 == 0).then(|| found.0.clone())
    }
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, (Report, usize)> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one thread does.
    fn make(&self, runtime: &runtime::Runtime, share: usize) {
        let mut found = Report::new();
        let connecting = (0..share).map(|_| self.connect());
        let clients = runtime.block_on(join_all(connecting));
        self.begin.wait();
        if let Ok(report) = &mut found {
            let end = Instant::now() + self.plan.time;
            let shared = RefCell::new(&mut *report);
            let talking = clients.into_iter().map(async |socket| {
                let said = match socket {
                    Ok(socket) => self.talk(socket, end, &shared).await,
                    Err(failure) => Err(failure),
                };
                if let Err(failure) = said {
                    shared.borrow_mut().fail(1, failure);
                }
            });
            runtime.block_on(join_all(talking));
        }
        let (all, left) = &mut *self.found();
        match found {
            Ok(report) => all.add(&report),
            Err(failure) => all.fail(share, failure),
        }
        *left -= 1;
        self.done.notify_all();
    }

    async fn connect(&self) -> Result<Socket, String> {
        // The answers to our own messages are as long as these.
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None)
            // Nothing is written before it is flushed, and meanwhile what comes is read: see `next`.
            .write_buffer_size(usize::MAX / 2);
        let connecting = connect(&self.plan.url, self.plan.trust.as_ref(), config);
        let socket = timeout(PATIENCE, connecting)
            .await
            .map_err(|_elapsed| format!("no connection within {} s", PATIENCE.as_secs()))??;
        self.connected.fetch_add(1, Ordering::Relaxed);
        Ok(socket)
    }

    /// One client, until its last answer has come.
    async fn talk(
        &self,
        mut socket: Socket,
        end: Instant,
        report: &RefCell<&mut Report>,
    ) -> Result<(), String> {
        let talking = self.exchange(&mut socket, end, report);
        timeout(self.plan.time + PATIENCE, talking)
            .await
            .map_err(|_elapsed| format!("no answer within {} s", PATIENCE.as_secs()))??;
        // Whether it answers is not what is measured.
        let _ = timeout(PATIENCE, socket.close(None)).await;
        Ok(())
    }

    async fn exchange(
        &self,
        socket: &mut Socket,
        end: Instant,
        report: &RefCell<&mut Report>,
    ) -> Result<(), String> {
        let broken = |error: Error| error.to_string();
        let mut sent = VecDeque::with_capacity(self.plan.in_flight);
        for _ in 0..self.plan.in_flight {
            sent.push_back(Instant::now());
            socket.feed(self.message.clone()).await.map_err(broken)?;
        }
        while !sent.is_empty() {
            let mut next = next(socket).await;
            // All that has come is answered with one write.
            loop {
                let message = next
                    .ok_or("the server ended the connection")?
                    .map_err(broken)?;
                if let Message::Close(close) = &message {
                    let code = close.as_ref().map_or(1005, |close| close.code.into());
                    return Err(format!("the server closed with {code}"));
                }
                if message.is_text() || message.is_binary() {
                    let at = sent.pop_front();
                    let is_right = message == self.message;
                    if self.count(at, is_right, end, &mut report.borrow_mut()) {
                        sent.push_back(Instant::now());
                        socket.feed(self.message.clone()).await.map_err(broken)?;
                    }
                }
                match socket.next().now_or_never() {
                    Some(more) => next = more,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Counts an answer, to what was sent at that time, if it has come before the `end`. Whether there is to be another.
    fn count(
        &self,
        at: Option<Instant>,
        is_right: bool,
        end: Instant,
        report: &mut Report,
    ) -> bool {
        if at.is_none() || !is_right {
            report.wrong += 1;
        }
        let now = Instant::now();
        let Some(at) = at.filter(|_| now < end) else {
            return false;
        };
        let nanoseconds = u64::try_from((now - at).as_nanos()).unwrap_or(u64::MAX);
        report.latencies.saturating_record(nanoseconds);
        report.messages += 1;
        self.answered.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// What comes next, while what was fed is written: a server that echoes may read only while it is read from.
async fn next(socket: &mut Socket) -> Option<Result<Message, Error>> {
    poll_fn(|cx| match socket.poll_flush_unpin(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
        _ => socket.poll_next_unpin(cx),
    })
    .await
}
