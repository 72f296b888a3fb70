//! Writes what the sending half has, as far as the wire takes it.

use super::Connection;
use super::turn::Turn;
use crate::protocol::sending::{MAX_SLICES, Sender};
use crate::server::wire::Wire;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

impl<W: Wire> Connection<W> {
    /// Sends what is kept, as far as the wire takes it; `false` if some of it has to wait, for which the task is woken.
    pub(super) fn send_kept(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> io::Result<bool> {
        if self.sender.is_opening() && !self.send_response(cx, turn)? {
            return Ok(false);
        }
        self.send(cx, &[], turn)
    }

    /// Sends the response, alone: what follows waits until it has left the wire, TLS included, for only then the line below
    /// is made a slow one, if faults want that. `false` if it has to wait.
    #[cold]
    fn send_response(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> io::Result<bool> {
        let is_sent = self.write::<true>(cx, &[], turn)?;
        if is_sent {
            self.follow_line();
        }
        Ok(is_sent)
    }

    /// Sends what is kept and then `tail`, as far as the wire takes it; `false` if some of it has to wait, for which the
    /// task is woken.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        tail: &[u8],
        turn: &mut Turn,
    ) -> io::Result<bool> {
        let sent = self.write::<false>(cx, tail, turn);
        let bytes_sent = mem::take(&mut turn.effects.bytes_sent);
        self.counters().bytes_sent.add(bytes_sent);
        sent
    }

    /// The same, or only the response.
    fn write<const RESPONSE: bool>(
        &mut self,
        cx: &mut Context<'_>,
        mut tail: &[u8],
        turn: &mut Turn,
    ) -> io::Result<bool> {
        let (account, effects) = (&mut self.account, &mut turn.effects);
        let mut is_blocked = false;
        let mut gone = self.wire.unsent();
        while !is_blocked {
            let sent = if RESPONSE {
                let Some(response) = self.sender.response() else {
                    break;
                };
                Pin::new(&mut self.wire).poll_write(cx, response)
            } else if self.sender.has_kept() {
                write_kept(&mut self.wire, &self.sender, cx, tail)
            } else if tail.is_empty() {
                break;
            } else {
                Pin::new(&mut self.wire).poll_write(cx, tail)
            };
            match sent {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(len)) => {
                    gone += len;
                    self.sender.sent(len, &mut tail, account, effects);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => is_blocked = true,
            }
        }
        // TCP has sent what it has taken; TLS keeps what the socket does not take.
        if self.sender.needs_flush() {
            if Pin::new(&mut self.wire).poll_flush(cx)?.is_ready() {
                self.sender.flushed(effects);
            } else {
                is_blocked = true;
            }
        }
        if is_blocked || RESPONSE {
            let unsent = self.wire.unsent();
            let gone = gone.saturating_sub(unsent);
            if is_blocked {
                self.sender.keep(tail, gone, unsent, account, effects);
            } else {
                self.sender.opened(gone);
            }
        }
        Ok(!is_blocked)
    }
}

/// Not inlined: mostly nothing is kept.
#[inline(never)]
fn write_kept(
    wire: &mut impl Wire,
    sender: &Sender,
    cx: &mut Context<'_>,
    tail: &[u8],
) -> Poll<io::Result<usize>> {
    let wire = Pin::new(wire);
    if tail.is_empty()
        && let Some(kept) = sender.kept()
    {
        return wire.poll_write(cx, kept);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = sender.transmit(tail, &mut slices);
    wire.poll_write_vectored(cx, &slices[..count])
}
