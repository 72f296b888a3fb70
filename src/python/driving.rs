//! The drivers of servers without worker threads (`workers=0`), of this thread: one that is served by a callback of another
//! is above that.
//!
//! A driver never leaves its thread, and is used without the interpreter: so it is found here, and not handed around.

use super::events::Event;
use super::link::Link;
use crate::error::Error;
use crate::server::{Driver, Server};
use pyo3::prelude::*;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

/// Looks at what a callback waits for, before another thread does that: what our own clients do not hold up takes so many
/// turns of the event queue.
const LOOKS: usize = 4;

thread_local! {
    /// Borrowed by a turn, in which no Python code runs.
    static DRIVERS: RefCell<Vec<(Driver, Arc<Link>)>> = const { RefCell::new(Vec::new()) };
}

/// A server is driven by this thread until that is dropped.
pub(super) struct Driving<'py> {
    py: Python<'py>,
    link: Arc<Link>,
    _own: PhantomData<*const ()>,
}

impl<'py> Driving<'py> {
    /// Of a server that was started, and has no other threads.
    pub(super) fn begin(py: Python<'py>, core: &Server, link: &Arc<Link>) -> Result<Self, Error> {
        py.detach(|| {
            let driver = core.driver()?;
            DRIVERS.with_borrow_mut(|drivers| drivers.push((driver, link.clone())));
            Ok(())
        })
        .map(|()| Self {
            py,
            link: link.clone(),
            _own: PhantomData,
        })
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        let link = &self.link;
        if link.is_forked() {
            // Its event queue is the parent's, too.
            mem::forget(removed(link));
        } else {
            // It closes sockets.
            self.py.detach(|| drop(removed(link)));
        }
    }
}

/// The driver of a server. It need not be the last one: green threads of this thread may serve several.
fn removed(link: &Arc<Link>) -> Option<(Driver, Arc<Link>)> {
    DRIVERS.with_borrow_mut(|drivers| {
        let index = place(drivers, link)?;
        Some(drivers.remove(index))
    })
}

fn place(drivers: &[(Driver, Arc<Link>)], link: &Arc<Link>) -> Option<usize> {
    drivers
        .iter()
        .position(|(_, other)| Arc::ptr_eq(other, link))
}

/// Serves the clients of a server, without the interpreter, until there is something to do for its callbacks, at most
/// `timeout`; what that is is swapped into `events`, which is empty before it.
pub(super) fn take(link: &Arc<Link>, events: &mut Vec<Event>, timeout: Option<Duration>) {
    DRIVERS.with_borrow_mut(|drivers| {
        let Some(index) = place(drivers, link) else {
            return;
        };
        let driver = &mut drivers[index].0;
        if driver.has_ended() {
            return link.events.take(events, timeout);
        }
        let until = timeout.map(|timeout| Instant::now() + timeout);
        driver.turn(until, |cx| link.events.poll_filled(cx));
        link.events.take_now(events);
    });
}

/// Whether a wait in this thread would hold up clients of its own.
pub(super) fn has_clients() -> bool {
    let has_clients = |drivers: &RefCell<Vec<_>>| drivers.borrow().iter().any(is_live);
    // A thread that is about to end has none.
    DRIVERS.try_with(has_clients).unwrap_or(false)
}

/// Whether it serves, and is not a copy of the parent's in a forked child.
fn is_live((driver, link): &(Driver, Arc<Link>)) -> bool {
    !driver.has_ended() && !link.is_forked()
}

/// Waits with `wait`, which gives up at the time that it is given, and serves clients meanwhile, without the interpreter.
/// Their events wait for the callback that this is called by.
pub(super) fn wait(until: Instant, wait: &(dyn Fn(Instant) -> bool + Sync)) -> bool {
    let is_over = || wait(Instant::now());
    DRIVERS.with_borrow_mut(|drivers| {
        let mut live: Vec<_> = drivers.iter_mut().filter(|entry| is_live(entry)).collect();
        for (driver, link) in &mut live {
            link.post_finished();
            look(driver, is_over);
            if is_over() {
                return true;
            }
        }
        match &mut live[..] {
            // That was looked at.
            [_, ..] if until <= Instant::now() => false,
            [] => wait(until),
            [(driver, _)] => drive(driver, until, wait),
            several => {
                let mut drivers: Vec<_> = several.iter_mut().map(|(driver, _)| driver).collect();
                Driver::take_turns(&mut drivers, until, is_over);
                wait(until)
            }
        }
    })
}

/// Does what there is to do, as long as that does not end the wait.
fn look(driver: &mut Driver, is_over: impl Fn() -> bool) {
    let mut looks = 0;
    driver.turn(None, |cx: &mut Context<'_>| {
        looks += 1;
        if looks > LOOKS || is_over() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
}

/// Runs a server while another thread waits.
fn drive(driver: &mut Driver, until: Instant, wait: &(dyn Fn(Instant) -> bool + Sync)) -> bool {
    let (has_waited, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let waker = driver.waker();
    thread::scope(|scope| {
        let waiting = thread::Builder::new()
            .name("echoserver-wait".to_owned())
            .spawn_scoped(scope, || {
                is_over.store(wait(until), Ordering::Relaxed);
                has_waited.store(true, Ordering::Release);
                waker.wake_by_ref();
            });
        if waiting.is_ok() {
            driver.turn(None, |_cx| ready_if(has_waited.load(Ordering::Acquire)));
            return;
        }
        // There is no thread to be had.
        Driver::take_turns(&mut [driver], until, || wait(Instant::now()));
        is_over.store(wait(until), Ordering::Relaxed);
    });
    is_over.into_inner()
}

const fn ready_if(condition: bool) -> Poll<()> {
    if condition {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}
