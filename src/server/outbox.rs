//! Output of one connection that must be kept: chunks in the order of their sending.

use crate::client::Client;
use crate::memory::Account;
use crate::protocol::partial::Chunk;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// What a chunk costs beside its bytes: its place in the queue and the allocator's.
const OVERHEAD: usize = 64;
/// Pieces in one `writev`.
const MAX_SLICES: usize = 16;

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// What is left of the response at their front, which is no part of the conversation.
    response: u32,
    /// The stream has taken what it has not sent yet.
    unflushed: bool,
    /// What that counts for in the client's send queue.
    unflushed_cost: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && !self.unflushed
    }

    /// Begins with the response that ends the handshake.
    pub(super) fn begin(response: Vec<u8>, account: &mut Account) -> Self {
        let mut outbox = Self {
            response: u32::try_from(response.len()).unwrap_or(u32::MAX),
            ..Self::default()
        };
        outbox.keep(response, account);
        outbox
    }

    /// Appends a chunk that is charged already.
    pub(super) fn push(&mut self, chunk: Chunk) {
        self.chunks.push_back(chunk);
    }

    pub(super) fn extend(&mut self, chunks: Vec<Chunk>) {
        self.chunks.extend(chunks);
    }

    /// Appends bytes and charges them: `false` if that passes the memory limit, so that the connection has to end.
    pub(super) fn keep(&mut self, bytes: Vec<u8>, account: &mut Account) -> bool {
        let charged = bytes.len() + OVERHEAD;
        self.chunks.push_back(Chunk::new(bytes, charged));
        account.charge_anyway(charged)
    }

    /// The chunk that was appended last counts for `cost` bytes in the client's send queue until it is sent.
    pub(super) fn count_last(&mut self, cost: usize) {
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.queued = cost;
        }
    }

    /// Sends the chunks and then `tail` as far as the socket takes them; what it does not take of `tail` is kept.
    /// Returns the number of bytes sent, without those of the response, and whether all was. The task is woken when the socket takes more.
    pub(super) fn send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        mut tail: &[u8],
        account: &mut Account,
        client: &Client,
    ) -> io::Result<Sent> {
        let mut bytes = 0;
        loop {
            if self.chunks.is_empty() && tail.is_empty() {
                return Ok(Sent {
                    bytes,
                    all: self.flush(stream, cx, client)?,
                    fits: true,
                });
            }
            let sent = if self.chunks.is_empty() {
                Pin::new(&mut *stream).poll_write(cx, tail)
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let pieces = self.chunks.iter().map(Chunk::bytes).chain([tail]);
                let mut count = 0;
                for (slice, piece) in slices.iter_mut().zip(pieces) {
                    *slice = IoSlice::new(piece);
                    count += 1;
                }
                Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count])
            };
            match sent {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => {
                    bytes += sent;
                    self.unflushed = true;
                    let beyond = if self.chunks.is_empty() {
                        sent
                    } else {
                        let response = self.response.min(u32::try_from(sent).unwrap_or(u32::MAX));
                        self.response -= response;
                        bytes -= response as usize;
                        self.advance(sent, account)
                    };
                    tail = &tail[beyond..];
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    let fits = tail.is_empty() || self.keep(tail.to_vec(), account);
                    self.flush(stream, cx, client)?;
                    return Ok(Sent {
                        bytes,
                        all: false,
                        fits,
                    });
                }
            }
        }
    }

    /// TCP has sent what it has taken; TLS keeps what the socket does not take. `false` if some of it has to wait.
    fn flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        client: &Client,
    ) -> io::Result<bool> {
        if self.unflushed {
            if Pin::new(stream).poll_flush(cx)?.is_pending() {
                return Ok(false);
            }
            self.unflushed = false;
            client.release(mem::take(&mut self.unflushed_cost));
        }
        Ok(true)
    }

    /// Forgets `sent` bytes and returns how many of them lie beyond the chunks.
    fn advance(&mut self, mut sent: usize, account: &mut Account) -> usize {
        while let Some(chunk) = self.chunks.front_mut() {
            let len = chunk.bytes().len();
            if sent < len {
                chunk.advance(sent);
                return 0;
            }
            sent -= len;
            if let Some(chunk) = self.chunks.pop_front() {
                self.unflushed_cost += chunk.queued;
                chunk.free(account);
            }
        }
        // An idle connection owns no buffer.
        self.chunks = VecDeque::new();
        sent
    }

    /// Nothing of it will be sent any more.
    pub(super) fn abandon(&mut self, client: &Client) {
        client.release(mem::take(&mut self.unflushed_cost));
        for chunk in self.chunks.drain(..) {
            client.release(chunk.queued);
        }
    }
}

/// How far [`Outbox::send`] came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) bytes: usize,
    pub(super) all: bool,
    /// Whether what is kept is within the memory limit.
    pub(super) fits: bool,
}
