//! The control thread, which completes futures of event loops: its tasks, and when it ends.

use super::lock::lock;
use crate::condition::wait_while;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::thread::{self, ThreadId};
use tokio::runtime::{Builder, Handle};

/// What a task waits for something of.
pub(super) trait Awaited: Send + Sync {
    /// Whether it has ended, so that everybody who waits is told, or was.
    fn has_ended(&self) -> bool;
}

/// What ends a control thread.
pub(super) struct Thread {
    id: ThreadId,
    tasks: Arc<Tasks>,
    /// Whoever joins it has the lock meanwhile: nobody takes it for joined before it has ended.
    handle: Mutex<Option<thread::JoinHandle<()>>>,
}

/// The control thread.
pub(super) struct Control {
    pub(super) handle: Handle,
    pub(super) tasks: Arc<Tasks>,
}

/// The tasks of a control thread, and the signal that one of them has ended.
pub(super) type Tasks = (Mutex<Shared>, Condvar);

pub(super) struct Shared {
    /// What each of them waits for, by its number.
    tasks: BTreeMap<u64, Arc<dyn Awaited>>,
    last: u64,
    end: End,
    waker: Option<Waker>,
}

/// When the thread ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Never,
    /// With its last task: all servers have ended, but for those that were never started.
    WithTasks,
    /// Whatever its tasks wait for.
    Now,
}

impl Shared {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Counts a task while it lives.
pub(super) struct Counted {
    tasks: Arc<Tasks>,
    number: u64,
}

impl Counted {
    pub(super) fn new(tasks: &Arc<Tasks>, awaited: Arc<dyn Awaited>) -> Self {
        let mut shared = lock(&tasks.0);
        shared.last += 1;
        let number = shared.last;
        shared.tasks.insert(number, awaited);
        drop(shared);
        let tasks = tasks.clone();
        Self { tasks, number }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let (shared, has_ended) = &*self.tasks;
        let mut shared = lock(shared);
        let awaited = shared.tasks.remove(&self.number);
        shared.wake();
        has_ended.notify_all();
        drop(shared);
        drop(awaited);
    }
}

impl Control {
    /// Also counts its first task: it runs until that was there.
    pub(super) fn start(
        end: End,
        awaited: Arc<dyn Awaited>,
    ) -> io::Result<(Self, Thread, Counted)> {
        let runtime = Builder::new_current_thread().build()?;
        let handle = runtime.handle().clone();
        let shared = Shared {
            tasks: BTreeMap::new(),
            last: 0,
            end,
            waker: None,
        };
        let tasks = Arc::new((Mutex::new(shared), Condvar::new()));
        let counted = Counted::new(&tasks, awaited);
        let own = tasks.clone();
        let end = poll_fn(move |cx| {
            let mut shared = lock(&own.0);
            match shared.end {
                End::Now => return Poll::Ready(()),
                End::WithTasks if shared.tasks.is_empty() => return Poll::Ready(()),
                End::Never | End::WithTasks => {}
            }
            shared.waker = Some(cx.waker().clone());
            Poll::Pending
        });
        let thread = thread::Builder::new()
            .name("echoserver-asyncio".to_owned())
            .spawn(move || runtime.block_on(end))?;
        let thread = Thread {
            id: thread.thread().id(),
            tasks: tasks.clone(),
            handle: Mutex::new(Some(thread)),
        };
        Ok((Self { handle, tasks }, thread, counted))
    }
}

impl Thread {
    pub(super) fn end(&self, end: End) {
        let mut shared = lock(&self.tasks.0);
        // Nobody puts off what was asked for already.
        shared.end = shared.end.max(end);
        shared.wake();
    }

    /// Waits for its end; with `End::WithTasks` only for that of the tasks that wait for what has ended, if there are
    /// others.
    pub(super) fn join(&self, end: End) {
        if thread::current().id() == self.id {
            // The collector may run in it, while it completes a future, and end a server that nobody has any more.
            return;
        }
        if end == End::WithTasks {
            let (shared, has_ended) = &*self.tasks;
            let shared = wait_while(has_ended, lock(shared), None, |shared| {
                shared.tasks.values().any(|awaited| awaited.has_ended())
            });
            if !shared.tasks.is_empty() {
                return;
            }
        }
        let mut handle = lock(&self.handle);
        if let Some(thread) = handle.take() {
            // A task that has panicked was reported where it was awaited.
            let _ = thread.join();
        }
    }

    /// Whether there is nothing left to join.
    pub(super) fn is_over(&self) -> bool {
        let handle = self.handle.try_lock();
        handle.is_ok_and(|handle| handle.as_ref().is_none_or(thread::JoinHandle::is_finished))
    }
}
