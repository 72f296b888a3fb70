//! One direction of a slow line: what is on its way, in order, bounded, and charged; it knows nothing of streams.

use crate::faults::script::Script;
use crate::faults::shape::{Shape, Way};
use crate::protocol::account::Account;
use crate::protocol::partial::Chunk;
use crate::server::clock::{Alarm, Clock};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes on their way in one direction at the most; beyond that nothing more is taken.
pub(super) const MOST: usize = 1 << 20;
/// Of the memory that is left it takes at most this part.
const SHARE: usize = 4;
/// What a piece costs beside its bytes: its entry in a queue that doubles, and what an allocation wastes.
const OVERHEAD: usize = 2 * size_of::<Piece>() + 32;
/// Bytes for which there always is room: nothing would make some.
const LITTLE: usize = 64;

/// When something has entered, and when it arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    entered: Instant,
    due: Instant,
}

type Piece = (Times, Chunk);

/// One direction of it.
#[derive(Debug)]
pub(super) struct Lane {
    way: Way,
    /// What is on its way.
    pub(super) pieces: VecDeque<Piece>,
    len: usize,
    /// Bytes that have arrived.
    arrived: u64,
    /// When bytes may arrive again by their rate.
    next: Option<Instant>,
    /// When the last ones arrived that a gap follows.
    paused: Option<Instant>,
    /// When the last ones did.
    moved: Option<Instant>,
    alarm: Alarm,
    /// How it ends, behind the pieces; the error only once.
    pub(super) end: Option<(Times, io::Result<()>)>,
}

impl Lane {
    pub(super) fn new(way: Way) -> Self {
        Self {
            way,
            pieces: VecDeque::new(),
            len: 0,
            arrived: 0,
            next: None,
            paused: None,
            moved: None,
            alarm: Alarm::default(),
            end: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.end.is_none()
    }

    /// When what is next may move, or the last bytes did; `None` if nothing was.
    pub(super) fn open_since(&self, script: &Script) -> Option<Instant> {
        let shape = self.exit(script);
        let end = self.end.as_ref().map(|(times, _)| times);
        let next = self.pieces.front().map(|(times, _)| times).or(end);
        let due = next.map(|times| times.due).filter(|_| shape.delays());
        due.max(self.gate(&shape)).max(self.moved)
    }

    /// The same as long as less than `len` bytes have arrived, or the end behind them has not.
    pub(super) fn open_until(&self, len: u64, script: &Script) -> Option<Instant> {
        let is_open = self.arrived < len || self.end.is_some();
        is_open.then(|| self.open_since(script)).flatten()
    }

    /// Bytes that have entered.
    pub(super) const fn entered(&self) -> u64 {
        self.arrived + self.len as u64
    }

    /// What happens to the next bytes that enter.
    pub(super) fn entry(&self, script: &Script) -> Shape {
        script.shape(self.way, self.entered())
    }

    /// What happens to the next bytes that arrive.
    pub(super) fn exit(&self, script: &Script) -> Shape {
        script.shape(self.way, self.arrived)
    }

    pub(super) fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |(_, bytes)| bytes.bytes())
    }

    /// Bytes for which there is room, if there is.
    pub(super) fn room(&self, account: &Account) -> Option<usize> {
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

    /// The times of what enters now; it does not arrive before what has entered before.
    fn times(&self, shape: &Shape, script: &Script, now: Instant) -> Times {
        let due = now + delay(shape, script, self.way, self.entered());
        let last = self.pieces.back().map_or(due, |(last, _)| last.due);
        Times {
            entered: now,
            due: due.max(last),
        }
    }

    /// Faults have ended: what they have held up waits for those that are left only.
    pub(super) fn hasten(&mut self, script: &Script) {
        let (way, mut place) = (self.way, self.arrived);
        let hasten = |times: &mut Times, place| {
            // By the faults of when it entered.
            let shape = script.shape_at(way, place, Some(times.entered.into_std()));
            let due = times.entered + delay(&shape, script, way, place);
            times.due = times.due.min(due);
        };
        for (times, piece) in &mut self.pieces {
            hasten(times, place);
            place += piece.bytes().len() as u64;
        }
        if let Some((times, _)) = &mut self.end {
            hasten(times, place);
        }
        if let Some((next, moved)) = self.next.as_mut().zip(self.moved) {
            let shape = script.shape(way, self.arrived);
            let last = shape.after(shape.portion(usize::MAX), None, moved.into_std());
            *next = (*next).min(Instant::from_std(last));
        }
    }

    /// Bytes that enter now, as they arrive: here only they may become others.
    pub(super) fn changed<'a>(
        &self,
        bytes: &'a [u8],
        shape: &Shape,
        script: &Script,
    ) -> Cow<'a, [u8]> {
        let mut bytes = Cow::Borrowed(bytes);
        if shape.changes {
            script.change(self.way, self.entered(), bytes.to_mut());
        }
        bytes
    }

    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        shape: &Shape,
        script: &Script,
        account: &mut Account,
        now: Instant,
    ) {
        let times = self.times(shape, script, now);
        let bytes = self.changed(bytes, shape, script).into_owned();
        script.moves(self.way, self.entered());
        let charged = bytes.len() + OVERHEAD;
        // Beyond the limit only the little that always has room.
        let _ = account.charge_anyway(charged);
        self.len += bytes.len();
        let piece = Chunk::new(bytes, charged);
        self.pieces.push_back((times, piece));
    }

    /// Nothing enters any more.
    pub(super) fn push_end(
        &mut self,
        how: io::Result<()>,
        shape: &Shape,
        script: &Script,
        now: Instant,
    ) {
        self.end = Some((self.times(shape, script, now), how));
    }

    /// The first bytes have left.
    pub(super) fn advance(&mut self, len: usize, account: &mut Account) {
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
    pub(super) fn pass(&mut self, len: usize, shape: &Shape, script: &Script, now: Instant) {
        if len == 0 {
            return;
        }
        script.moves(self.way, self.arrived);
        self.arrived += len as u64;
        self.moved = Some(now);
        self.paused = (shape.gap > Duration::ZERO).then_some(now);
        if shape.rate.is_some() {
            let next = self.next.map(Instant::into_std);
            let next = shape.after(len, next, now.into_std());
            self.next = Some(Instant::from_std(next));
        }
    }

    /// Ready when the first piece has arrived; at once if nothing is held up any more.
    pub(super) fn poll_due(
        &mut self,
        clock: &Clock,
        shape: &Shape,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        match self.pieces.front() {
            Some((times, _)) if shape.delays() => clock.poll_due(&mut self.alarm, times.due, cx),
            _ => Poll::Ready(()),
        }
    }

    /// When bytes may move after those before them; what held these up and has ended is none of theirs.
    fn gate(&self, shape: &Shape) -> Option<Instant> {
        let by_rate = self.next.filter(|_| shape.rate.is_some());
        let paused = self.paused.filter(|_| shape.gap > Duration::ZERO);
        by_rate.max(paused.map(|paused| paused + shape.gap))
    }

    /// Ready when bytes may move after those before them.
    pub(super) fn poll_gate(
        &mut self,
        clock: &Clock,
        shape: &Shape,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        match self.gate(shape) {
            Some(next) => clock.poll_due(&mut self.alarm, next, cx),
            None => Poll::Ready(()),
        }
    }

    /// Ready with the end, behind all pieces.
    pub(super) fn poll_end(
        &mut self,
        clock: &Clock,
        shape: &Shape,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some((times, result)) = &mut self.end else {
            return Poll::Pending;
        };
        if shape.delays() {
            ready!(clock.poll_due(&mut self.alarm, times.due, cx));
        }
        Poll::Ready(mem::replace(result, Ok(())))
    }
}

/// How much later something arrives that enters behind `place` bytes.
fn delay(shape: &Shape, script: &Script, way: Way, place: u64) -> Duration {
    if shape.jitter == Duration::ZERO {
        return shape.latency;
    }
    shape.latency + shape.jitter.mul_f64(script.chance(way, place))
}

#[cfg(test)]
mod tests;
