//! Futures that other threads complete, for any event loop: the rare ones, such as waiting for the end of a server that
//! another loop serves. Messages don't come this way.
//!
//! `pyo3-async-runtimes` makes asyncio futures of Rust's, on a runtime of our own, since its process-wide one can't be
//! ended. Ours is one thread, made at first use and joined with the last server. The trait's `spawn` has no receiver,
//! so that thread is found in a static.

use super::super::fork;
use super::super::link::lock;
use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{
    ContextExt, JoinError, Runtime, future_into_py_with_locals, get_current_locals,
};
use std::any::Any;
use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio::task;

/// Servers that have started and not ended.
static SERVERS: AtomicUsize = AtomicUsize::new(0);
static CONTROL: Mutex<Option<Control>> = Mutex::new(None);

thread_local! {
    /// The task that is polled has found its loop closed: nobody waits for it.
    static IS_LOST: Cell<bool> = const { Cell::new(false) };
}

/// The control thread.
#[derive(Debug)]
struct Control {
    /// A forked child has no threads.
    forks: u32,
    handle: Handle,
    shared: Arc<Mutex<Shared>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    tasks: usize,
    /// No server is there any more: the thread ends with its last task.
    is_ending: bool,
    waker: Option<Waker>,
}

impl Shared {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Counts a task while it lives.
struct Counted(Arc<Mutex<Shared>>);

impl Counted {
    fn new(shared: &Arc<Mutex<Shared>>) -> Self {
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
    /// The thread, which does not end before the count given back.
    fn start() -> std::io::Result<(Self, Counted)> {
        let runtime = Builder::new_current_thread().build()?;
        let handle = runtime.handle().clone();
        let shared = Arc::new(Mutex::new(Shared {
            is_ending: SERVERS.load(Ordering::SeqCst) == 0,
            ..Shared::default()
        }));
        let first = Counted::new(&shared);
        let own = shared.clone();
        let end = poll_fn(move |cx| {
            let mut shared = lock(&own);
            if shared.is_ending && shared.tasks == 0 {
                return Poll::Ready(());
            }
            shared.waker = Some(cx.waker().clone());
            Poll::Pending
        });
        let thread = thread::Builder::new()
            .name("echoserver-asyncio".to_owned())
            .spawn(move || runtime.block_on(end))?;
        let control = Self {
            forks: fork::forks(),
            handle,
            shared,
            thread: Some(thread),
        };
        Ok((control, first))
    }

    /// Has the thread end, which is given back.
    fn end(&mut self) -> Option<thread::JoinHandle<()>> {
        let mut shared = lock(&self.shared);
        shared.is_ending = true;
        shared.wake();
        drop(shared);
        self.thread.take()
    }

    fn is_usable(&self) -> bool {
        self.forks == fork::forks() && !lock(&self.shared).is_ending
    }
}

/// A server has started.
pub(in crate::python) fn hold() {
    SERVERS.fetch_add(1, Ordering::SeqCst);
}

/// A server has ended; with the last one the thread ends, as soon as it has told everybody. Not to be called with the
/// interpreter attached, which the thread may need for that.
pub(in crate::python) fn release() {
    if SERVERS.fetch_sub(1, Ordering::SeqCst) > 1 {
        return;
    }
    // It stays in its place, for those who are about to use it.
    let mut control = lock(&CONTROL);
    let thread = control
        .as_mut()
        .filter(|control| control.is_usable())
        .and_then(Control::end);
    drop(control);
    if let Some(thread) = thread {
        // A task that has panicked was reported where it was awaited.
        let _ = thread.join();
    }
}

/// Has the control thread run, and not end before what is given back.
fn ensure() -> std::io::Result<Counted> {
    let mut control = lock(&CONTROL);
    if let Some(control) = control.as_ref().filter(|control| control.is_usable()) {
        return Ok(Counted::new(&control.shared));
    }
    let (started, counted) = Control::start()?;
    *control = Some(started);
    Ok(counted)
}

/// A future of the running loop that has its result when `done` is ready.
pub(in crate::python) fn future<F>(py: Python<'_>, done: F) -> PyResult<Bound<'_, PyAny>>
where
    F: FnMut(&mut Context<'_>) -> Poll<()> + Send + Unpin + 'static,
{
    let locals = get_current_locals::<Crossing>(py)?;
    // Until its task is spawned.
    let _counted = ensure()?;
    let done = poll_fn(done);
    future_into_py_with_locals::<Crossing, _, Option<bool>>(py, locals, async move {
        done.await;
        Ok(None)
    })
}

/// A future of the running loop that has its result already.
pub(in crate::python) fn done(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
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
        let (handle, counted) = if let Ok(handle) = Handle::try_current() {
            (handle, None)
        } else if let Some(control) = &*lock(&CONTROL) {
            (control.handle.clone(), Some(Counted::new(&control.shared)))
        } else {
            // `future` has had the thread run.
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
