//! A hand-written WebSocket echo on tokio: what is left of a WebSocket server when everything but
//! echoing is left out. The worker's shared buffer is read into; a connection owns memory only while a
//! frame is incomplete.

use peers::frames::{Turn, echo_in_place, upgrade};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 << 10]);
}

struct Echo {
    stream: TcpStream,
    /// The beginning of an incomplete frame, and how long that frame is.
    carry: Vec<u8>,
    need: usize,
    /// What the socket did not take.
    rest: Vec<u8>,
}

fn end() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

impl Echo {
    /// Reads and replies until the socket has no more (pending), or until it took no more or a close
    /// frame went out (ready; true for the latter).
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let turn = if self.carry.is_empty() {
                SHARED.with_borrow_mut(|shared| self.poll_shared(cx, shared))
            } else {
                self.poll_own(cx)
            };
            let close = ready!(turn)?.close;
            if close || !self.rest.is_empty() {
                return Poll::Ready(Ok(close));
            }
        }
    }

    fn poll_shared(&mut self, cx: &mut Context<'_>, shared: &mut [u8]) -> Poll<io::Result<Turn>> {
        let mut buffer = ReadBuf::new(shared);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let n = buffer.filled().len();
        if n == 0 {
            return Poll::Ready(Err(end()));
        }
        let turn = echo_in_place(&mut shared[..n])?;
        self.reply(cx, &shared[..turn.out])?;
        self.need = turn.need;
        if turn.used < n {
            self.carry.reserve(turn.need.max(n - turn.used));
            self.carry.extend_from_slice(&shared[turn.used..n]);
        }
        Poll::Ready(Ok(turn))
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Turn>> {
        let have = self.carry.len();
        self.carry
            .reserve(self.need.saturating_sub(have).max(16 << 10));
        let mut buffer = ReadBuf::uninit(self.carry.spare_capacity_mut());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let n = buffer.filled().len();
        if n == 0 {
            return Poll::Ready(Err(end()));
        }
        // SAFETY: the read has filled `n` bytes of the spare capacity.
        unsafe { self.carry.set_len(have + n) };
        if self.need > have + n {
            return Poll::Ready(Ok(Turn::default()));
        }
        let mut carry = std::mem::take(&mut self.carry);
        let turn = echo_in_place(&mut carry)?;
        self.reply(cx, &carry[..turn.out])?;
        self.need = turn.need;
        if turn.used < carry.len() {
            carry.drain(..turn.used);
            self.carry = carry;
        }
        Poll::Ready(Ok(turn))
    }

    fn reply(&mut self, cx: &mut Context<'_>, reply: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        if !reply.is_empty()
            && let Poll::Ready(n) = Pin::new(&mut self.stream).poll_write(cx, reply)
        {
            sent = n?;
        }
        self.rest.extend_from_slice(&reply[sent..]);
        Ok(())
    }
}

async fn handshake(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut request = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(end());
        }
        if let Some((n, response)) = upgrade(&request)? {
            stream.write_all(&response).await?;
            return Ok(request.split_off(n));
        }
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let carry = handshake(&mut stream).await?;
    let mut echo = Echo {
        stream,
        carry,
        need: 0,
        rest: vec![],
    };
    loop {
        let close = poll_fn(|cx| echo.poll_turns(cx)).await?;
        if !echo.rest.is_empty() {
            echo.stream.write_all(&echo.rest).await?;
            echo.rest = vec![];
        }
        if close {
            return Ok(());
        }
    }
}

fn main() {
    peers::serve(|stream| async move {
        // The end of one connection, of whatever kind, is nothing to the others.
        let _ = echo(stream).await;
    });
}
