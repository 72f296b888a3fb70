//! When something is due: keepalive pings, silence, and the end of the closing handshake. Made only for a connection
//! that needs one.
//!
//! Time comes in at one place, [`Times::tick`]. What has happened since the last call happened at that time: it is only
//! noted, so that nobody asks for the time who does not need it.

use super::settings::Settings;
use crate::protocol::frame::MAX_CONTROL;
use std::mem;
use std::time::{Duration, Instant};

/// Pings of which the pong is remembered; more are answered all the same, without a round-trip time.
const MAX_PINGS: usize = 16;
/// Who takes so much of the output, or all that is left, in the time for the closing handshake has that time again.
const PROGRESS: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Times {
    /// The last sign of life: something came, or the client took of the output what it had not taken before.
    alive: Option<Instant>,
    is_alive: bool,
    /// When the last keepalive ping went out, or the connection began.
    pinged: Option<Instant>,
    /// The keepalive ping that waits for its pong.
    awaited: Option<u64>,
    count: u64,
    pings: Vec<Ping>,
    /// When the ping was sent that was answered.
    answered: Option<Instant>,
    /// What the stream holds, and the client has not taken.
    unsent: usize,
    close: Close,
}

/// A ping that waits for its pong.
#[derive(Debug)]
struct Ping {
    payload: Box<[u8]>,
    /// `None`: since the last tick.
    sent: Option<Instant>,
}

/// The time for the closing handshake.
#[derive(Debug, Clone, Copy)]
enum Close {
    No,
    /// It begins with the next tick.
    Begins,
    Until {
        due: Instant,
        /// Output that waited when it began to, and what was taken of it since.
        left: usize,
        taken: usize,
    },
}

/// What has come of looking at the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// Nothing was due.
    Nothing,
    /// Something was done.
    Something,
    /// The connection has to end.
    End,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// A keepalive ping with this payload.
    Ping([u8; 8]),
    /// Nothing was heard for too long.
    Idle,
    /// No pong came in time.
    NoPong,
    /// The closing handshake takes too long.
    NoClose,
}

impl Times {
    /// For a connection that begins with the next tick.
    pub(super) const NEW: Self = Self {
        alive: None,
        is_alive: true,
        pinged: None,
        awaited: None,
        count: 0,
        pings: Vec::new(),
        answered: None,
        unsent: 0,
        close: Close::No,
    };

    /// A sign of life, or that we are not in a position to wait for one.
    pub(super) const fn live(&mut self) {
        self.is_alive = true;
    }

    /// All that the client has time for begins with the next tick.
    pub(super) const fn begin_anew(&mut self) {
        self.live();
        if let Close::Until { .. } = self.close {
            self.close = Close::Begins;
        }
    }

    /// A ping is sent; the round trip is measured.
    pub(super) fn sent_ping(&mut self, payload: &[u8]) {
        debug_assert!(payload.len() <= MAX_CONTROL);
        if self.pings.len() == MAX_PINGS {
            self.pings.remove(0);
        }
        self.pings.push(Ping {
            payload: payload.into(),
            sent: None,
        });
    }

    /// A pong has come: whether it answers a ping. It answers those before that, too (RFC 6455 section 5.5.3).
    pub(super) fn ponged(&mut self, payload: &[u8]) -> bool {
        let awaited = self.awaited.map(u64::to_be_bytes);
        if awaited.is_some_and(|awaited| awaited == payload) {
            self.awaited = None;
        }
        let Some(index) = self.pings.iter().position(|ping| *ping.payload == *payload) else {
            return false;
        };
        self.answered = self
            .pings
            .drain(..=index)
            .next_back()
            .and_then(|ping| ping.sent);
        let is_left = |awaited| self.pings.iter().any(|ping| *ping.payload == awaited);
        if awaited.is_some_and(|awaited| !is_left(awaited)) {
            self.awaited = None;
        }
        true
    }

    /// Our close frame, or what goes before it, is on its way: only the client can hold it up.
    pub(super) const fn begin_close(&mut self) {
        self.close = Close::Begins;
    }

    /// The time for the closing handshake is granted again, from `now` on.
    pub(super) fn prolong_close(&mut self, now: Instant, timeout: Duration) {
        if let Close::Until { due, .. } = &mut self.close {
            *due = now + timeout;
        }
    }

    /// Nobody has to end anything.
    pub(super) const fn forget_close(&mut self) {
        self.close = Close::No;
    }

    /// The client has taken `len` bytes of output that had to wait.
    pub(super) const fn took(&mut self, len: usize) {
        self.is_alive = true;
        if let Close::Until { taken, .. } = &mut self.close {
            *taken += len;
        }
    }

    /// The client has taken all output.
    pub(super) const fn took_all(&mut self) {
        self.is_alive = true;
        self.unsent = 0;
        if let Close::Until { left, taken, .. } = &mut self.close {
            *taken = *left;
        }
    }

    /// That much output waits: what the stream holds, and the length of what it has not taken.
    pub(super) fn waits(&mut self, unsent: usize, len: impl FnOnce() -> usize) {
        self.unsent = unsent;
        if let Close::Until { left, .. } = &mut self.close
            && *left == 0
        {
            *left = unsent + len();
        }
    }

    /// It is `now`. Returns the round-trip time of a ping that was answered.
    pub(super) fn tick(&mut self, now: Instant, close_timeout: Duration) -> Option<Duration> {
        self.pinged.get_or_insert(now);
        if mem::take(&mut self.is_alive) {
            self.alive = Some(now);
        }
        for ping in self.pings.iter_mut().rev() {
            if ping.sent.is_some() {
                break;
            }
            ping.sent = Some(now);
        }
        if matches!(self.close, Close::Begins) {
            self.close = Close::Until {
                due: now + close_timeout,
                left: 0,
                taken: 0,
            };
        }
        self.answered
            .take()
            .map(|sent| now.saturating_duration_since(sent))
    }

    /// What is due next, and when. Outside of the open state only the end of the closing handshake is.
    pub(super) fn next(&self, is_open: bool, settings: &Settings) -> Option<(Instant, Alarm)> {
        if let Close::Until { due, .. } = self.close {
            return Some((due, Alarm::NoClose));
        }
        if !is_open {
            return None;
        }
        let (alive, pinged) = (self.alive?, self.pinged?);
        let idle = settings
            .idle_timeout
            .map(|idle| (alive + idle.value, Alarm::Idle));
        let ping = settings.ping_interval.map(|interval| match self.awaited {
            Some(_) => {
                let since = pinged.max(alive);
                (since + settings.ping_timeout.value, Alarm::NoPong)
            }
            None => (pinged + interval, Alarm::Ping(self.count.to_be_bytes())),
        });
        idle.into_iter().chain(ping).min_by_key(|(due, _)| *due)
    }

    /// The keepalive ping that was due is sent.
    pub(super) fn sent_keepalive(&mut self, now: Instant) {
        let payload = self.count.to_be_bytes();
        self.pinged = Some(now);
        self.awaited = Some(self.count);
        self.count += 1;
        self.sent_ping(&payload);
    }

    /// The time for the closing handshake is over, and `waiting` bytes are left that the stream has not taken: whether it is granted again.
    pub(super) fn extend_close(&mut self, now: Instant, waiting: usize, timeout: Duration) -> bool {
        let waiting = waiting + self.unsent;
        let Close::Until { left, taken, .. } = self.close else {
            return false;
        };
        let is_granted = left > 0 && taken >= left.min(PROGRESS);
        if is_granted {
            self.close = Close::Until {
                due: now + timeout,
                left: waiting,
                taken: 0,
            };
        }
        is_granted
    }

    /// When the closing handshake has to be over.
    pub(super) const fn close_due(&self) -> Option<Instant> {
        match self.close {
            Close::Until { due, .. } => Some(due),
            Close::No | Close::Begins => None,
        }
    }
}
