//! What a connection needs of what lies below it.

use super::line::Line;
use crate::sockets::Listed;
use socket2::SockRef;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes in both directions, and an end without manners. TCP, TLS over it, and the stream of the simulation.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// From now on its drop tells the client nothing but a reset, whatever is on its way.
    fn reset_on_drop(&self);

    /// Bytes that it has taken from us and keeps, since what lies below takes no more of them.
    fn unsent(&self) -> usize {
        0
    }

    /// Where a slow line can be put in; `None` where it can't.
    fn line(&mut self) -> Option<&mut Option<Box<Line>>> {
        None
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

    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_clear(cx)
    }
}
