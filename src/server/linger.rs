//! The end of TCP, so that the last bytes arrive: half-close, then read and throw away until the client closes too.
//! Closing with unread input would send a reset, which makes the client forget what it has not read yet.
//!
//! Whoever lingers has given back everything else that it had of the server.

pub(super) mod timer;

use self::timer::GRAIN;
use super::clock::{Alarm, Clock};
use super::desk::Seated;
use super::stages::Phase;
use super::wire::Wire;
use crate::order::Order;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

/// What is read and thrown away after the last frame, so that the client gets to read that.
const MAX_LINGER: usize = 1 << 20;

/// Sends the last that is to be said, and `then` what follows it, and ends TCP, within `close_timeout`.
pub(super) async fn answer<W: Wire>(wire: &mut W, bytes: &[u8], then: &[u8], seated: &Seated) {
    let desk = &seated.desk;
    let due = desk.clock.now() + desk.shared.config.close_timeout;
    if say(wire, bytes, then, seated, due).await {
        linger(wire, seated, due).await;
    }
}

/// Sends what is to be said, and `then` what follows it, until it is `due`; `false` if that is not to be had, and the
/// connection is to be dropped.
pub(super) async fn say<W: Wire>(
    wire: &mut W,
    mut bytes: &[u8],
    mut then: &[u8],
    seated: &Seated,
    due: Instant,
) -> bool {
    let desk = &seated.desk;
    let mut time = pin!(desk.clock.sleep_until(due));
    poll_fn(|cx| {
        seated.seat.register(cx);
        if seated.seat.is_reset() {
            wire.reset_on_drop();
            return Poll::Ready(false);
        }
        loop {
            if bytes.is_empty() {
                bytes = std::mem::take(&mut then);
            }
            if bytes.is_empty() {
                return Poll::Ready(true);
            }
            match Pin::new(&mut *wire).poll_write(cx, bytes) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(false),
                Poll::Ready(Ok(sent)) => bytes = &bytes[sent..],
                Poll::Pending if desk.phase() >= Phase::Hurried => return Poll::Ready(false),
                Poll::Pending => return time.as_mut().poll(cx).map(|()| false),
            }
        }
    })
    .await
}

/// Ends TCP in order: until the client has closed, too, or it is `due`. On a slow line that is put off as long as it is not
/// up to the client alone. An order to abort ends it at once, and so does a
/// worker that closes, unless the client goes on sending: that waits until it is silent, or time gets short.
pub(super) async fn linger<W: Wire>(wire: &mut W, seated: &Seated, mut due: Instant) {
    let desk = &seated.desk;
    let entry = desk.lingering.enter(due, &seated.seat);
    let (mut silent_at, mut silence) = (None, Alarm::default());
    let mut is_shut_down = false;
    let mut left = MAX_LINGER;
    poll_fn(|cx| {
        seated.seat.register(cx);
        if seated.seat.is_reset() {
            wire.reset_on_drop();
            return Poll::Ready(());
        }
        let mut is_aborted = false;
        let orders = seated.seat.take_orders();
        for order in orders.into_iter().flat_map(|orders| orders.list) {
            match order {
                Order::Abort => is_aborted = true,
                // What is held up has to go on, if nothing holds it up any more.
                Order::Faults(_done) => {
                    if let Some(Some(line)) = wire.line() {
                        line.follow(&desk.shared.faults);
                    }
                }
                // There is nobody left whom they are for.
                _ => {}
            }
        }
        let mut buffer = desk.buffer.borrow_mut();
        let before = left;
        if poll_end(wire, cx, &mut is_shut_down, &mut left, &mut buffer).is_ready()
            || desk.phase() >= Phase::Hurried
            || is_aborted
        {
            return Poll::Ready(());
        }
        let reached = desk.clock.reached();
        if reached >= due {
            let time = desk.shared.config.close_timeout;
            let line = wire.line().and_then(|line| line.as_mut());
            let since = line.and_then(|line| line.open_since(reached, time, true));
            match since.map(|since| since + time) {
                Some(later) if later > reached => due = later,
                _ => return Poll::Ready(()),
            }
            entry.put_off(due);
        }
        if desk.phase() < Phase::Closing {
            return Poll::Pending;
        }
        if !is_shut_down {
            // What is on its way goes first, unless nothing moves at all.
            return match wire.line() {
                Some(Some(line)) if !line.is_frozen() => Poll::Pending,
                _ => Poll::Ready(()),
            };
        }
        if left == MAX_LINGER {
            return Poll::Ready(());
        }
        if left < before {
            silent_at = None;
        }
        // A stop goes by the system's clock, and so does what it waits for.
        let clock = Clock::REAL;
        let silent_at = *silent_at.get_or_insert_with(|| clock.now() + GRAIN);
        clock.poll_due(&mut silence, silent_at, cx)
    })
    .await;
}

/// Ready when there is nothing more to wait for.
fn poll_end<W: Wire>(
    wire: &mut W,
    cx: &mut Context<'_>,
    is_shut_down: &mut bool,
    left: &mut usize,
    buffer: &mut Vec<u8>,
) -> Poll<()> {
    if !*is_shut_down {
        // TLS has something to say at the end, which may have to wait.
        if ready!(Pin::new(&mut *wire).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        *is_shut_down = true;
    }
    while *left > 0 {
        buffer.clear();
        match ready!(pin!(wire.read_buf(buffer)).poll(cx)) {
            Ok(len @ 1..) => *left = left.saturating_sub(len),
            _ => break,
        }
    }
    Poll::Ready(())
}
