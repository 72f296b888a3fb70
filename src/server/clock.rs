//! The one source of time for what the options of a server limit: opening, closing, silence, pings. Who waits for one of
//! these waits here, and asks here how late it is. When a stop ends is for its caller to say, and no matter of this.
//!
//! It is the runtime's clock, with or without the pauses of a worker that does not run all the time, or a worker's hand of
//! one that a test advances.

mod pauses;
mod timers;

pub(super) use self::pauses::Pauses;

use self::timers::{Entry, Timers};
use crate::manual_clock::Hand;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

/// The clock of a worker.
#[derive(Debug, Clone)]
pub(super) struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    Real,
    Pausing(Rc<Pauses>),
    Manual(Rc<Timers>),
}

/// What somebody waits with, again and again, always by the same clock. It owns nothing before it is set.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    real: Option<Pin<Box<Sleep>>>,
    manual: Option<Entry>,
}

impl Clock {
    /// The runtime's.
    pub(super) const REAL: Self = Self(Source::Real);

    /// That of this hand, if there is one.
    pub(super) fn new(hand: Option<Hand>) -> Self {
        hand.map_or(Self::REAL, Self::of)
    }

    /// That of this hand.
    pub(super) fn of(hand: Hand) -> Self {
        Self(Source::Manual(Rc::new(Timers::new(hand))))
    }

    /// The runtime's, which stands still in these pauses.
    pub(super) const fn pausing(pauses: Rc<Pauses>) -> Self {
        Self(Source::Pausing(pauses))
    }

    const fn manual(&self) -> Option<&Rc<Timers>> {
        match &self.0 {
            Source::Manual(own) => Some(own),
            Source::Real | Source::Pausing(_) => None,
        }
    }

    /// From which timers count.
    pub(super) fn now(&self) -> Instant {
        match &self.0 {
            Source::Real => Instant::now(),
            Source::Pausing(pauses) => Instant::now() - pauses.total(),
            Source::Manual(own) => own.now(),
        }
    }

    /// When that is by the runtime's clock, if no pause comes before it.
    fn real(&self, due: Instant) -> Instant {
        match &self.0 {
            Source::Pausing(pauses) => due + pauses.total(),
            Source::Real | Source::Manual(_) => due,
        }
    }

    /// What was due by then may happen. Before `now` while a clock is advanced, and other things are due before.
    pub(super) fn reached(&self) -> Instant {
        self.reached_at(self.now())
    }

    /// The same, if it is `now`.
    pub(super) fn reached_at(&self, now: Instant) -> Instant {
        self.manual().map_or(now, |own| own.reached())
    }

    /// Whether there is such a difference.
    pub(super) fn is_behind(&self) -> bool {
        let own = self.manual();
        own.is_some_and(|own| own.reached() < own.now())
    }

    /// Whether what is due has to happen just then, and not somewhat later where that is cheaper.
    pub(super) const fn is_exact(&self) -> bool {
        self.manual().is_some()
    }

    pub(super) async fn sleep_until(&self, due: Instant) {
        if let Source::Real = self.0 {
            return sleep_until(due).await;
        }
        let mut alarm = Alarm::default();
        poll_fn(|cx| self.poll_due(&mut alarm, due, cx)).await;
    }

    /// What `future` gives, or `None` if it does not by `due`.
    pub(super) async fn before<F: Future>(&self, due: Instant, future: F) -> Option<F::Output> {
        if let Source::Real = self.0 {
            return timeout_at(due, future).await.ok();
        }
        let mut future = pin!(future);
        let mut alarm = Alarm::default();
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_due(&mut alarm, due, cx).map(|()| None),
        })
        .await
    }

    /// Sets the alarm unless it goes off earlier anyway; ready when it does. Who finds that it was too early sets it
    /// again: something that is put off all the time moves no timer.
    pub(super) fn poll(&self, alarm: &mut Alarm, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(own) = self.manual() {
            return own.poll(&mut alarm.manual, due, cx);
        }
        let due = self.real(due);
        let sleep = alarm.real.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx)
    }

    /// Ready when it is `due`, and not before.
    pub(super) fn poll_due(
        &self,
        alarm: &mut Alarm,
        due: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        while self.reached() < due {
            ready!(self.poll(alarm, due, cx));
        }
        Poll::Ready(())
    }

    /// Never ready: has the task come back when others and the event queue had their turn. A hand waits for that, too.
    pub(super) fn poll_later<T>(&self, cx: &mut Context<'_>) -> Poll<T> {
        if let Some(own) = self.manual() {
            own.come_later();
        }
        // A task that wakes itself would run 61 times (tokio's event_interval) before the others are seen.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }

    /// Lets others and the event queue have their turn. A hand waits for that, too.
    pub(super) async fn give_way(&self) {
        let mut has_waited = false;
        poll_fn(|cx| {
            if mem::replace(&mut has_waited, true) {
                return Poll::Ready(());
            }
            self.poll_later(cx)
        })
        .await;
    }

    /// What keeps the time of a hand, and has to run then; it never ends. `is_busy` says whether somebody has work that
    /// waits for nobody else.
    pub(super) fn keeper<B: Fn() -> bool>(
        &self,
        is_busy: B,
    ) -> Option<impl Future<Output = ()> + use<B>> {
        let own = self.manual()?.clone();
        Some(own.keep(is_busy))
    }
}
