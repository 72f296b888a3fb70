//! The sockets that this process has open for its servers. A fork copies them all, and a socket is closed only when its
//! last copy is: so the child closes those that are listed here, and the parent, before it closes one that may have
//! copies, shuts it down.
//!
//! Sockets are opened and closed under the list's lock, and a fork holds it: what the child finds listed is what it has
//! copies of. Between the hooks of a fork any Python code may run, so nobody may wait here with the interpreter attached.

use crate::fork_lock::{ForkLock, Held};
use socket2::SockRef;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::mem;
use std::net::Shutdown;
use std::ops::Deref;
#[cfg(unix)]
use std::os::fd::AsRawFd;
#[cfg(windows)]
use std::os::windows::io::AsRawSocket;
use std::pin::Pin;
use std::process;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

static LIST: ForkLock<List> = ForkLock::new(&MUTEX, &HELD);

static MUTEX: Mutex<List> = Mutex::new(List {
    open: BTreeSet::new(),
    inherited: BTreeSet::new(),
    has_forked: false,
    process: 0,
});

thread_local! {
    static HELD: Held<List> = const { RefCell::new(None) };
}

/// A descriptor, as the operating system numbers it.
#[cfg(unix)]
pub type Number = std::os::fd::RawFd;
/// A descriptor, as the operating system numbers it.
#[cfg(windows)]
pub type Number = std::os::windows::io::RawSocket;

#[derive(Debug)]
struct List {
    open: BTreeSet<Number>,
    /// In a forked child: its copies of those that the parent had open.
    inherited: BTreeSet<Number>,
    /// There may be a child that has copies.
    has_forked: bool,
    /// That which forks; asked for only between the hooks of a fork.
    process: u32,
}

impl List {
    /// Between the hooks of a fork: whether this is the child is seen here first.
    fn look(&mut self) {
        let process = process::id();
        if mem::replace(&mut self.process, process) != process {
            self.inherited.append(&mut self.open);
            self.has_forked = false;
        }
    }
}

/// A socket, whatever has it.
pub(crate) trait Socket {
    fn raw(&self) -> SockRef<'_>;

    fn shut_down(&self) -> ShutDown;

    fn number(&self) -> Number {
        #[cfg(unix)]
        return self.raw().as_raw_fd();
        #[cfg(windows)]
        return self.raw().as_raw_socket();
    }
}

/// One that holds a listener's port.
impl Socket for socket2::Socket {
    fn raw(&self) -> SockRef<'_> {
        self.into()
    }

    fn shut_down(&self) -> ShutDown {
        ShutDown::Always
    }
}

impl Socket for std::net::TcpStream {
    fn raw(&self) -> SockRef<'_> {
        self.into()
    }

    fn shut_down(&self) -> ShutDown {
        ShutDown::Forked
    }
}

impl Socket for tokio::net::TcpStream {
    fn raw(&self) -> SockRef<'_> {
        self.into()
    }

    fn shut_down(&self) -> ShutDown {
        ShutDown::Forked
    }
}

/// When a socket is shut down before it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShutDown {
    /// A listener of our own: whoever has a copy would keep the port.
    Always,
    /// A connection: after a fork that was noted, since the client would wait for the end until the child closes its
    /// copy, too.
    Forked,
    /// A listener that others have as well: they go on with it.
    Never,
}

/// A socket that is on the list while it is open.
#[derive(Debug)]
pub(crate) struct Listed<T: Socket> {
    /// `None` only in `drop` and `try_map`.
    socket: Option<T>,
}

impl<T: Socket> Listed<T> {
    /// A listener that `open` opens, quickly. If nobody else has it, its end is that of the port.
    pub(crate) fn listener(open: impl FnOnce() -> io::Result<T>) -> io::Result<Self> {
        with_list(|list| Ok(Self::new(list, open()?)))
    }

    /// A connection, if `accept` has one.
    pub(crate) fn poll_accepted<U>(
        accept: impl FnOnce() -> Poll<io::Result<(T, U)>>,
    ) -> Poll<io::Result<(Self, U)>> {
        with_list(|list| accept().map_ok(|(socket, more)| (Self::new(list, socket), more)))
    }

    fn new(list: &mut List, socket: T) -> Self {
        list.open.insert(socket.number());
        Self {
            socket: Some(socket),
        }
    }

    /// The same socket as another type; it is closed if that fails.
    pub(crate) fn try_map<U: Socket>(
        mut self,
        map: impl FnOnce(T) -> io::Result<U>,
    ) -> io::Result<Listed<U>> {
        let socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
        let number = socket.number();
        with_list(|list| match map(socket) {
            Ok(socket) => Ok(Listed {
                socket: Some(socket),
            }),
            Err(error) => {
                list.open.remove(&number);
                Err(error)
            }
        })
    }
}

impl<T: Socket> Drop for Listed<T> {
    fn drop(&mut self) {
        let Some(socket) = self.socket.take() else {
            return;
        };
        with_list(|list| {
            list.open.remove(&socket.number());
            let raw = socket.raw();
            // What is to be reset would end in order: its last copy, which a child closes at once, resets it.
            let is_reset = || matches!(raw.linger(), Ok(Some(Duration::ZERO)));
            let is_shut_down = match socket.shut_down() {
                ShutDown::Always => true,
                ShutDown::Forked => list.has_forked && !is_reset(),
                ShutDown::Never => false,
            };
            if is_shut_down {
                // It fails only if the other side has gone already.
                let _ = raw.shutdown(Shutdown::Both);
            }
            // Closed before the lock is released.
            drop(socket);
        });
    }
}

impl<T: Socket> Deref for Listed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.socket
            .as_ref()
            .expect("it is there until it is dropped")
    }
}

impl<T: Socket + Unpin> Listed<T> {
    fn pin(&mut self) -> Pin<&mut T> {
        Pin::new(
            self.socket
                .as_mut()
                .expect("it is there until it is dropped"),
        )
    }
}

impl<T: Socket + AsyncRead + Unpin> AsyncRead for Listed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pin().poll_read(cx, into)
    }
}

impl<T: Socket + AsyncWrite + Unpin> AsyncWrite for Listed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pin().poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pin().poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        (**self).is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin().poll_shutdown(cx)
    }
}

/// To be called before this thread forks: from now on nothing is opened or closed but by this thread. Waits for those who
/// do so at this moment. One of the two below has to follow, in this thread.
pub fn before_fork() {
    // A hook of one fork may fork as well: if that is in the first one's child, it is seen here first.
    let is_within = LIST.is_held();
    LIST.hold();
    LIST.with(|list| {
        if is_within {
            list.look();
        }
        list.process = process::id();
        // Soon: what is closed between the hooks may have copies, too.
        list.has_forked = true;
    });
}

/// To be called in the parent after the fork, or after one that has failed.
pub fn after_fork_in_parent() {
    LIST.release();
}

/// To be called in the child after the fork: what it has to close, by these numbers. Objects that belong to the parent's
/// runtimes must not be dropped: that would take the sockets from the parent's event queue, which is shared.
#[must_use]
pub fn after_fork_in_child() -> Vec<Number> {
    // Whoever forks without the first hook may have copied a lock that nobody will release.
    if !LIST.is_held() {
        let list = MUTEX.try_lock();
        return list.map_or_else(
            |_| Vec::new(),
            |mut list| mem::take(&mut list.open).into_iter().collect(),
        );
    }
    let inherited = with_list(|list| mem::take(&mut list.inherited));
    LIST.release();
    inherited.into_iter().collect()
}

/// Waits with `wait` for other threads: if this one forks they may open and close sockets meanwhile.
pub fn lend<R>(wait: impl FnOnce() -> R) -> R {
    LIST.lend(wait)
}

/// Only system calls that don't block are made under the lock; it is never taken twice.
fn with_list<R>(act: impl FnOnce(&mut List) -> R) -> R {
    if LIST.is_held() {
        LIST.with(List::look);
    }
    LIST.with(act)
}
