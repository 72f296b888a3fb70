//! A stream that may be made a slow line, by faults. Otherwise it is what it was.

use super::line::Line;
use super::wire::Wire;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `io`, perhaps with a slow line before it.
#[derive(Debug)]
pub(super) struct Shaped<S> {
    io: S,
    line: Option<Box<Line>>,
}

impl<S> Shaped<S> {
    pub(super) const fn new(io: S) -> Self {
        Self { io, line: None }
    }
}

/// An error if the client has left a connection that it has had frozen for good, or has reset one that it has had made slow
/// otherwise: nobody needs that any more, and it would keep its place. Cold: so what
/// there is without a line is small enough to become part of a turn, which saves it 54 instructions.
#[cold]
fn check<S: Wire>(io: &mut S, line: &Line, cx: &mut Context<'_>) -> io::Result<()> {
    if line.is_frozen_for_good() && io.poll_left(cx).is_ready() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    if line.is_slowed_by_itself() && io.has_reset() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(())
}

impl<S: Wire> AsyncRead for Shaped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, line } = &mut *self;
        match line {
            None => Pin::new(io).poll_read(cx, into),
            Some(line) => {
                check(io, line, cx)?;
                line.poll_read(io, cx, into)
            }
        }
    }
}

impl<S: Wire> AsyncWrite for Shaped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, line } = &mut *self;
        match line {
            None => Pin::new(io).poll_write(cx, bytes),
            Some(line) => {
                check(io, line, cx)?;
                line.poll_write(io, cx, bytes)
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, line } = &mut *self;
        match line {
            None => Pin::new(io).poll_write_vectored(cx, pieces),
            Some(line) => {
                check(io, line, cx)?;
                let first = pieces.iter().find(|piece| !piece.is_empty());
                line.poll_write(io, cx, first.map_or(&[], |piece| piece))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// What is on its way has been sent, as far as whoever sent it is concerned.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_clear(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<S: Wire> Wire for Shaped<S> {
    fn reset_on_drop(&self) {
        self.io.reset_on_drop();
    }

    fn ends_on_drop(&self) -> bool {
        self.line.is_none() && self.io.ends_on_drop()
    }

    fn line(&mut self) -> Option<&mut Option<Box<Line>>> {
        Some(&mut self.line)
    }

    fn has_left(&self) -> bool {
        self.io.has_left()
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_left(cx)
    }

    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, line } = self;
        match line {
            None => Poll::Ready(Ok(())),
            Some(line) => {
                check(io, line, cx)?;
                let _ = line.fill(io, cx);
                line.poll_out(io, cx)
            }
        }
    }
}
