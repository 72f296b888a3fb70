//! The clock of one connection: keepalive pings, silence, and the deadline of the closing handshake. Made only for
//! a connection that needs one, and set only when it has rung: being heard of moves no timer.

use crate::config::Config;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Pings of which the pong is remembered; more are answered all the same, without a round-trip time.
const MAX_PINGS: usize = 16;

#[derive(Debug)]
pub(super) struct Timers {
    sleep: Pin<Box<Sleep>>,
    heard: Instant,
    idle_timeout: Option<Duration>,
    ping_interval: Option<Duration>,
    ping_timeout: Duration,
    /// When the last keepalive ping went out, or the connection began.
    pinged: Instant,
    /// The keepalive ping that waits for its pong.
    awaited: Option<u64>,
    count: u64,
    pings: Vec<(Vec<u8>, Instant)>,
    close_by: Option<Instant>,
}

/// What the clock says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Send a keepalive ping with this payload.
    Ping(Vec<u8>),
    /// Nothing was heard for `idle_timeout`.
    Idle,
    /// No pong within `ping_timeout`.
    NoPong,
    /// The closing handshake took longer than `close_timeout`.
    NoClose,
}

impl Timers {
    /// For a connection that begins, if the options ask for it.
    pub(super) fn for_options(config: &Config) -> Option<Box<Self>> {
        (config.idle_timeout.is_some() || config.ping_interval.is_some()).then(|| Self::new(config))
    }

    pub(super) fn new(config: &Config) -> Box<Self> {
        let now = Instant::now();
        Box::new(Self {
            sleep: Box::pin(sleep_until(now)),
            heard: now,
            idle_timeout: config.idle_timeout,
            ping_interval: config.ping_interval,
            ping_timeout: config.ping_timeout,
            pinged: now,
            awaited: None,
            count: 0,
            pings: Vec::new(),
            close_by: None,
        })
    }

    /// Something came from the client.
    pub(super) fn hear(&mut self) {
        self.heard = Instant::now();
    }

    /// Begins the waiting anew.
    pub(super) fn forgive(&mut self) {
        self.heard = Instant::now();
        self.pinged = self.heard;
    }

    /// The close frame is due: nothing else matters but the time until the end.
    pub(super) fn close_within(&mut self, timeout: Duration) {
        if self.close_by.is_none() {
            self.close_by = Some(Instant::now() + timeout);
        }
    }

    /// A ping is sent; the round trip is measured.
    pub(super) fn sent_ping(&mut self, payload: Vec<u8>) {
        if self.pings.len() == MAX_PINGS {
            self.pings.remove(0);
        }
        self.pings.push((payload, Instant::now()));
    }

    /// A pong has come: the round-trip time, if it answers a ping of ours. It answers the ones before it too (RFC
    /// 6455 section 5.5.3).
    pub(super) fn pong(&mut self, payload: &[u8]) -> Option<Duration> {
        let awaited = self.awaited.map(u64::to_be_bytes);
        if awaited.is_some_and(|awaited| awaited == payload) {
            self.awaited = None;
        }
        let index = self.pings.iter().position(|(ping, _)| ping == payload)?;
        let sent = self
            .pings
            .drain(..=index)
            .next_back()
            .map(|(_, sent)| sent)?;
        if awaited.is_some_and(|awaited| !self.pings.iter().any(|(ping, _)| *ping == awaited)) {
            self.awaited = None;
        }
        Some(sent.elapsed())
    }

    /// What is due by now. The task is woken when something else is.
    /// Outside of the open state only the end of the closing handshake is.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, is_open: bool) -> Poll<Alarm> {
        loop {
            let now = Instant::now();
            let Some((due, alarm)) = self.next(is_open) else {
                return Poll::Pending;
            };
            if due <= now {
                if let Alarm::Ping(payload) = &alarm {
                    self.pinged = now;
                    self.awaited = Some(self.count);
                    self.count += 1;
                    self.sent_ping(payload.clone());
                }
                return Poll::Ready(alarm);
            }
            if self.sleep.deadline() != due {
                self.sleep.as_mut().reset(due);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn next(&self, is_open: bool) -> Option<(Instant, Alarm)> {
        if let Some(close_by) = self.close_by {
            return Some((close_by, Alarm::NoClose));
        }
        if !is_open {
            return None;
        }
        let idle = self
            .idle_timeout
            .map(|timeout| (self.heard + timeout, Alarm::Idle));
        let ping = self.ping_interval.map(|interval| match self.awaited {
            Some(_) => (self.pinged + self.ping_timeout, Alarm::NoPong),
            None => (
                self.pinged + interval,
                Alarm::Ping(self.count.to_be_bytes().to_vec()),
            ),
        });
        idle.into_iter().chain(ping).min_by_key(|(due, _)| *due)
    }
}
