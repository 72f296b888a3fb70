//! The one source of time for what the options of a server limit: opening, closing, silence, pings. Who waits for one of
//! these waits here, and asks here how late it is. When a stop ends is for its caller to say, and no matter of this.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// The runtime's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock;

/// What somebody waits with, again and again. It owns nothing before it is set.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

#[expect(
    clippy::unused_self,
    reason = "who wants to know the time has to have the server's clock"
)]
impl Clock {
    pub(super) fn now(self) -> Instant {
        Instant::now()
    }

    pub(super) async fn sleep_until(self, due: Instant) {
        sleep_until(due).await;
    }

    /// What `future` gives, or `None` if it does not by `due`.
    pub(super) async fn before<F: Future>(self, due: Instant, future: F) -> Option<F::Output> {
        tokio::time::timeout_at(due, pin!(future)).await.ok()
    }

    /// Sets the alarm unless it goes off earlier anyway; ready when it does. Who finds that it was too early sets it
    /// again: something that is put off all the time moves no timer.
    pub(super) fn poll(self, alarm: &mut Alarm, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = alarm.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx)
    }
}
