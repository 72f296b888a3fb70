//! Every timeout by a clock that a test advances: to the nanosecond, and at no other time.

use super::{
    BINARY, CLOSE, Config, Duration, NEVER, PING, PONG, Peer, REQUEST, Recorder, Simulation, TEXT,
    Temper, Wants, close, closed, frame, order_close, sent, settle,
};
use crate::client::Client;
use crate::handler::{Echo, Handler};
use crate::manual_clock::ManualClock;
use crate::protocol::extensions::Deflate;
use crate::protocol::message::Kind;
use std::future::poll_fn;
use std::sync::Arc;
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_nanos(1);

/// A simulation by a clock of its own. In the runtime's time a day passes before each advance, and nothing happens then.
pub(super) struct Advanced<'a> {
    pub(super) simulation: &'a Simulation,
    pub(super) clock: Arc<ManualClock>,
}

impl Advanced<'_> {
    fn run(config: Config, handler: Arc<dyn Handler>, test: impl AsyncFnOnce(&Advanced<'_>)) {
        let clock = Arc::new(ManualClock::new());
        let config = Config {
            clock: Some(clock.clone()),
            ..config
        };
        Simulation::run(config, handler, async |simulation| {
            test(&Advanced { simulation, clock }).await;
        });
    }

    pub(super) fn echo(config: Config, test: impl AsyncFnOnce(&Advanced<'_>)) {
        Self::run(config, Arc::new(Echo), test);
    }

    pub(super) async fn advance(&self, by: Duration) {
        sleep(86_400 * SECOND).await;
        self.advance_at_once(by).await;
    }

    async fn advance_at_once(&self, by: Duration) {
        let mut advance = self.clock.advance(by);
        let over = poll_fn(|cx| advance.poll(cx));
        timeout(NEVER, over).await.unwrap();
    }

    /// Advances it by a moment less than that.
    pub(super) async fn advance_almost(&self, by: Duration) {
        self.advance(by.saturating_sub(MOMENT)).await;
    }

    /// Advances it to a moment before that, in which nothing is sent, and then to it.
    pub(super) async fn advance_to_news(&self, peer: &Peer, by: Duration) {
        self.advance_almost(by).await;
        assert!(peer.is_silent());
        self.advance(MOMENT).await;
        assert!(!peer.is_silent());
    }

    /// The same to the end of a connection.
    pub(super) async fn advance_to_end(&self, peer: &Peer, by: Duration) {
        self.advance_almost(by).await;
        assert!(!peer.is_dropped());
        self.advance(MOMENT).await;
        assert!(peer.is_dropped());
    }

    async fn open(&self) -> (Peer, Arc<Client>) {
        self.simulation.open().await
    }
}

fn expect_closed(peer: &Peer, code: u16) {
    let received = peer.take_received();
    let said = close::parse(&received[2..]).unwrap().unwrap();
    assert_eq!((received[0], said.0), (CLOSE, code), "{}", said.1);
}

fn keepalive() -> Config {
    Config {
        ping_interval: Some(20 * SECOND),
        ping_timeout: 10 * SECOND,
        ..Config::default()
    }
}

#[test]
fn a_request_has_open_timeout_and_a_refused_client_close_timeout() {
    Advanced::echo(Config::default(), async |advanced| {
        let peer = advanced.simulation.connect(Temper::even());
        peer.send(&REQUEST[..9]);
        advanced.advance_to_news(&peer, 10 * SECOND).await;
        assert!(peer.take_received().starts_with(b"HTTP/1.1 408 "));
        advanced.advance_to_end(&peer, 5 * SECOND).await;

        // The same where it takes nothing of the answer.
        let peer = advanced.simulation.connect(Temper::even());
        peer.take_only(7);
        peer.send("HELO there\r\n");
        advanced.advance(5 * SECOND).await;
        assert!(peer.is_dropped());
    });
}

#[test]
fn a_silent_client_has_idle_timeout_and_close_timeout() {
    let config = Config {
        idle_timeout: Some(60 * SECOND),
        ..Config::default()
    };
    Advanced::echo(config, async |advanced| {
        let (peer, client) = advanced.open().await;
        advanced.advance(59 * SECOND).await;
        // What has come before an advance has come at the time before it.
        peer.send(frame(TEXT, "here"));
        advanced.advance(30 * SECOND).await;
        assert_eq!(peer.read().await, sent(TEXT, "here"));
        advanced.advance_to_news(&peer, 30 * SECOND).await;
        expect_closed(&peer, 1001);
        advanced.advance_to_end(&peer, 5 * SECOND).await;
        assert_eq!(client.ended().unwrap().0, 1001);
    });
}

#[test]
fn who_takes_the_rest_of_its_101_has_taken_something_also_if_nothing_behind_it() {
    let config = Config {
        idle_timeout: Some(60 * SECOND),
        ..Config::default()
    };
    Advanced::echo(config, async |advanced| {
        let simulation = advanced.simulation;
        let first = simulation.connect(Temper::even());
        first.send(REQUEST);
        let head = first.read_head().await;
        let peer = simulation.connect(Temper::even());
        peer.take_only(10);
        peer.send(REQUEST);
        settle().await;
        let client = simulation.server.clients().pop().unwrap();
        client.send(Kind::Text, "here", usize::MAX).unwrap();
        advanced.advance(40 * SECOND).await;
        peer.take_only(head.len() - 10);
        advanced.advance(50 * SECOND).await;
        peer.take_only(usize::MAX);
        assert_eq!(peer.read_head().await, head);
        assert_eq!(peer.read().await, sent(TEXT, "here"));
        settle().await;
        assert!(peer.is_silent());
    });
}

#[test]
fn a_ping_cycle_passes_and_a_missing_pong_ends_a_connection() {
    Advanced::echo(keepalive(), async |advanced| {
        let (peer, client) = advanced.open().await;
        for _ in 0..3 {
            advanced.advance_to_news(&peer, 20 * SECOND).await;
            let ping = peer.read().await;
            assert_eq!(ping.0, PING);
            advanced.advance(9 * SECOND).await;
            peer.send(frame(PONG, ping.1));
            settle().await;
            assert_eq!(client.rtt(), Some(9 * SECOND));
            advanced.advance(Duration::ZERO).await;
            // It is 20 s from ping to ping.
            advanced.advance_to_news(&peer, 11 * SECOND).await;
            let ping = peer.read().await;
            peer.send(frame(PONG, ping.1));
            settle().await;
            assert_eq!(client.rtt(), Some(Duration::ZERO));
        }
        advanced.advance(20 * SECOND).await;
        assert_eq!(peer.read().await.0, PING);
        advanced.advance_to_news(&peer, 10 * SECOND).await;
        expect_closed(&peer, 1011);
        advanced.advance_to_end(&peer, 5 * SECOND).await;
        assert_eq!(client.ended().unwrap().0, 1011);
    });
}

#[test]
fn what_is_due_happens_once_and_what_it_arms_counts_from_the_new_time() {
    Advanced::echo(keepalive(), async |advanced| {
        let (peer, client) = advanced.open().await;
        // Many pings later.
        advanced.advance(1000 * SECOND).await;
        let ping = peer.read().await;
        assert_eq!(ping.0, PING);
        assert!(peer.is_silent() && client.is_open());
        advanced.advance_almost(10 * SECOND).await;
        peer.send(frame(PONG, ping.1));
        advanced.advance(10 * SECOND).await;
        assert!(peer.is_silent());
        advanced.advance(MOMENT).await;
        assert_eq!(peer.read().await.0, PING);
    });
}

#[test]
fn the_closing_handshake_has_close_timeout() {
    Advanced::echo(Config::default(), async |advanced| {
        let (open, client) = advanced.open().await;
        client.order(order_close(4001, "enough"));
        assert_eq!(open.read().await, closed(4001, "enough"));
        let (failed, _) = advanced.open().await;
        failed.take_only(3);
        failed.send([frame(TEXT, "not read"), vec![0xff]].concat());
        settle().await;
        advanced.advance_almost(5 * SECOND).await;
        assert!(!open.is_dropped() && !failed.is_dropped());
        advanced.advance(MOMENT).await;
        assert!(open.is_dropped() && failed.is_dropped());
    });
}

/// A client that has closed in order and keeps its socket.
async fn closed_in_order(advanced: &Advanced<'_>) -> Peer {
    let (peer, _) = advanced.open().await;
    peer.send(frame(CLOSE, close::payload(1000, "")));
    assert_eq!(peer.read().await, closed(1000, ""));
    peer.expect_shut_down().await;
    peer
}

#[test]
fn who_keeps_tcp_open_is_dropped_when_it_is_due_and_not_a_moment_later() {
    Advanced::echo(Config::default(), async |advanced| {
        let step = Duration::from_millis(1);
        let mut peers = Vec::new();
        for _ in 0..5 {
            peers.push(closed_in_order(advanced).await);
            advanced.advance(step).await;
        }
        advanced.advance_almost(Duration::from_millis(4995)).await;
        for (index, _) in peers.iter().enumerate() {
            advanced.advance(MOMENT).await;
            let dropped = peers.iter().filter(|peer| peer.is_dropped());
            assert_eq!(dropped.count(), index + 1);
            advanced.advance_almost(step).await;
        }
    });
}

#[test]
fn what_is_due_on_several_connections_happens_in_the_order_of_its_times() {
    let config = Config {
        idle_timeout: Some(30 * SECOND),
        close_timeout: Duration::ZERO,
        ..keepalive()
    };
    let recorder = Recorder::new(Wants::CLOSE);
    Advanced::run(config, recorder.clone(), async |advanced| {
        let (first, _) = advanced.open().await;
        advanced.advance(5 * SECOND).await;
        let (_second, _) = advanced.open().await;
        advanced.advance(5 * SECOND).await;
        // It is asked for a pong as the first one (at 20), and idle as the last one (at 40).
        first.send(frame(BINARY, "here"));
        settle().await;
        let mut others = Vec::new();
        for _ in 0..3 {
            others.push(advanced.open().await);
        }
        assert!(recorder.gone().is_empty());
        advanced.advance(NEVER).await;
        let gone: Vec<_> = recorder.gone().iter().map(|(id, ..)| *id).collect();
        assert_eq!(gone, [2, 1, 3, 4, 5]);
    });
}

#[test]
fn all_that_was_to_be_compressed_is_sent_when_an_advance_returns() {
    let config = Config {
        compression: Some(Deflate::default()),
        idle_timeout: Some(30 * SECOND),
        ..Config::default()
    };
    Advanced::echo(config, async |advanced| {
        let mut clients = Vec::new();
        for _ in 0..20 {
            let peer = advanced.simulation.connect(Temper::even());
            let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
            peer.send([REQUEST.trim_end(), "\r\n", offer].concat());
            assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
            clients.push((peer, advanced.simulation.server.clients().pop().unwrap()));
        }
        for (_, client) in &clients {
            for _ in 0..8 {
                client
                    .send(Kind::Binary, vec![7; 1 << 20], usize::MAX)
                    .unwrap();
            }
        }
        // Neither has happened yet; what is sent is a sign of life.
        advanced.advance_at_once(30 * SECOND).await;
        for (peer, _) in &clients {
            let received = peer.take_received();
            let said = String::from_utf8_lossy(&received);
            assert!(said.ends_with("idle_timeout of 30s"), "{}", received.len());
        }
    });
}

#[test]
fn a_stop_goes_by_the_runtimes_clock() {
    Advanced::echo(Config::default(), async |advanced| {
        let (silent, _) = advanced.open().await;
        let lingering = closed_in_order(advanced).await;
        lingering.send("it does not know yet");
        settle().await;
        advanced.simulation.server.stop(4 * SECOND);
        assert_eq!(silent.read().await, closed(1001, "the server is stopping"));
        let begun = tokio::time::Instant::now();
        lingering.expect_drop().await;
        assert!(begun.elapsed() < SECOND);
        assert_eq!(advanced.clock.shown(), Duration::ZERO);
        // The one that does not answer is dropped with the worker, after these 4 s.
    });
}
