//! The control thread, which completes futures of event loops: its tasks, and when it ends.

use super::lock::lock;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use tokio::runtime::{Builder, Handle};

/// What ends a control thread.
pub(super) struct Thread {
    shared: Arc<Mutex<Shared>>,
    /// Whoever joins it has the lock meanwhile: nobody takes it for joined before it has ended.
    handle: Mutex<Option<thread::JoinHandle<()>>>,
}

/// The control thread.
pub(super) struct Control {
    pub(super) handle: Handle,
    pub(super) shared: Arc<Mutex<Shared>>,
}

pub(super) struct Shared {
    tasks: usize,
    end: End,
    waker: Option<Waker>,
}

/// When the thread ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Never,
    /// With its last task: the servers that they wait for have ended.
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
pub(super) struct Counted(pub(super) Arc<Mutex<Shared>>);

impl Counted {
    pub(super) fn new(shared: &Arc<Mutex<Shared>>) -> Self {
        lock(shared).tasks += 1;
        Self(shared.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.tasks -= 1;
        shared.wake();
    }
}

impl Control {
    pub(super) fn start(end: End) -> io::Result<(Self, Thread)> {
        let runtime = Builder::new_current_thread().build()?;
        let handle = runtime.handle().clone();
        let shared = Arc::new(Mutex::new(Shared {
            // The first one's: it is to run until that has its task.
            tasks: 1,
            end,
            waker: None,
        }));
        let own = shared.clone();
        let end = poll_fn(move |cx| {
            let mut shared = lock(&own);
            match shared.end {
                End::Now => return Poll::Ready(()),
                End::WithTasks if shared.tasks == 0 => return Poll::Ready(()),
                End::Never | End::WithTasks => {}
            }
            shared.waker = Some(cx.waker().clone());
            Poll::Pending
        });
        let thread = thread::Builder::new()
            .name("echoserver-asyncio".to_owned())
            .spawn(move || runtime.block_on(end))?;
        let thread = Thread {
            shared: shared.clone(),
            handle: Mutex::new(Some(thread)),
        };
        Ok((Self { handle, shared }, thread))
    }
}

impl Thread {
    pub(super) fn end(&self, end: End) {
        let mut shared = lock(&self.shared);
        // Nobody puts off what was asked for already.
        shared.end = shared.end.max(end);
        shared.wake();
    }

    pub(super) fn join(&self) {
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
