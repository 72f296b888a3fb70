//! The way into a worker from other threads: orders are collected, and the worker is woken once for all of them.

use crate::client::Client;
use crate::protocol::message::Kind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a connection is asked to do by another thread.
#[derive(Debug)]
pub enum Order {
    /// The client was announced: deliver its messages.
    Admit,
    /// The answers to the client's oldest unanswered messages, in order.
    Replies(Replies),
    /// Send a message now, between two others.
    Send(Kind, Vec<u8>),
    /// Send a ping.
    Ping(Vec<u8>),
    /// Close with this code and reason.
    Close(u16, String),
    /// Drop the connection without a word.
    Abort,
}

/// Answers as frames: the `i`-th is `wire[ends[i - 1]..ends[i]]`, empty for none.
#[derive(Debug, Default)]
pub struct Replies {
    /// Whole frames. Where compression was agreed they are compressed, unless they have the mark of the batch's
    /// (`frame::AS_IT_IS`).
    pub wire: Vec<u8>,
    /// Where each answer ends.
    pub ends: Vec<usize>,
    /// Payload bytes of the messages that are answered.
    pub answered: usize,
}

/// What a worker is asked to do.
#[derive(Debug)]
pub enum Command {
    /// An order to one of its connections; nobody's business if it is gone.
    Client(Arc<Client>, Order),
    /// Serve this connection.
    Serve(crate::server::Accepted),
    /// Close the listener, tell every client 1001, and end when they are gone.
    Stop,
}

/// A worker's letterbox.
#[derive(Debug, Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    commands: Vec<Command>,
    waker: Option<Waker>,
    closed: bool,
}

impl Mailbox {
    /// Hands over what is in `commands`, which is empty after it. Any thread; never blocks for long.
    pub fn post(&self, commands: &mut Vec<Command>) {
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            commands.clear();
            return;
        }
        inner.commands.append(commands);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Hands over one command.
    pub fn post_one(&self, command: Command) {
        self.post(&mut vec![command]);
    }

    /// Throws away what nobody will take any more, and what may still come.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let commands = std::mem::take(&mut inner.commands);
        let waker = inner.waker.take();
        // Dropped after the lock: sockets are closed here, and the runtime behind the waker goes.
        drop(inner);
        drop((commands, waker));
    }

    /// Takes what has come into `commands`, which is empty before it.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, commands: &mut Vec<Command>) -> Poll<()> {
        let mut inner = self.lock();
        std::mem::swap(&mut inner.commands, commands);
        if commands.is_empty() {
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic runs under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
