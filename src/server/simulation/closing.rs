//! The way out: until our close frame is sent, the conversation is open; after it nothing is, and no alarm of the open
//! state ends or holds up anything.

use super::order_close;
use super::{
    BINARY, CLOSE, Config, Duration, GRAIN, Gate, Instant, NEVER, PING, PONG, Peer, Recorder,
    Simulation, TEXT, Wants, close, frame, sent, settle,
};
use crate::order::SendError;
use crate::order::{Order, Replies};
use crate::protocol::frame::{Opcode, server_frame};
use crate::protocol::message::Kind;
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// What brings the close about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Nothing,
    Theirs,
    Violation,
    Ours,
    Stop,
}

const CAUSES: [Cause; 5] = [
    Cause::Nothing,
    Cause::Theirs,
    Cause::Violation,
    Cause::Ours,
    Cause::Stop,
];

#[derive(Debug, Clone, Copy)]
struct Case {
    idle_timeout: Option<Duration>,
    ping_interval: Option<Duration>,
    cause: Cause,
    is_blocked: bool,
    is_awaited: bool,
}

impl Case {
    /// The close code that the client sees or would see, and whether it comes before the answer; `None`: none comes.
    const fn code(self) -> Option<u16> {
        match self.cause {
            Cause::Theirs => Some(close::NORMAL),
            Cause::Violation => Some(close::PROTOCOL_ERROR),
            Cause::Ours => Some(4000),
            Cause::Stop => Some(close::GOING_AWAY),
            // The pong does not come, and is due first.
            Cause::Nothing if self.ping_interval.is_some() => Some(close::INTERNAL_ERROR),
            Cause::Nothing if self.idle_timeout.is_some() && !self.is_awaited => {
                Some(close::GOING_AWAY)
            }
            Cause::Nothing => None,
        }
    }

    /// Whether the close frame waits for the answer.
    const fn waits(self) -> bool {
        self.is_awaited && matches!(self.cause, Cause::Theirs | Cause::Violation | Cause::Stop)
    }

    async fn run(self, simulation: &Simulation, recorder: &Recorder) {
        let (peer, client) = simulation.open().await;
        let mut bytes = Vec::new();
        if self.is_blocked {
            peer.take_only(0);
            bytes.extend(frame(BINARY, "blocked"));
        }
        if self.is_awaited {
            bytes.extend(frame(TEXT, "wanted"));
        }
        match self.cause {
            Cause::Theirs => bytes.extend(frame(CLOSE, close::payload(close::NORMAL, ""))),
            Cause::Violation => bytes.push(0xff),
            Cause::Nothing | Cause::Ours | Cause::Stop => {}
        }
        peer.send(bytes);
        settle().await;
        match self.cause {
            Cause::Ours => client.order(order_close(4000, "")),
            Cause::Stop => simulation.server.stop(600 * SECOND),
            Cause::Nothing | Cause::Theirs | Cause::Violation => {}
        }
        settle().await;
        assert_eq!(
            client.is_open(),
            self.cause == Cause::Nothing || self.waits()
        );
        sleep(60 * SECOND).await;
        if self.waits() {
            assert!(!peer.is_dropped() && client.is_open());
            recorder.echo_batch(1);
            settle().await;
            assert!(!client.is_open());
            if !self.is_blocked {
                assert_eq!(skip_pings(&peer).await, sent(TEXT, "wanted"));
            }
            sleep(60 * SECOND).await;
        }
        let Some(code) = self.code() else {
            assert!(!peer.is_dropped() && client.is_open());
            return;
        };
        // The client neither reads nor answers.
        peer.expect_drop().await;
        assert_eq!(client.ended().unwrap().0, code);
        if !self.is_blocked {
            let (first, payload) = skip_pings(&peer).await;
            assert_eq!((first, &payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
            assert!(peer.take_received().is_empty());
        }
    }
}

/// The next frame that is no ping.
async fn skip_pings(peer: &Peer) -> (u8, Vec<u8>) {
    loop {
        let frame = peer.read().await;
        if frame.0 != PING {
            return frame;
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "what is run is shown if it fails")]
fn no_alarm_goes_round_in_circles_or_ends_the_wrong_thing() {
    for number in 0..16 * CAUSES.len() {
        let case = Case {
            idle_timeout: (number & 1 != 0).then_some(25 * SECOND),
            ping_interval: (number & 2 != 0).then_some(10 * SECOND),
            is_blocked: number & 4 != 0,
            is_awaited: number & 8 != 0,
            cause: CAUSES[number / 16],
        };
        println!("{case:?}");
        let config = Config {
            idle_timeout: case.idle_timeout,
            ping_interval: case.ping_interval,
            ping_timeout: 10 * SECOND,
            ..Config::default()
        };
        let recorder = Recorder::new(Wants::TEXT);
        Simulation::run(config, recorder.clone(), async |simulation| {
            let begun = Instant::now();
            case.run(simulation, &recorder).await;
            assert!(begun.elapsed() < 130 * SECOND);
            recorder.batches.lock().unwrap().clear();
        });
    }
}

/// What the client's last bytes may be, and the code of our close frame.
fn endings() -> [(Vec<u8>, u16); 2] {
    [
        (frame(CLOSE, close::payload(1000, "")), 1000),
        (vec![0x8f], 1002),
    ]
}

#[test]
fn what_is_sent_while_an_answer_is_awaited_goes_before_the_close() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        for (ending, code) in endings() {
            let (peer, client) = simulation.open().await;
            peer.send([frame(TEXT, "question"), ending].concat());
            settle().await;
            assert!(client.is_open());
            client.send(Kind::Text, b"working".to_vec(), 1000).unwrap();
            assert_eq!(peer.read().await, sent(TEXT, "working"));
            client.order(client.ping("?", 1000).unwrap());
            assert_eq!(peer.read().await, sent(PING, "?"));
            client.send(Kind::Binary, b"more".to_vec(), 1000).unwrap();
            recorder.echo_batch(1);
            assert_eq!(peer.read().await, sent(BINARY, "more"));
            assert_eq!(peer.read().await, sent(TEXT, "question"));
            assert_eq!(peer.read().await.1[..2], code.to_be_bytes());
            peer.expect_shut_down().await;
            assert!(!client.is_open());
            assert_eq!(client.send(Kind::Text, "", 1000), Err(SendError::Closed));
            assert_eq!(client.queued(), 0);
        }
    });
}

#[test]
fn a_close_of_ours_beside_theirs_sends_the_one_that_is_due() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        for (ending, code) in endings() {
            let (peer, client) = simulation.open().await;
            peer.send([frame(TEXT, "question"), frame(BINARY, "behind it"), ending].concat());
            settle().await;
            client.send(Kind::Text, b"bye".to_vec(), 1000).unwrap();
            client.order(order_close(4000, "enough"));
            assert!(!client.is_open());
            assert_eq!(peer.read().await, sent(TEXT, "bye"));
            assert_eq!(peer.read().await.1[..2], code.to_be_bytes());
            peer.expect_shut_down().await;
            recorder.echo_batch(1);
            settle().await;
            assert_eq!(client.ended().unwrap().0, code);
            assert_eq!(simulation.used(), 0);
        }
    });
}

#[test]
fn a_hurried_stop_sends_the_close_that_is_due() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let mut peers = Vec::new();
        for (ending, code) in endings() {
            let (peer, client) = simulation.open().await;
            peer.send([frame(TEXT, "never answered"), ending].concat());
            peers.push((peer, client, code));
        }
        settle().await;
        simulation.server.stop(10 * SECOND);
        let begun = Instant::now();
        for (peer, client, code) in peers {
            assert_eq!(peer.read().await.1[..2], code.to_be_bytes());
            assert!(begun.elapsed() >= 5 * SECOND && begun.elapsed() < 6 * SECOND);
            peer.expect_shut_down().await;
            assert_eq!(client.ended().unwrap().0, code);
        }
        recorder.batches.lock().unwrap().clear();
    });
}

#[test]
fn who_waits_for_an_answer_is_not_idle() {
    let config = Config {
        idle_timeout: Some(10 * SECOND),
        ..Config::default()
    };
    let recorder = Recorder::gated(Wants::OPEN | Wants::TEXT, Gate::Later);
    Simulation::run(config, recorder.clone(), async |simulation| {
        let (peer, client) = simulation.open().await;
        sleep(25 * SECOND).await;
        client.order(Order::Admit);
        sleep(9 * SECOND).await;
        peer.send(frame(TEXT, "question"));
        sleep(25 * SECOND).await;
        assert!(peer.is_silent());
        recorder.echo_batch(1);
        assert_eq!(peer.read().await, sent(TEXT, "question"));
        let answered = Instant::now();
        assert_eq!(peer.read().await.0, CLOSE);
        assert!(answered.elapsed() >= 10 * SECOND && answered.elapsed() < 11 * SECOND);
    });
}

#[test]
fn what_is_written_at_once_needs_no_memory() {
    let config = Config {
        memory_limit: 1 << 20,
        ping_interval: Some(10 * SECOND),
        ..Config::default()
    };
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(config, recorder.clone(), async |simulation| {
        let (hog, hogging) = simulation.open().await;
        hog.take_only(0);
        let (peer, client) = simulation.open().await;
        // All but what a batch needs.
        let used = simulation.server.stats().memory_used;
        let hoard = (1 << 20) - 400 - usize::try_from(used).unwrap();
        hogging
            .send(Kind::Binary, vec![0; hoard], usize::MAX)
            .unwrap();
        settle().await;
        client.send(Kind::Text, vec![b'x'; 500], 1000).unwrap();
        assert_eq!(peer.read().await, sent(TEXT, vec![b'x'; 500]));
        peer.send(frame(BINARY, [1; 120]));
        assert_eq!(peer.read().await, sent(BINARY, [1; 120]));
        // Of a segment: in place and out of the window.
        peer.send([frame(PING, [2; 125]), frame(PING, [3; 125])].concat());
        assert_eq!(peer.read().await, sent(PONG, [2; 125]));
        assert_eq!(peer.read().await, sent(PONG, [3; 125]));
        peer.send(frame(TEXT, "?"));
        settle().await;
        let answer = server_frame(Opcode::Text, &[b'y'; 2000]);
        client.order(Order::Replies(Replies {
            ends: vec![answer.len()].into(),
            wire: answer,
            answered: 1,
            are_followed: false,
        }));
        recorder.batches.lock().unwrap().clear();
        assert_eq!(peer.read().await, sent(TEXT, [b'y'; 2000]));
        let ping = peer.read().await;
        assert_eq!(ping.0, PING);
        peer.send(frame(PONG, ping.1));
        // What has to wait does: that client ends, and it has violated nothing.
        peer.take_only(0);
        client.send(Kind::Text, vec![b'z'; 500], 1000).unwrap();
        settle().await;
        assert!(!client.is_open());
        peer.take_only(usize::MAX);
        assert_eq!(peer.read().await, sent(TEXT, vec![b'z'; 500]));
        let (first, payload) = peer.read().await;
        let (code, reason) = close::parse(&payload).unwrap().unwrap();
        assert_eq!((first, code), (CLOSE, close::TRY_AGAIN));
        assert!(reason.contains("memory_limit"), "{reason}");
        assert_eq!(simulation.server.stats().violations, 0);
        hog.reset();
    });
}

#[test]
fn clients_that_take_nothing_keep_hardly_more_than_the_limit() {
    const LIMIT: usize = 1 << 20;
    const CLIENTS: usize = 50;
    let config = Config {
        memory_limit: LIMIT,
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let mut peers = Vec::new();
        for _ in 0..CLIENTS {
            let (peer, _) = simulation.open().await;
            peer.take_only(0);
            peers.push(peer);
        }
        for peer in &peers {
            peer.send(frame(BINARY, [0; 1000]).repeat(500));
            settle().await;
            let used = simulation.server.stats().memory_used;
            assert!(used < (LIMIT + CLIENTS * 5000) as u64, "{used}");
        }
        for peer in peers {
            peer.reset();
        }
    });
}

#[test]
fn an_abort_does_not_wait_for_anything() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        for (ending, code) in endings() {
            let (peer, client) = simulation.open().await;
            peer.send([frame(TEXT, "question"), ending].concat());
            settle().await;
            client.order(Order::Abort);
            let dropped = timeout(NEVER, peer.expect_drop()).await;
            assert!(dropped.is_ok() && peer.take_received().is_empty());
            // A close frame of the client's was there; ours never was.
            let is_theirs = code != close::PROTOCOL_ERROR;
            let told = if is_theirs { code } else { close::ABNORMAL };
            assert_eq!(client.ended().unwrap().0, told);
        }
        recorder.batches.lock().unwrap().clear();
    });
}

#[test]
fn close_timeout_runs_once() {
    Simulation::echo(Config::default(), async |simulation| {
        let (other, _) = simulation.open().await;
        other.send(frame(CLOSE, b""));
        other.read().await;
        let (peer, client) = simulation.open().await;
        let begun = Instant::now();
        client.order(order_close(1000, ""));
        peer.read().await;
        sleep(4 * SECOND).await;
        peer.send(frame(CLOSE, b""));
        peer.expect_shut_down().await;
        // Its end of TCP does not come either.
        peer.expect_drop().await;
        let took = begun.elapsed();
        assert!(
            took >= 5 * SECOND && took < 5 * SECOND + 2 * GRAIN,
            "{took:?}"
        );
    });
}
