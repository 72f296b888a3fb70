//! What a connection needs of what lies below it.

use super::line::Line;
use crate::sockets::Listed;
use socket2::SockRef;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

/// Bytes in both directions, and an end without manners. TCP, TLS over it, and the stream of the simulation.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// From now on its drop tells the client nothing but a reset, whatever is on its way.
    fn reset_on_drop(&self);

    /// Whether its drop tells a client whose end was read all that there is to tell, and in order.
    fn ends_on_drop(&self) -> bool {
        false
    }

    /// Bytes that it has taken from us and keeps, since what lies below takes no more of them.
    fn unsent(&self) -> usize {
        0
    }

    /// Where a slow line can be put in; `None` where it can't.
    fn line(&mut self) -> Option<&mut Option<Box<Line>>> {
        None
    }

    /// Whether the client has sent its end, or is gone, whatever it has sent before that and was not read. Where that
    /// can't be seen it has not.
    fn has_left(&self) -> bool {
        false
    }

    /// Whether the client has reset the connection, whatever came before that. Where that can't be seen it has not.
    fn has_reset(&self) -> bool {
        false
    }

    /// Ready when it has left. Only for a stream of which nothing is read any more: what has come up to now wakes nobody again.
    fn poll_left(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Moves what is on its way on a slow line; ready when nothing is any more.
    fn poll_clear(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Wire for Listed<TcpStream> {
    fn reset_on_drop(&self) {
        // It fails only if the client is gone already.
        let _ = SockRef::from(&**self).set_linger(Some(Duration::ZERO));
    }

    /// The system sends what is left, and then the end: nothing was left unread, for which it would reset.
    fn ends_on_drop(&self) -> bool {
        true
    }

    fn has_left(&self) -> bool {
        // Says what is known by now.
        let known =
            pin!(self.ready(Interest::READABLE)).poll(&mut Context::from_waker(Waker::noop()));
        matches!(known, Poll::Ready(Ok(known)) if known.is_read_closed())
    }

    fn has_reset(&self) -> bool {
        let both = Interest::READABLE | Interest::WRITABLE;
        let known = pin!(self.ready(both)).poll(&mut Context::from_waker(Waker::noop()));
        matches!(known, Poll::Ready(Ok(known)) if known.is_read_closed() && known.is_write_closed())
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if ready!(self.poll_read_ready(cx)).is_err() || self.has_left() {
                return Poll::Ready(());
            }
            // There is something to read, which is known now: the next event wakes the task.
            let blocked = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _ = self.try_io(Interest::READABLE, blocked);
        }
    }
}

impl<W: Wire> Wire for Box<W> {
    fn reset_on_drop(&self) {
        (**self).reset_on_drop();
    }

    fn unsent(&self) -> usize {
        (**self).unsent()
    }

    fn line(&mut self) -> Option<&mut Option<Box<Line>>> {
        (**self).line()
    }

    fn has_left(&self) -> bool {
        (**self).has_left()
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        (**self).poll_left(cx)
    }

    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_clear(cx)
    }
}
