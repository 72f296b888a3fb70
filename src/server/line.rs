//! The line below a connection, where faults make it a slow one: bytes arrive later, or in small pieces, or not at all.
//! What is on its way is kept here, in order, bounded, and charged.

use super::clock::{Alarm, Clock};
use crate::faults::action::State;
use crate::faults::registry::Faults;
use crate::faults::script::Script;
use crate::faults::shape::{Shape, Way};
use crate::protocol::account::Account;
use crate::protocol::partial::Chunk;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes on their way in one direction at the most; beyond that nothing more is taken.
const MOST: usize = 1 << 20;
/// Of the memory that is left it takes at most this part.
const SHARE: usize = 4;
/// Bytes read at once.
const READ: usize = 8 << 10;
/// What a piece costs beside its bytes: its entry in a queue that doubles, and what an allocation wastes.
const OVERHEAD: usize = 2 * size_of::<(Instant, Chunk)>() + 32;
/// Bytes for which there always is room: nothing would make some.
const LITTLE: usize = 64;

/// A slow line.
#[derive(Debug)]
pub(super) struct Line {
    script: Rc<Script>,
    clock: Clock,
    account: Account,
    incoming: Lane,
    outgoing: Lane,
}

/// One direction of it.
#[derive(Debug)]
struct Lane {
    way: Way,
    /// What is on its way, and when it arrives.
    pieces: VecDeque<(Instant, Chunk)>,
    len: usize,
    /// Bytes that have arrived.
    arrived: u64,
    /// When bytes may arrive again.
    next: Option<Instant>,
    /// When the last ones did.
    moved: Option<Instant>,
    alarm: Alarm,
    /// How it ends, behind the pieces; the error only once.
    end: Option<(Instant, io::Result<()>)>,
}

impl Line {
    pub(super) fn new(script: Rc<Script>, clock: Clock, account: Account) -> Box<Self> {
        Box::new(Self {
            script,
            clock,
            account,
            incoming: Lane::new(Way::In),
            outgoing: Lane::new(Way::Out),
        })
    }

    /// Takes up the faults that are set now, and lets go of the others.
    pub(super) fn follow(&self, faults: &Faults) {
        self.script.follow(faults);
    }

    /// Whether bytes could move without it.
    pub(super) fn is_needless(&self) -> bool {
        !self.script.moves_bytes() && self.incoming.is_empty() && self.outgoing.is_empty()
    }

    /// How long from `now` until all that was taken has arrived, and more may pass; `None` if nothing holds it up.
    pub(super) fn lag(&self, now: Instant) -> Option<Duration> {
        let lane = &self.outgoing;
        let last = lane.pieces.back().map(|(last, _)| *last);
        let is_paced = lane.exit(&self.script).paces();
        let next = lane.next.filter(|next| is_paced && *next > now);
        Some(last.max(next)?.saturating_duration_since(now))
    }

    /// From when on it is up to the client alone that nothing is sent: when the next bytes may move, or the last ones
    /// did; `None` if nothing was.
    pub(super) fn open_since(&self) -> Option<Instant> {
        let lane = &self.outgoing;
        let shape = lane.exit(&self.script);
        let due = lane.pieces.front().map(|(due, _)| *due);
        let due = due.filter(|_| shape.delays());
        let next = lane.next.filter(|_| shape.paces());
        due.max(next).max(lane.moved)
    }

    /// See [`Script::is_frozen_for_good`].
    pub(super) fn is_frozen_for_good(&self) -> bool {
        self.script.is_frozen_for_good()
    }

    fn is_frozen(&self) -> bool {
        self.script.is_in(State::Frozen)
    }

    /// Takes bytes to send, as many as there is room for.
    #[cold]
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // In this order: what was taken before goes first.
        let is_clear = self.poll_out(io, cx)?.is_ready();
        if self.is_frozen() {
            return Poll::Pending;
        }
        let shape = self.outgoing.entry(&self.script);
        if is_clear && !shape.delays() {
            ready!(self.outgoing.poll_gate(&self.clock, &shape, cx));
            let portion = &bytes[..shape.portion(bytes.len())];
            let sent = ready!(Pin::new(io).poll_write(cx, portion))?;
            self.outgoing
                .pass(sent, &shape, &self.script, self.clock.now());
            return Poll::Ready(Ok(sent));
        }
        let Some(room) = self.outgoing.room(&self.account) else {
            return Poll::Pending;
        };
        let len = bytes.len().min(room).min(shape.same());
        let due = self.outgoing.due(&shape, &self.script, self.clock.now());
        self.outgoing
            .push(due, &bytes[..len], &self.script, &mut self.account);
        // Has the task woken when it is due.
        let _ = self.poll_out(io, cx)?;
        Poll::Ready(Ok(len))
    }

    /// Sends what has to be there by now; ready when nothing is on its way any more.
    pub(super) fn poll_out<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_frozen() {
            return Poll::Pending;
        }
        let lane = &mut self.outgoing;
        while !lane.pieces.is_empty() {
            let shape = lane.exit(&self.script);
            ready!(lane.poll_due(&self.clock, &shape, cx));
            ready!(lane.poll_gate(&self.clock, &shape, cx));
            let bytes = lane.front();
            let portion = &bytes[..shape.portion(bytes.len())];
            let sent = ready!(Pin::new(&mut *io).poll_write(cx, portion))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            lane.advance(sent, &mut self.account);
            lane.pass(sent, &shape, &self.script, self.clock.now());
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what has arrived.
    #[cold]
    pub(super) fn poll_read<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What is on its way to the client has to be sent meanwhile. If that fails, so does the next write.
        let _ = self.poll_out(io, cx);
        if self.is_frozen() {
            return Poll::Pending;
        }
        let lane = &mut self.incoming;
        let shape = lane.entry(&self.script);
        if lane.pieces.is_empty() && lane.end.is_none() && !shape.delays() {
            ready!(lane.poll_gate(&self.clock, &shape, cx));
            let mut buffer = [0; READ];
            let most = shape.portion(into.remaining().min(READ));
            let mut read = ReadBuf::new(&mut buffer[..most]);
            ready!(Pin::new(io).poll_read(cx, &mut read))?;
            let bytes = read.filled();
            into.put_slice(bytes);
            lane.pass(bytes.len(), &shape, &self.script, self.clock.now());
            return Poll::Ready(Ok(()));
        }
        self.fill(io, cx);
        let lane = &mut self.incoming;
        let shape = lane.exit(&self.script);
        if lane.pieces.is_empty() {
            return lane.poll_end(&self.clock, &shape, cx);
        }
        ready!(lane.poll_due(&self.clock, &shape, cx));
        ready!(lane.poll_gate(&self.clock, &shape, cx));
        let bytes = lane.front();
        let len = shape.portion(bytes.len().min(into.remaining()));
        into.put_slice(&bytes[..len]);
        lane.advance(len, &mut self.account);
        lane.pass(len, &shape, &self.script, self.clock.now());
        Poll::Ready(Ok(()))
    }

    /// Takes what the client has sent, as much as there is room for, to arrive later.
    pub(super) fn fill<S: AsyncRead + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) {
        if self.is_frozen() {
            return;
        }
        let mut buffer = [0; READ];
        let lane = &mut self.incoming;
        while lane.end.is_none()
            && let Some(room) = lane.room(&self.account)
        {
            let shape = lane.entry(&self.script);
            let most = room.min(shape.same()).min(READ);
            let mut read = ReadBuf::new(&mut buffer[..most]);
            let Poll::Ready(result) = Pin::new(&mut *io).poll_read(cx, &mut read) else {
                return;
            };
            let due = lane.due(&shape, &self.script, self.clock.now());
            match read.filled() {
                [] => lane.end = Some((due, result)),
                bytes => lane.push(due, bytes, &self.script, &mut self.account),
            }
        }
    }
}

impl Lane {
    fn new(way: Way) -> Self {
        Self {
            way,
            pieces: VecDeque::new(),
            len: 0,
            arrived: 0,
            next: None,
            moved: None,
            alarm: Alarm::default(),
            end: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.end.is_none()
    }

    /// Bytes that have entered.
    const fn entered(&self) -> u64 {
        self.arrived + self.len as u64
    }

    /// What happens to the next bytes that enter.
    fn entry(&self, script: &Script) -> Shape {
        script.shape(self.way, self.entered())
    }

    /// What happens to the next bytes that arrive.
    fn exit(&self, script: &Script) -> Shape {
        script.shape(self.way, self.arrived)
    }

    fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |(_, bytes)| bytes.bytes())
    }

    /// Bytes for which there is room, if there is.
    fn room(&self, account: &Account) -> Option<usize> {
        // With what it has a part of what there is: what arrives needs some, too.
        let kept = self.len + self.pieces.len() * OVERHEAD;
        let share = account.room().saturating_add(kept) / SHARE;
        let affordable = share.saturating_sub(kept + OVERHEAD);
        let room = if self.pieces.is_empty() {
            affordable.max(LITTLE)
        } else {
            affordable
        };
        let room = room.min(MOST.saturating_sub(self.len));
        (room > 0).then_some(room)
    }

    /// When what enters now arrives; not before what has entered before.
    fn due(&self, shape: &Shape, script: &Script, now: Instant) -> Instant {
        let jitter = if shape.jitter > Duration::ZERO {
            let chance = script.chance(self.way, self.entered());
            shape.jitter.mul_f64(chance)
        } else {
            Duration::ZERO
        };
        let due = now + shape.latency + jitter;
        let last = self.pieces.back().map_or(due, |(last, _)| *last);
        due.max(last)
    }

    fn push(&mut self, due: Instant, bytes: &[u8], script: &Script, account: &mut Account) {
        script.moves(self.way, self.entered());
        let charged = bytes.len() + OVERHEAD;
        // Beyond the limit only the little that always has room.
        let _ = account.charge_anyway(charged);
        self.len += bytes.len();
        let piece = Chunk::new(bytes.to_vec(), charged);
        self.pieces.push_back((due, piece));
    }

    /// The first bytes have left.
    fn advance(&mut self, len: usize, account: &mut Account) {
        self.len -= len;
        if let Some((_, piece)) = self.pieces.front_mut() {
            piece.advance(len);
            if piece.bytes().is_empty()
                && let Some((_, piece)) = self.pieces.pop_front()
            {
                piece.free(account);
            }
        }
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        } else if self.pieces.len() < self.pieces.capacity() / 4 {
            self.pieces.shrink_to(self.pieces.capacity() / 2);
        }
    }

    /// That many bytes have arrived.
    fn pass(&mut self, len: usize, shape: &Shape, script: &Script, now: Instant) {
        if len == 0 {
            return;
        }
        script.moves(self.way, self.arrived);
        self.arrived += len as u64;
        self.moved = Some(now);
        if shape.paces() {
            let next = self.next.map(Instant::into_std);
            let next = shape.after(len, next, now.into_std());
            self.next = Some(Instant::from_std(next));
        }
    }

    /// Ready when the first piece has arrived; at once if nothing is held up any more.
    fn poll_due(&mut self, clock: &Clock, shape: &Shape, cx: &mut Context<'_>) -> Poll<()> {
        match self.pieces.front() {
            Some((due, _)) if shape.delays() => clock.poll_due(&mut self.alarm, *due, cx),
            _ => Poll::Ready(()),
        }
    }

    /// Ready when bytes may move after those before them.
    fn poll_gate(&mut self, clock: &Clock, shape: &Shape, cx: &mut Context<'_>) -> Poll<()> {
        match self.next {
            Some(next) if shape.paces() => clock.poll_due(&mut self.alarm, next, cx),
            _ => Poll::Ready(()),
        }
    }

    /// Ready with the end, behind all pieces.
    fn poll_end(
        &mut self,
        clock: &Clock,
        shape: &Shape,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some((due, result)) = &mut self.end else {
            return Poll::Pending;
        };
        if shape.delays() {
            ready!(clock.poll_due(&mut self.alarm, *due, cx));
        }
        Poll::Ready(mem::replace(result, Ok(())))
    }
}

#[cfg(test)]
mod tests;
