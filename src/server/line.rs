//! The line below a connection, where faults make it a slow one: bytes arrive later, or in small pieces, or as others, or
//! not at all.

mod lane;

use self::lane::Lane;
use super::clock::Clock;
use crate::faults::action::State;
use crate::faults::registry::Faults;
use crate::faults::script::Script;
use crate::faults::shape::{MOST, Way};
use crate::protocol::account::Account;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes read at once.
const READ: usize = 8 << 10;
/// Bytes that move before other clients have their turn, and what a move costs beside its bytes: it is a system call, as a
/// rule.
const TURN: usize = MOST;
const MOVE: usize = 8 << 10;

/// What may still move before others have their turn.
#[derive(Debug)]
struct Turn(usize);

impl Turn {
    /// Ready if something may; else the task comes back for another turn.
    fn poll(&mut self, clock: &Clock, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            self.0 = TURN;
            return clock.poll_later(cx);
        }
        Poll::Ready(())
    }

    const fn spend(&mut self, len: usize) {
        self.0 = self.0.saturating_sub(MOVE + len);
    }
}

/// A slow line.
#[derive(Debug)]
pub(super) struct Line {
    script: Rc<Script>,
    clock: Clock,
    account: Account,
    turn: Turn,
    incoming: Lane,
    outgoing: Lane,
    /// The client may have sent what has not come to the line yet.
    is_behind: bool,
    /// Bytes that have to arrive from the client before its time is over.
    owed: Option<u64>,
}

impl Line {
    pub(super) fn new(script: Rc<Script>, clock: Clock, account: Account) -> Box<Self> {
        Box::new(Self {
            script,
            clock,
            account,
            turn: Turn(TURN),
            incoming: Lane::new(Way::In),
            outgoing: Lane::new(Way::Out),
            is_behind: true,
            owed: None,
        })
    }

    /// Takes up the faults that are set now, and lets go of the others.
    pub(super) fn follow(&mut self, faults: &Faults) {
        let come = [self.incoming.entered(), self.outgoing.entered()];
        if self.script.follow(faults, come) {
            self.incoming.hasten(&self.script);
            self.outgoing.hasten(&self.script);
        }
    }

    /// Whether bytes could move without it.
    pub(super) fn is_needless(&self) -> bool {
        !self.script.moves_bytes() && self.incoming.is_empty() && self.outgoing.is_empty()
    }

    /// An end waits for what is sent, `now` at the latest, and where something `is_awaited` of the client, for what it has
    /// sent by when its time, so long, was over: from when on it is up to the client alone that nothing comes; `None` if
    /// nothing was on its way. Who has asked for its slow line itself has no more than ten minutes of this.
    pub(super) fn open_since(
        &mut self,
        now: Instant,
        time: Duration,
        is_awaited: bool,
    ) -> Option<Instant> {
        let since = if self.is_frozen() {
            now
        } else {
            let sent = self.outgoing.open_since(&self.script);
            let is_over = self.outgoing.is_empty() && sent.is_none_or(|sent| sent + time <= now);
            if is_awaited && is_over {
                self.owed_since().max(sent)?
            } else {
                sent?
            }
        };
        let end = self.script.last_end(now.into_std());
        Some(end.map_or(since, |end| since.min(Instant::from_std(end))))
    }

    /// The client's time is over: the same of what it had sent by then. That is told by the bytes, not by when they arrive,
    /// since one that goes on sending would never come to an end. What has not come to the line is taken for as much as the
    /// line holds, until it is known.
    fn owed_since(&mut self) -> Option<Instant> {
        let unseen = if self.is_behind { lane::MOST } else { 0 };
        let come = self.incoming.entered() + unseen as u64;
        let owed = self.owed.map_or(come, |owed| owed.min(come));
        self.owed = Some(owed);
        self.incoming.open_until(owed, &self.script)
    }

    /// See [`Script::is_frozen_for_good`].
    pub(super) fn is_frozen_for_good(&self) -> bool {
        self.script.is_frozen_for_good()
    }

    /// See [`Script::is_slowed_by_itself`].
    pub(super) fn is_slowed_by_itself(&self) -> bool {
        self.script.is_slowed_by_itself()
    }

    pub(super) fn is_frozen(&self) -> bool {
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
            ready!(self.turn.poll(&self.clock, cx));
            let portion = &bytes[..shape.portion(bytes.len())];
            let portion = self.outgoing.changed(portion, &shape, &self.script);
            let sent = ready!(Pin::new(io).poll_write(cx, &portion))?;
            self.turn.spend(sent);
            self.outgoing
                .pass(sent, &shape, &self.script, self.clock.now());
            return Poll::Ready(Ok(sent));
        }
        let Some(room) = self.outgoing.room(&self.account) else {
            return Poll::Pending;
        };
        ready!(self.turn.poll(&self.clock, cx));
        let len = bytes.len().min(room).min(shape.same()).min(MOST);
        self.turn.spend(len);
        let now = self.clock.now();
        let bytes = &bytes[..len];
        self.outgoing
            .push(bytes, &shape, &self.script, &mut self.account, now);
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
            ready!(self.turn.poll(&self.clock, cx));
            let bytes = lane.front();
            let portion = &bytes[..shape.portion(bytes.len())];
            let sent = ready!(Pin::new(&mut *io).poll_write(cx, portion))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.turn.spend(sent);
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
        self.is_behind = true;
        let lane = &mut self.incoming;
        let shape = lane.entry(&self.script);
        if lane.pieces.is_empty() && lane.end.is_none() && !shape.delays() {
            if lane.poll_gate(&self.clock, &shape, cx).is_pending() {
                if self.script.is_slowed_by_itself() {
                    // Whether it is still there is seen only behind what it has sent.
                    let _ = self.fill(io, cx);
                }
                return Poll::Pending;
            }
            ready!(self.turn.poll(&self.clock, cx));
            let mut buffer = [MaybeUninit::uninit(); READ];
            let most = shape.portion(into.remaining().min(READ));
            let mut read = ReadBuf::uninit(&mut buffer[..most]);
            let polled = Pin::new(io).poll_read(cx, &mut read);
            self.is_behind = polled.is_ready();
            ready!(polled)?;
            self.turn.spend(read.filled().len());
            let bytes = lane.changed(read.filled(), &shape, &self.script);
            into.put_slice(&bytes);
            lane.pass(bytes.len(), &shape, &self.script, self.clock.now());
            return Poll::Ready(Ok(()));
        }
        ready!(self.fill(io, cx));
        let lane = &mut self.incoming;
        let shape = lane.exit(&self.script);
        if lane.pieces.is_empty() {
            return lane.poll_end(&self.clock, &shape, cx);
        }
        ready!(lane.poll_due(&self.clock, &shape, cx));
        ready!(lane.poll_gate(&self.clock, &shape, cx));
        ready!(self.turn.poll(&self.clock, cx));
        let bytes = lane.front();
        let len = shape.portion(bytes.len().min(into.remaining()));
        self.turn.spend(len);
        into.put_slice(&bytes[..len]);
        lane.advance(len, &mut self.account);
        lane.pass(len, &shape, &self.script, self.clock.now());
        Poll::Ready(Ok(()))
    }

    /// Takes what the client has sent, as much as there is room for, to arrive later; ready when that is all for now, and
    /// not if others have to have their turn. Where nothing delays it the buffers of TCP are the place for it.
    pub(super) fn fill<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.is_frozen() {
            return Poll::Ready(());
        }
        let mut buffer = [MaybeUninit::uninit(); READ];
        let lane = &mut self.incoming;
        self.is_behind = lane.end.is_none();
        while lane.end.is_none()
            && let Some(room) = lane.room(&self.account)
        {
            let shape = lane.entry(&self.script);
            if !shape.delays() && !self.script.is_slowed_by_itself() {
                break;
            }
            ready!(self.turn.poll(&self.clock, cx));
            let most = room.min(shape.same()).min(READ);
            let mut read = ReadBuf::uninit(&mut buffer[..most]);
            let Poll::Ready(result) = Pin::new(&mut *io).poll_read(cx, &mut read) else {
                self.is_behind = false;
                break;
            };
            self.turn.spend(read.filled().len());
            let now = self.clock.now();
            match read.filled() {
                [] => {
                    lane.push_end(result, &shape, &self.script, now);
                    self.is_behind = false;
                }
                bytes => lane.push(bytes, &shape, &self.script, &mut self.account, now),
            }
        }
        Poll::Ready(())
    }
}
