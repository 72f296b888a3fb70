//! The blocking face of the server: [`Server::bind`], `start`, `stop`, `wait`. All of it may be called from any thread
//! that is not a worker.
//!
//! A server has `workers` threads, each with a runtime of its own; a connection stays on the thread that it was given
//! to. The first worker accepts and hands new connections to the one with the fewest. With `workers` at 0 there is one that
//! has no thread: whoever has the [`Driver`] runs it.

mod clock;
mod connection;
#[cfg(unix)]
mod descriptors;
mod desk;
mod driver;
mod faults;
mod http;
mod info;
mod label;
mod line;
mod linger;
mod listener;
mod listening;
mod look;
mod metrics;
mod opening;
mod pace;
mod page;
mod pending;
mod places;
mod ports;
mod proxied;
mod roster;
mod seat;
mod seen;
mod shaped;
mod shared;
#[cfg(any(test, fuzzing))]
mod simulation;
mod stages;
mod stats;
mod summaries;
mod threads;
mod tls;
#[cfg(unix)]
mod unix;
mod wire;
mod worker;

pub use driver::Driver;
pub use pending::Pending;
pub use shared::Change;
#[cfg(fuzzing)]
pub use simulation::fuzz;
pub use stats::Stats;
pub use tls::reading::{MAX_FILE, TOO_LONG, read_file};

use crate::condition::wait_while;
use crate::config::Config;
use crate::error::Error;
use crate::faults::registry::Faults;
use crate::handler::{Handler, Wants};
use crate::manual_clock::ManualClock;
use crate::protocol::account::Memory;
use crate::protocol::broadcast::SharedFrame;
use crate::protocol::limit::Limit;
use crate::protocol::message::Kind;
use crate::record::Record;
use crate::tls::Patience;
use listener::Listener;
use shared::{Command, Face, Life, Shared, lock};
use stages::{Phase, Stages, later};
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tls::identity::Identity;
use worker::Go;

/// A WebSocket server. Listens from the beginning; serves from `start` to `stop`, once.
///
/// ```
/// use echoserver::{config::Config, handler::Echo, server::Server, tungstenite};
/// use std::{sync::Arc, time::Duration};
///
/// let config = Config { host: vec!["127.0.0.1".into()], port: 0, ..Config::default() };
/// let server = Server::bind(config, Arc::new(Echo))?;
/// // Listens already: who connects now is served after the start.
/// let url = format!("ws://{}/", server.address());
/// server.start()?;
/// let (mut client, _) = tungstenite::connect(url)?;
/// client.send(vec![0, 255].into())?;
/// assert_eq!(client.read()?.into_data()[..], [0, 255]);
/// assert_eq!(server.client_count(), 1);
///
/// server.stop(Duration::from_secs(5));
/// let code = match client.read()? {
///     tungstenite::Message::Close(Some(close)) => u16::from(close.code),
///     other => panic!("{other}"),
/// };
/// assert_eq!(code, 1001);
/// // Sends the answer.
/// assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));
/// assert!(server.wait(None));
/// assert_eq!(server.stats().binary_messages_received, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// What its driver needs, from the start until it is made.
    undriven: Mutex<Option<Go>>,
}

/// Nothing that closes a socket runs under its lock: that waits for another thread's fork, whose hooks may ask for it.
#[derive(Debug)]
enum State {
    Bound(Vec<Listener>),
    Started(Vec<JoinHandle<()>>),
    Finished,
}

impl Server {
    /// Checks the options and listens.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::File`], [`Error::Content`] or [`Error::Listen`].
    pub fn bind(config: Config, handler: Arc<dyn Handler>) -> Result<Self, Error> {
        Self::bind_patiently(config, handler, &|| true)
    }

    /// The same; `patience` is asked while a file is waited for.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_patiently(
        mut config: Config,
        handler: Arc<dyn Handler>,
        patience: Patience<'_>,
    ) -> Result<Self, Error> {
        config.check()?;
        let tls = config
            .tls
            .as_ref()
            .map(|tls| Identity::new(tls, &config.host, patience))
            .transpose()?;
        let listeners = places::bind(&config)?;
        // Whoever has made them is to be the last to have them.
        config.sock.clear();
        let address = match listeners.first() {
            Some(listener) => listener.endpoint().clone(),
            None => return Err(io::Error::from(io::ErrorKind::AddrNotAvailable).into()),
        };
        let memory = Memory::new(Limit::new(&"memory_limit", config.memory_limit));
        // What connections need is theirs, however much is recorded.
        let half = config.memory_limit / 2;
        let record = config
            .record
            .map(|bound| Record::new(bound.min(half), memory.clone()));
        let shared = Shared {
            policy: config.policy(),
            proxies: config.proxies(),
            tls,
            handler,
            sending: Arc::new(config.sending()),
            memory,
            terms: Arc::new(config.terms()),
            record_wants: record.as_ref().map_or(Wants::NOTHING, |_| Wants::RECORD),
            record,
            faults: Faults::planned(&config.faults, config.seed, Arc::default()),
            workers: (0..config.worker_count())
                .map(|_| Face::default())
                .collect(),
            open: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            stages: Mutex::new(None),
            rows: OnceLock::new(),
            over: (Mutex::new(false), Condvar::new()),
            serving: AtomicBool::new(false),
            accepting: AtomicBool::new(false),
            address,
            config,
        };
        Ok(Self {
            shared: Arc::new(shared),
            state: Mutex::new(State::Bound(listeners)),
            undriven: Mutex::new(None),
        })
    }

    /// Starts the workers; clients that came since `bind` are served now, or by its [`Self::driver`] if it has no workers.
    ///
    /// # Errors
    /// [`Error::State`] if it was started or stopped before. [`Error::Start`] if there are no threads or event queues;
    /// then it is as if it had not been asked.
    pub fn start(&self) -> Result<(), Error> {
        let mut state = lock(&self.state);
        let State::Bound(listeners) = &mut *state else {
            return Err(Error::State(match *state {
                State::Finished => "the server was stopped; make another",
                State::Bound(_) | State::Started(_) => "the server was started before",
            }));
        };
        let is_driven = self.shared.config.is_driven();
        let workers = if is_driven {
            // Made on the thread that drives it, and tried here, where nothing has happened yet.
            drop(worker::runtime(self.shared.handler.clone())?);
            Vec::new()
        } else {
            threads::spawn(&self.shared)?
        };
        let mut listeners = std::mem::take(listeners);
        let life = Arc::new(Life(self.shared.clone()));
        self.shared.serving.store(true, Ordering::Release);
        for worker in &self.shared.workers {
            worker.lets_in.store(true, Ordering::Release);
        }
        let (threads, go): (Vec<_>, Vec<_>) = workers.into_iter().unzip();
        *state = State::Started(threads);
        // Sockets may be closed from here on, and if all workers have ended already the handler hears of it: see `State`.
        drop(state);
        // Whoever advances the clock from now on waits for all of them.
        let clock = self.shared.config.clock.as_ref();
        for go in go {
            // One that has panicked since then is missed by nobody.
            let hand = clock.map(ManualClock::join);
            let _ = go.send((std::mem::take(&mut listeners), hand, life.clone()));
        }
        if is_driven {
            *lock(&self.undriven) = Some((listeners, clock.map(ManualClock::join), life));
        }
        Ok(())
    }

    /// What serves the clients of a server that was started with `workers` at 0, on the thread that calls this. Nobody
    /// waits for such a server on that thread before the driver has ended.
    ///
    /// # Errors
    /// [`Error::State`] if it was not started, has workers, or has a driver. [`Error::Start`] if there is no event queue;
    /// the server ends then.
    pub fn driver(&self) -> Result<Driver, Error> {
        let go = lock(&self.undriven).take();
        let Some(go) = go else {
            return Err(Error::State("the server has nothing to be driven"));
        };
        Ok(Driver::new(&self.shared, go)?)
    }

    /// Whether it was started or stopped, so that it can't be started any more.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !matches!(*lock(&self.state), State::Bound(_))
    }

    /// Asks the server to stop and returns at once: after `drain_delay` it accepts no more and tells every client 1001,
    /// spread over `drain_spread`, and it ends when they are gone, at the latest after `timeout`, which these two get what
    /// `close_timeout` leaves of. A second call can only bring the end forward.
    pub fn stop(&self, timeout: Duration) {
        let mut state = lock(&self.state);
        let bound = match &mut *state {
            State::Bound(listeners) => Some(std::mem::take(listeners)),
            State::Started(_) | State::Finished => None,
        };
        if bound.is_some() {
            *state = State::Finished;
        }
        drop(state);
        if let Some(listeners) = bound {
            drop(listeners);
            self.shared.end();
        }
        let moment = self.shared.moment();
        self.shared.serving.store(false, Ordering::Release);
        drop(moment);
        let mut stages = lock(&self.shared.stages);
        // As the workers see it, also in a test that has time of its own.
        let now = tokio::time::Instant::now().into_std();
        let new = Stages::new(now, timeout, &self.shared.config);
        *stages = Some(stages.map_or(new, |before| before.with(new)));
        drop(stages);
        for worker in &self.shared.workers {
            worker.commands.post_one(Command::Stop);
        }
    }

    /// Asks for a change of how it listens. There is no answer if the server ends before.
    ///
    /// # Errors
    /// [`Error::State`] if it does not run. The answer is one of these, too, if the change makes no sense now, or
    /// [`Error::Listen`] if an address is not to be had; then nothing is changed.
    pub fn change(&self, change: Change) -> Result<Pending<Result<(), Error>>, Error> {
        if let State::Bound(_) = *lock(&self.state) {
            let why = "the server is not started: call start(), or use `with server:`";
            return Err(Error::State(why));
        }
        // While clients still come in at a stop, they come in again after an outage.
        let lets_in = || {
            let begins = matches!(change, Change::Resume | Change::Up(_));
            begins && self.shared.phase() < Phase::Closing
        };
        if !self.is_serving() && !lets_in() {
            return Err(Error::State("the server has stopped"));
        }
        let (answer, answers) = mpsc::channel();
        if let Some(first) = self.shared.workers.first() {
            first.commands.post_one(Command::Change((change, answer)));
        }
        Ok(Pending::new(answers))
    }

    /// Resets all connections: done, without an answer, when they are closed.
    #[must_use]
    pub fn reset(&self) -> Pending<Infallible> {
        let (done, is_done) = mpsc::channel();
        for worker in &self.shared.workers {
            worker.commands.post_one(Command::Reset(done.clone()));
        }
        Pending::new(is_done)
    }

    /// Waits until the server has stopped and its threads have ended: `false` after `timeout`, and at once before `start`.
    /// `None` waits for ever.
    #[must_use]
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        if matches!(*lock(&self.state), State::Bound(_)) {
            return false;
        }
        let (over, condition) = &self.shared.over;
        let deadline = timeout.map(after);
        let is_over = wait_while(condition, lock(over), deadline, |is_over| !*is_over);
        if !*is_over {
            return false;
        }
        drop(is_over);
        let mut state = lock(&self.state);
        if let State::Started(threads) = std::mem::replace(&mut *state, State::Finished) {
            for thread in threads {
                // A panic was reported when it happened; the server has ended all the same.
                let _ = thread.join();
            }
        }
        true
    }

    /// Reads the files of `tls` again, or makes a new certificate from the same authority, for the connections from now
    /// on; those that are stay as they are. `patience` is asked while a file is waited for.
    ///
    /// # Errors
    /// As [`Self::bind`], and then nothing is changed; [`Error::State`] without TLS.
    pub fn reload_tls(&self, patience: Patience<'_>) -> Result<(), Error> {
        match &self.shared.tls {
            Some(identity) => identity.reload(patience),
            None => Err(Error::State("the server has no TLS to reload")),
        }
    }

    /// A message for many clients; `None` if `memory_limit` leaves no room for it.
    #[must_use]
    pub fn frame(&self, kind: Kind, payload: &[u8]) -> Option<Arc<SharedFrame>> {
        SharedFrame::new(kind.opcode(), payload, &self.shared.memory).ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
        // Nobody will drive it.
        let undriven = lock(&self.undriven).take();
        drop(undriven);
        // With no time limit it is true.
        let _ = self.wait(None);
    }
}

/// That much later; a timeout beyond the clock's range is meant as "never", which a century is as well.
#[must_use]
pub fn after(timeout: Duration) -> Instant {
    later(Instant::now(), timeout)
}
