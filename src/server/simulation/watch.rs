//! A task under watch: it may wake itself only for something that has happened.

use super::stream::Watcher;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tokio::time::Instant;

/// Times that a task may wake itself while no byte moves and no time passes.
const PATIENCE: u32 = 3;

/// Wakes the task, and notes that.
#[derive(Debug)]
struct Alarm {
    task: Waker,
    has_rung: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.has_rung.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

/// A connection's task. It panics if that is a loop.
pub(super) struct Watched<F> {
    task: Pin<Box<F>>,
    wire: Watcher,
    alarm: Option<(Arc<Alarm>, Waker)>,
    seen: Option<(u64, Instant)>,
    /// How often it has woken itself since something happened.
    idle: u32,
}

impl<F: Future> Watched<F> {
    pub(super) fn new(task: F, wire: Watcher) -> Self {
        Self {
            task: Box::pin(task),
            wire,
            alarm: None,
            seen: None,
            idle: 0,
        }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let (alarm, waker) = match &mut this.alarm {
            Some(alarm) if alarm.0.task.will_wake(cx.waker()) => alarm,
            alarm => {
                let new = Arc::new(Alarm {
                    task: cx.waker().clone(),
                    has_rung: AtomicBool::new(false),
                });
                alarm.insert((new.clone(), new.into()))
            }
        };
        alarm.has_rung.store(false, Ordering::Relaxed);
        let polled = this.task.as_mut().poll(&mut Context::from_waker(waker));
        let now = (this.wire.happened(), Instant::now());
        if alarm.has_rung.load(Ordering::Relaxed) && this.seen == Some(now) {
            this.idle += 1;
            assert!(this.idle < PATIENCE, "a task goes round and round");
        } else {
            this.idle = 0;
        }
        this.seen = Some(now);
        polled
    }
}
