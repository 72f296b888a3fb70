//! Futures that other threads complete, for any event loop: the rare ones, such as waiting for the end of a server that
//! another loop serves. Messages don't come this way.
//!
//! `pyo3-async-runtimes` makes asyncio futures of Rust's, on a runtime of our own, since its process-wide one can't be
//! ended. Ours is one thread, made at first use and joined with the last server, or at the end of the interpreter if it
//! was made after that, or waits for a server that was never started: none may be inside Python's API then. The trait's
//! `spawn` has no receiver, so that thread is found in a static.

use super::control::{Awaited, Control, Counted, End, Thread};
use super::fork;
use crate::fork_lock::{ForkLock, Held};
use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{
    ContextExt, JoinError, Runtime, future_into_py_with_locals, get_current_locals,
};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;
use tokio::task;

static STATE: ForkLock<State> = ForkLock::new(&MUTEX, &HELD);

static MUTEX: Mutex<State> = Mutex::new(State {
    forks: 0,
    servers: 0,
    is_over: false,
    control: None,
    threads: Vec::new(),
});

thread_local! {
    /// Where a future that is made in this thread is to run, and its count.
    static TARGET: Cell<Option<(Handle, Counted)>> = const { Cell::new(None) };
    static HELD: Held<State> = const { RefCell::new(None) };
    /// The task that is polled has found its loop closed: nobody waits for it.
    static IS_LOST: Cell<bool> = const { Cell::new(false) };
}

struct State {
    /// A forked child has neither the servers nor the thread.
    forks: u32,
    /// Servers that have started, or are about to, and have not ended.
    servers: usize,
    /// The interpreter ends: no thread is made any more.
    is_over: bool,
    control: Option<Control>,
    /// Threads that may not be joined yet.
    threads: Vec<Arc<Thread>>,
}

impl State {
    /// That of this process.
    fn own(&mut self) -> &mut Self {
        if self.forks != fork::forks() {
            self.forks = fork::forks();
            self.servers = 0;
            // They are the parent's, and so is the runtime: it is not dropped here.
            mem::forget((mem::take(&mut self.threads), self.control.take()));
        }
        self
    }

    /// Where a future can run, until what is given back is dropped.
    fn target(&mut self, awaited: Arc<dyn Awaited>) -> io::Result<(Handle, Counted)> {
        if self.is_over {
            return Err(io::Error::other(
                "the interpreter ends: from now on nothing of another thread can be awaited",
            ));
        }
        if let Some(control) = &self.control {
            let counted = Counted::new(&control.tasks, awaited);
            return Ok((control.handle.clone(), counted));
        }
        // What is waited for may have ended a moment ago: then the thread is for that alone.
        let end = if self.servers > 0 {
            End::Never
        } else {
            End::WithTasks
        };
        let (control, thread, counted) = Control::start(end, awaited)?;
        self.threads.retain(|thread| !thread.is_over());
        self.threads.push(Arc::new(thread));
        let target = (control.handle.clone(), counted);
        if self.servers > 0 {
            self.control = Some(control);
        }
        Ok(target)
    }
}

/// The state stays as it is while this thread forks.
pub(super) fn before_fork() {
    STATE.hold();
}

pub(super) fn after_fork() {
    STATE.release();
}

/// Waits with `wait` for other threads: if this one forks they may use the state meanwhile.
pub(super) fn lend<R>(wait: impl FnOnce() -> R) -> R {
    STATE.lend(wait)
}

/// A server is about to start. Not to be called with the interpreter attached: who forks may need it.
pub(super) fn hold() {
    STATE.with(|state| state.own().servers += 1);
}

/// A server has ended, or was not started; with the last one the thread ends, as soon as it has told everybody who waits
/// for one that has ended. Not to be called with the interpreter attached, which the thread may need for that.
pub(super) fn release() {
    let threads = STATE.with(|state| {
        let own = state.own();
        own.servers -= 1;
        if own.servers > 0 {
            return Vec::new();
        }
        // Who comes from now on gets another thread.
        own.control = None;
        own.threads.clone()
    });
    join(&threads, End::WithTasks);
}

/// The interpreter ends: so does the thread, and no other is made. Not to be called with the interpreter attached.
pub(super) fn finish() {
    let threads = STATE.with(|state| {
        let own = state.own();
        own.is_over = true;
        own.control = None;
        own.threads.clone()
    });
    join(&threads, End::Now);
}

fn join(threads: &[Arc<Thread>], end: End) {
    for thread in threads {
        thread.end(end);
    }
    for thread in threads {
        thread.join(end);
    }
}

/// A future of the running loop that has its result when `done` is ready, at the latest when `awaited` has ended.
pub(super) fn future<F>(
    py: Python<'_>,
    awaited: Arc<dyn Awaited>,
    done: F,
) -> PyResult<Bound<'_, PyAny>>
where
    F: FnMut(&mut Context<'_>) -> Poll<()> + Send + Unpin + 'static,
{
    let locals = get_current_locals::<Crossing>(py)?;
    // Who has the lock may be at a fork, and need the interpreter to finish it.
    let target = py.detach(|| STATE.with(|state| state.own().target(awaited)))?;
    TARGET.set(Some(target));
    let done = poll_fn(done);
    let future = future_into_py_with_locals::<Crossing, _, Option<bool>>(py, locals, async move {
        done.await;
        Ok(None)
    });
    // It was taken, unless something has failed before.
    TARGET.take();
    future
}

/// A future of the running loop that has its result already.
pub(super) fn done(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let event_loop = pyo3_async_runtimes::get_running_loop(py)?;
    let future = event_loop.call_method0(pyo3::intern!(py, "create_future"))?;
    future.call_method1(pyo3::intern!(py, "set_result"), (py.None(),))?;
    Ok(future)
}

struct Crossing;

/// A task of the control thread; `None` if what it was to do is done.
struct Join(Option<task::JoinHandle<()>>);

struct Failed(task::JoinError);

impl JoinError for Failed {
    fn is_panic(&self) -> bool {
        self.0.is_panic()
    }

    fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        self.0.into_panic()
    }
}

impl Future for Join {
    type Output = Result<(), Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            None => Poll::Ready(Ok(())),
            Some(handle) => Poll::Ready(ready!(Pin::new(handle).poll(cx)).map_err(Failed)),
        }
    }
}

impl Runtime for Crossing {
    type JoinError = Failed;
    type JoinHandle = Join;

    fn spawn<F>(future: F) -> Join
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // A task that comes from the thread itself stays there; the one before it is counted meanwhile.
        let (handle, counted) = if let Some((handle, counted)) = TARGET.take() {
            (handle, Some(counted))
        } else if let Ok(handle) = Handle::try_current() {
            (handle, None)
        } else {
            // `future` has set the one, and nobody else comes from elsewhere.
            return Join(None);
        };
        let mut future = Box::pin(future);
        Join(Some(handle.spawn(async move {
            let _counted = counted;
            poll_fn(move |cx| {
                let polled = future.as_mut().poll(cx);
                if IS_LOST.take() {
                    return Poll::Ready(());
                }
                polled
            })
            .await;
        })))
    }

    /// Nothing here blocks for longer than it takes to attach to the interpreter.
    fn spawn_blocking<F>(function: F) -> Join
    where
        F: FnOnce() + Send + 'static,
    {
        function();
        Join(None)
    }
}

impl ContextExt for Crossing {
    /// Does not come to an end if the loop was closed meanwhile: its future can't be told, and need not.
    fn scope<F, R>(locals: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(async move {
            let result = future.await;
            let is_closed = Python::try_attach(|py| {
                let event_loop = locals.event_loop(py);
                let is_closed = event_loop.call_method0(pyo3::intern!(py, "is_closed"));
                is_closed.and_then(|is_closed| is_closed.is_truthy())
            });
            if !matches!(is_closed, Some(Ok(false))) {
                drop(result);
                IS_LOST.set(true);
                return pending().await;
            }
            result
        })
    }

    fn get_task_locals() -> Option<TaskLocals> {
        None
    }
}
