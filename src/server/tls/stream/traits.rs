//! A [`TlsStream`] as tokio reads and writes it.

use super::{Incoming, Scratch, TOGETHER, TlsStream, room};
use crate::server::line::Line;
use crate::server::wire::Wire;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.beyond.is_empty() {
            let fits = this.beyond.len().min(into.remaining());
            into.put_slice(&this.beyond[..fits]);
            this.beyond = this.beyond.split_off(fits);
            this.settle();
            return Poll::Ready(Ok(()));
        }
        if this.incoming == Incoming::Ignored {
            return Pin::new(&mut this.io).poll_read(cx, into);
        }
        let before = into.filled().len();
        while this.is_reading() && into.filled().len() == before {
            ready!(this.poll_decrypt(cx, into))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send_most(cx))?;
        let data = &data[..data.len().min(TOGETHER)];
        let desk = self.desk.clone();
        let mut scratch = desk.tls.borrow_mut();
        self.put(cx, data, room(&mut scratch.outgoing))?;
        Poll::Ready(Ok(data.len()))
    }

    /// What is written together goes into the same records.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [piece] = pieces {
            return self.poll_write(cx, piece);
        }
        ready!(self.poll_send_most(cx))?;
        let desk = self.desk.clone();
        let mut scratch = desk.tls.borrow_mut();
        let Scratch {
            outgoing, joined, ..
        } = &mut *scratch;
        joined.clear();
        for piece in pieces {
            let room = TOGETHER - joined.len();
            joined.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        self.put(cx, joined, room(outgoing))?;
        Poll::Ready(Ok(joined.len()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Sends `close_notify` and then the end of the stream below.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.incoming != Incoming::Ignored {
            let mut alert = [0; 64];
            // After a failure there is nothing more to be said.
            if let Ok(len) = self.write_with(|traffic| traffic.queue_close_notify(&mut alert)) {
                self.unsent.extend_from_slice(&alert[..len]);
            }
            self.incoming = Incoming::Ignored;
            self.held = Vec::new();
            self.beyond = Vec::new();
            self.settle();
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<S: Wire> Wire for TlsStream<S> {
    fn reset_on_drop(&self) {
        self.io.reset_on_drop();
    }

    fn unsent(&self) -> usize {
        self.unsent.len()
    }

    fn line(&mut self) -> Option<&mut Option<Box<Line>>> {
        self.io.line()
    }

    fn has_left(&self) -> bool {
        self.io.has_left()
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_left(cx)
    }

    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What could not be sent before goes first.
        ready!(self.poll_send(cx))?;
        self.io.poll_clear(cx)
    }
}
