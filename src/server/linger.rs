//! The end of TCP, so that the last bytes arrive: half-close, then read and throw away until the client closes too.
//! Closing with unread input would send a reset, which makes the client forget what it has not read yet.
//!
//! Whoever lingers has given back everything else that it had of the server. There is one timer for all who linger on a
//! worker: nearly everybody leaves long before it, and is not worth one of its own.

use super::worker::{Phase, Seat, Seated};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until};

/// What is read and thrown away after the last frame, so that the client gets to read that.
const MAX_LINGER: usize = 1 << 20;
/// The timer goes off no more often than that; so much longer than `close_timeout` somebody may linger.
pub(super) const GRAIN: Duration = Duration::from_millis(100);

/// Sends the last that is to be said, and ends TCP. Each has `close_timeout`.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    mut bytes: &[u8],
    seated: &Seated,
) {
    let worker = &seated.worker;
    let mut time = pin!(sleep(worker.shared.config.close_timeout));
    let said = poll_fn(|cx| {
        seated.seat.register(cx);
        while !bytes.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, bytes) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(false),
                Poll::Ready(Ok(sent)) => bytes = &bytes[sent..],
                Poll::Pending if worker.phase() >= Phase::Hurried => return Poll::Ready(false),
                Poll::Pending => return time.as_mut().poll(cx).map(|()| false),
            }
        }
        Poll::Ready(true)
    })
    .await;
    if said {
        linger(stream, seated).await;
    }
}

/// Ends TCP in order: until the client has closed, too, at most for `close_timeout`. A worker that closes, and an order
/// to abort, end it at once.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, seated: &Seated) {
    let worker = &seated.worker;
    let due = Instant::now() + worker.shared.config.close_timeout;
    let _entry = worker.lingering.enter(due, &seated.seat);
    let mut is_shut_down = false;
    let mut left = MAX_LINGER;
    poll_fn(|cx| {
        seated.seat.register(cx);
        let mut buffer = worker.buffer.borrow_mut();
        if poll_end(stream, cx, &mut is_shut_down, &mut left, &mut buffer).is_ready()
            || worker.phase() >= Phase::Closing
            || seated.seat.is_aborted()
            || Instant::now() >= due
        {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// Ready when there is nothing more to wait for.
fn poll_end<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    is_shut_down: &mut bool,
    left: &mut usize,
    buffer: &mut Vec<u8>,
) -> Poll<()> {
    if !*is_shut_down {
        // TLS has something to say at the end, which may have to wait.
        if ready!(Pin::new(&mut *stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        *is_shut_down = true;
    }
    while *left > 0 {
        buffer.clear();
        match ready!(pin!(stream.read_buf(buffer)).poll(cx)) {
            Ok(len @ 1..) => *left = left.saturating_sub(len),
            _ => break,
        }
    }
    Poll::Ready(())
}

/// Those who linger on a worker.
#[derive(Default)]
pub(super) struct Lingering {
    all: RefCell<Slab<(Instant, Rc<Seat>)>>,
    /// The task that wakes them, if it has nobody to wake.
    keeper: Cell<Option<Waker>>,
}

impl fmt::Debug for Lingering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lingering")
            .field("count", &self.all.borrow().len())
            .finish_non_exhaustive()
    }
}

/// Somebody who lingers, until dropped.
#[derive(Debug)]
struct Entry<'a>(&'a Lingering, usize);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.all.borrow_mut().remove(self.1);
    }
}

impl Lingering {
    /// Has the task of `seat` woken when it is `due`, or somewhat later.
    fn enter(&self, due: Instant, seat: &Rc<Seat>) -> Entry<'_> {
        let index = self.all.borrow_mut().insert((due, seat.clone()));
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
        Entry(self, index)
    }

    /// When the first of them is due; ready while there is one.
    fn poll_first(&self, cx: &Context<'_>) -> Poll<Instant> {
        if let Some(first) = self.all.borrow().iter().map(|(_, (due, _))| *due).min() {
            return Poll::Ready(first);
        }
        self.keeper.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Keeps the time; never ends.
    pub(super) async fn keep(self: Rc<Self>) {
        let mut earliest = Instant::now();
        loop {
            let first = poll_fn(|cx| self.poll_first(cx)).await;
            // Whoever comes later is due later.
            sleep_until(first.max(earliest)).await;
            let now = Instant::now();
            earliest = now + GRAIN;
            for (_, (due, seat)) in self.all.borrow().iter() {
                if *due <= now {
                    seat.wake();
                }
            }
        }
    }
}
