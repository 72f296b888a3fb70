//! Reads what the client sends: into the worker's buffer, or where the rest of a long message has its place.

use super::Connection;
use super::turn::Turn;
use crate::protocol::account;
use crate::protocol::frame;
use crate::protocol::handshake::MAX_HEAD;
use crate::server::desk::READ_BUFFER;
use crate::server::wire::Wire;
use bytes::BufMut;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;

/// Payload that makes a message worth the worker's whole read buffer: so much that no more than twice of what came is
/// charged.
const MIN_ADOPTED: usize = READ_BUFFER / 2;
/// Bytes that are kept of a client before it is admitted. One that has sent so many is not read from until then, and its
/// end is not seen before.
const MAX_EARLY: usize = MAX_HEAD;
/// Bytes read at once from a client that compresses, since what can't be inflated in this turn has to be kept, or that has
/// faults; and where nothing can be inflated or kept, but what comes may be something else.
const COMPRESSED_READ: usize = 64 << 10;
const LOOK: usize = 4 << 10;

impl<W: Wire> Connection<W> {
    /// Before the client is admitted only its end is looked for, since who is gone keeps nobody else out; what comes
    /// meanwhile is kept. Ready when there is something to do without waiting for the admission.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<io::Result<()>> {
        let desk = self.seated.desk.clone();
        loop {
            let kept = self.receiver.rest();
            if frame::begins_close(kept) {
                // Nothing before it asks for an answer that would have to wait.
                self.sender.admit();
                return Poll::Ready(Ok(()));
            }
            let Some(room) = MAX_EARLY.checked_sub(kept.len()).filter(|room| *room > 0) else {
                return Poll::Pending;
            };
            let mut buffer = desk.buffer.borrow_mut();
            buffer.clear();
            let len = ready!(pin!(self.wire.read_buf(&mut (&mut *buffer).limit(room))).poll(cx))?;
            if len == 0 {
                self.give_place();
                if self.receiver.rest().is_empty() {
                    self.has_ended = true;
                    return Poll::Ready(Ok(()));
                }
                // What was sent before is answered all the same.
                return Poll::Pending;
            }
            turn.received(len);
            self.sender.heard();
            if let Err(violation) = self.receiver.keep_more(&buffer, &mut self.account) {
                self.sender.fail(&violation, &mut turn.effects);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// One read, what it brings, and one write.
    pub(super) fn read(
        &mut self,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Poll<io::Result<usize>> {
        if self.receiver.is_behind() {
            let mut rest = self.receiver.take_rest();
            let taken = self.process(cx, rest.unread(), turn);
            let len = *taken.as_ref().unwrap_or(&0);
            self.receiver.put_rest(rest, len, &mut self.account);
            // Nothing taken is not the end of the stream.
            return Poll::Ready(taken.map(|len| len.max(1)));
        }
        match self.receiver.spare(READ_BUFFER, &mut self.account) {
            Ok(None) => {}
            Ok(Some((spare, room))) => {
                let len = ready!(pin!(self.wire.read_buf(&mut spare.limit(room))).poll(cx))?;
                turn.received(len);
                return Poll::Ready(self.take_spare(cx, len, turn).map(|()| len));
            }
            Err(violation) => {
                self.sender.fail(&violation, &mut turn.effects);
                return Poll::Ready(Ok(1));
            }
        }
        let desk = self.seated.desk.clone();
        let mut buffer = desk.buffer.borrow_mut();
        buffer.clear();
        let mut room = (&mut *buffer).limit(self.most_read(turn));
        let len = ready!(pin!(self.wire.read_buf(&mut room)).poll(cx))?;
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        turn.received(len);
        self.receiver.lend(MIN_ADOPTED);
        let taken = self.process(cx, &mut buffer, turn)?;
        let kept = if let Some(from) = self.receiver.wants_buffer() {
            let whole = mem::replace(&mut *buffer, account::buffer(READ_BUFFER));
            self.receiver.adopt(whole, from, &mut self.account)
        } else if taken < len {
            let rest = buffer[taken..].to_vec();
            self.receiver.keep_rest(rest, &mut self.account)
        } else {
            Ok(())
        };
        if let Err(violation) = kept {
            self.sender.fail(&violation, &mut turn.effects);
        }
        Poll::Ready(Ok(len))
    }

    /// How much is read at once: hardly more than may be kept, if the client does not take the echo of it.
    fn most_read(&self, turn: &Turn) -> usize {
        let most = match self.is_paced {
            false => READ_BUFFER,
            true if turn.budget == 0 => LOOK,
            true => COMPRESSED_READ,
        };
        self.account.room().clamp(LOOK, most)
    }
}
