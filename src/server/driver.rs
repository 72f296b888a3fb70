//! The only worker of a server that has no threads (`workers` is 0): whoever has its driver runs it, in turns, and does
//! what it likes on the same thread between them.
//!
//! What comes from other threads between two turns wakes nobody: it is looked for first thing in the next one. Neither does
//! that time count for the timers of connections.

use super::clock::{Clock, Pauses};
use super::desk::Desk;
use super::shared::{Life, Shared, lock};
use super::worker::{self, Ended, Go};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use tokio::runtime::LocalRuntime;
use tokio::time::{Sleep, sleep_until};

/// A look at what nobody can be woken for, and how long the turn of one of several takes.
const GRAIN: Duration = Duration::from_millis(1);

/// Runs the clients of a server without worker threads. It stays on its thread, outside of any runtime, and the server
/// ends with it.
///
/// ```
/// use echoserver::{config::Config, handler::Echo, server::Server, tungstenite};
/// use std::{sync::Arc, task::Poll, thread, time::Duration};
///
/// let config = Config {
///     host: vec!["127.0.0.1".into()],
///     port: 0,
///     workers: Some(0),
///     ..Config::default()
/// };
/// let server = Arc::new(Server::bind(config, Arc::new(Echo))?);
/// server.start()?;
/// let own = server.clone();
/// let client = thread::spawn(move || {
///     let answer = tungstenite::connect(format!("ws://{}/", own.address())).and_then(|(mut client, _)| {
///         client.send("text".into())?;
///         client.read()
///     });
///     own.stop(Duration::ZERO);
///     answer
/// });
/// let mut driver = server.driver()?;
/// while !driver.has_ended() {
///     driver.turn(None, |_cx| Poll::Pending);
/// }
/// assert_eq!(client.join().unwrap()?, "text".into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Driver {
    bell: Arc<Bell>,
    /// `None` once it has ended.
    work: Option<Work>,
}

/// Dropped in this order, as a worker's thread does it.
struct Work {
    main: Pin<Box<dyn Future<Output = ()>>>,
    alarm: Option<Pin<Box<Sleep>>>,
    runtime: LocalRuntime,
    _ended: Ended,
    _life: Arc<Life>,
    pauses: Rc<Pauses>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("has_ended", &self.has_ended())
            .finish_non_exhaustive()
    }
}

impl Driver {
    pub(super) fn new(shared: &Arc<Shared>, (listeners, hand, life): Go) -> io::Result<Self> {
        let runtime = worker::runtime(shared.handler.clone())?;
        let ended = Ended(shared.clone(), 0);
        let pauses = Rc::new(Pauses::default());
        let clock = hand.map_or_else(|| Clock::pausing(pauses.clone()), Clock::of);
        let desk = Desk::new(shared.clone(), 0, clock);
        Ok(Self {
            bell: Arc::default(),
            work: Some(Work {
                main: Box::pin(worker::main(desk, listeners)),
                alarm: None,
                runtime,
                _ended: ended,
                _life: life,
                pauses,
            }),
        })
    }

    /// Whether the server has ended, so that there are no turns any more.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.work.is_none()
    }

    /// Wakes a turn, so that it asks again whether it is over. Any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.bell.clone().into()
    }

    /// Runs the server until `is_over`, `until`, or its end. Whatever there is to do at the moment is done before, up to a
    /// bound. `is_over` is asked whenever its context was woken, and may be asked more often.
    pub fn turn(
        &mut self,
        until: Option<Instant>,
        mut is_over: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) {
        let Some(work) = &mut self.work else { return };
        let Work {
            main,
            alarm,
            runtime,
            pauses,
            ..
        } = work;
        pauses.end();
        let bell = &*self.bell;
        bell.is_outside.store(false, Ordering::SeqCst);
        let waker = Waker::from(self.bell.clone());
        let mut has_begun = false;
        let has_ended = runtime.block_on(poll_fn(|cx| {
            bell.hang(cx.waker());
            if bell.is_rung.swap(false, Ordering::SeqCst)
                && main
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_ready()
            {
                return Poll::Ready(true);
            }
            if is_over(cx).is_ready() || is_late(alarm, until, cx) {
                if has_begun {
                    return Poll::Ready(false);
                }
                // Clients have their turn before.
                cx.waker().wake_by_ref();
            }
            has_begun = true;
            Poll::Pending
        }));
        bell.is_outside.store(true, Ordering::SeqCst);
        pauses.begin();
        if has_ended {
            self.work = None;
        }
    }

    /// Has the servers of this thread run by turns until `is_over`, `until`, or the end of all. That the others have their
    /// turn is no pause: the timers of all connections go on.
    pub fn take_turns(drivers: &mut [&mut Self], until: Instant, is_over: impl Fn() -> bool) {
        let is_over_now = |_cx: &mut Context<'_>| {
            if is_over() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        };
        let mut is_first = true;
        while Instant::now() < until && !is_over() && !drivers.iter().all(|one| one.has_ended()) {
            for driver in &mut *drivers {
                if let Some(work) = driver.work.as_ref().filter(|_| !is_first) {
                    work.pauses.forget();
                }
                driver.turn(Some(Instant::now() + GRAIN), is_over_now);
            }
            is_first = false;
        }
    }
}

/// Whether it is time; the alarm goes off at the latest then.
fn is_late(
    alarm: &mut Option<Pin<Box<Sleep>>>,
    until: Option<Instant>,
    cx: &mut Context<'_>,
) -> bool {
    let Some(until) = until.map(tokio::time::Instant::from_std) else {
        return false;
    };
    if until <= tokio::time::Instant::now() {
        return true;
    }
    let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
    // One that goes off earlier does no harm, and most are put off all the time.
    if until < alarm.deadline() || alarm.is_elapsed() {
        alarm.as_mut().reset(until);
    }
    while alarm.as_mut().poll(cx).is_ready() {
        if until <= tokio::time::Instant::now() {
            return true;
        }
        alarm.as_mut().reset(until);
    }
    false
}

/// What wakes the worker's main task. Between two turns it only notes that.
#[derive(Debug)]
struct Bell {
    is_rung: AtomicBool,
    is_outside: AtomicBool,
    /// What wakes the turn.
    turn: Mutex<Option<Waker>>,
}

impl Default for Bell {
    /// At the beginning there is everything to do.
    fn default() -> Self {
        Self {
            is_rung: AtomicBool::new(true),
            is_outside: AtomicBool::new(true),
            turn: Mutex::default(),
        }
    }
}

impl Bell {
    fn hang(&self, waker: &Waker) {
        let mut turn = lock(&self.turn);
        if !turn.as_ref().is_some_and(|before| before.will_wake(waker)) {
            *turn = Some(waker.clone());
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order, and a turn begins the other way round: one of the two sees the other.
        self.is_rung.store(true, Ordering::SeqCst);
        if self.is_outside.load(Ordering::SeqCst) {
            return;
        }
        if let Some(waker) = &*lock(&self.turn) {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Driver;
    use crate::config::Config;
    use crate::error::Error;
    use crate::handler::Handler;
    use crate::server::Server;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;
    use std::time::{Duration, Instant};

    const HOUR: Duration = Duration::from_secs(3600);

    #[derive(Debug, Default)]
    struct Ends(AtomicUsize);

    impl Handler for Ends {
        fn on_closed(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn server(workers: usize, handler: &Arc<Ends>) -> Server {
        let config = Config {
            host: vec!["127.0.0.1".into()],
            port: 0,
            workers: Some(workers),
            ..Config::default()
        };
        Server::bind(config, handler.clone()).expect("there is a port")
    }

    #[test]
    fn there_is_one_driver_of_a_started_server_without_workers() {
        let ends = Arc::default();
        let (alone, other) = (server(0, &ends), server(1, &ends));
        assert!(matches!(alone.driver(), Err(Error::State(_))));
        alone.start().expect("it is new");
        other.start().expect("it is new");
        let driver = alone.driver().expect("it has none");
        assert!(matches!(alone.driver(), Err(Error::State(_))));
        assert!(matches!(other.driver(), Err(Error::State(_))));
        assert!(!driver.has_ended());
        drop(driver);
        assert!(alone.wait(Some(Duration::ZERO)));
    }

    #[test]
    fn it_ends_with_the_server() {
        let ends: Arc<Ends> = Arc::default();
        let server = server(0, &ends);
        server.start().expect("it is new");
        let mut driver = server.driver().expect("it has none");
        server.stop(Duration::ZERO);
        driver.turn(None, |_cx| Poll::Pending);
        assert!(driver.has_ended());
        assert!(server.wait(Some(Duration::ZERO)));
        assert_eq!(ends.0.load(Ordering::Relaxed), 1);
        // It does nothing any more.
        driver.turn(None, |_cx| Poll::Pending);
    }

    #[test]
    fn the_turns_of_others_are_no_pause_and_what_came_before_is() {
        let ends = Arc::default();
        let servers = [(); 3].map(|()| server(0, &ends));
        let mut drivers = servers.each_ref().map(|server| {
            server.start().expect("it is new");
            server.driver().expect("it has none")
        });
        let pauses = drivers.each_ref().map(|driver| {
            let work = driver.work.as_ref().expect("it has not ended");
            work.pauses.clone()
        });
        pauses[0].begin_before(HOUR);
        let looks = AtomicUsize::new(0);
        let is_over = || looks.fetch_add(1, Ordering::Relaxed) > 100;
        let mut all = drivers.each_mut();
        Driver::take_turns(&mut all, Instant::now() + HOUR, is_over);
        assert!(looks.into_inner() > 100);
        assert!(pauses[0].total() >= HOUR);
        for others in &pauses[1..] {
            assert_eq!(others.total(), Duration::ZERO);
        }
    }

    #[test]
    fn turns_end_with_the_servers() {
        let ends: Arc<Ends> = Arc::default();
        let servers = [(); 2].map(|()| server(0, &ends));
        let mut drivers = servers.each_ref().map(|server| {
            server.start().expect("it is new");
            server.stop(Duration::ZERO);
            server.driver().expect("it has none")
        });
        Driver::take_turns(&mut drivers.each_mut(), Instant::now() + HOUR, || false);
        assert!(drivers.iter().all(Driver::has_ended));
        assert_eq!(ends.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_server_that_nobody_drives_ends_when_it_is_dropped() {
        let ends: Arc<Ends> = Arc::default();
        let server = server(0, &ends);
        server.start().expect("it is new");
        drop(server);
        assert_eq!(ends.0.load(Ordering::Relaxed), 1);
    }
}
