//! What wakes an event loop that runs the dispatcher: a byte on a pair of sockets that the loop watches, or, for loops
//! that can't watch a descriptor, a thread that waits here.

use std::io;
#[cfg(unix)]
use std::io::{Read, Write};
#[cfg(unix)]
use std::os::fd::AsRawFd;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug)]
pub(super) enum Doorbell {
    /// To be watched, and to be written to.
    #[cfg(unix)]
    Pair(UnixStream, UnixStream),
    Thread(Mutex<State>, Condvar),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Quiet,
    Rung,
    Ended,
}

impl Doorbell {
    #[cfg(unix)]
    pub(super) fn pair() -> io::Result<Self> {
        let (watched, written) = UnixStream::pair()?;
        watched.set_nonblocking(true)?;
        written.set_nonblocking(true)?;
        Ok(Self::Pair(watched, written))
    }

    /// Rust can't lend a loop of such a system a descriptor.
    #[cfg(not(unix))]
    pub(super) fn pair() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn thread() -> Self {
        Self::Thread(Mutex::new(State::Quiet), Condvar::new())
    }

    /// The descriptor to watch, which is open as long as this lives.
    pub(super) fn fileno(&self) -> Option<i32> {
        match self {
            #[cfg(unix)]
            Self::Pair(watched, _) => Some(watched.as_raw_fd()),
            Self::Thread(..) => None,
        }
    }

    /// Called at most once between two calls of `hush`.
    pub(super) fn ring(&self) {
        match self {
            #[cfg(unix)]
            Self::Pair(_, written) => {
                let mut written = written;
                // There is always room for one byte, and somebody who will read it.
                let _ = written.write(&[0]);
            }
            Self::Thread(..) => self.set(State::Rung),
        }
    }

    /// Takes the byte, if there is one.
    pub(super) fn hush(&self) {
        match self {
            #[cfg(unix)]
            Self::Pair(watched, _) => {
                let mut watched = watched;
                // If there is none, nobody has rung.
                let _ = watched.read(&mut [0; 8]);
            }
            Self::Thread(..) => {}
        }
    }

    /// Nobody rings any more: ends `wait`.
    pub(super) fn end(&self) {
        self.set(State::Ended);
    }

    fn set(&self, new: State) {
        match self {
            #[cfg(unix)]
            Self::Pair(..) => {}
            Self::Thread(state, rung) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if *state != State::Ended {
                    *state = new;
                }
                drop(state);
                rung.notify_one();
            }
        }
    }

    /// Waits, in a thread of its own, until somebody rings: `false` if nobody will any more.
    pub(super) fn wait(&self) -> bool {
        match self {
            #[cfg(unix)]
            Self::Pair(..) => false,
            Self::Thread(state, rung) => {
                let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let mut state = rung
                    .wait_while(state, |state| *state == State::Quiet)
                    .unwrap_or_else(PoisonError::into_inner);
                let is_rung = *state == State::Rung;
                if is_rung {
                    *state = State::Quiet;
                }
                is_rung
            }
        }
    }
}
