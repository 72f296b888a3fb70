//! Moods of the stream, errors at any point, the closing handshake from both sides, and stops.

use super::order_close;
use super::{
    BINARY, CLOSE, Config, Duration, Gate, Instant, NEVER, PING, PONG, REQUEST, Recorder,
    Simulation, TEXT, Temper, Wants, close, closed, frame, sent, settle,
};
use crate::order::Order;
use crate::order::SendError;
use crate::protocol::message::Kind;
use tokio::time::timeout;

/// A conversation with everything in it, and the answers.
pub(super) fn conversation() -> (Vec<u8>, Vec<(u8, Vec<u8>)>) {
    let long = vec![0x5e; 70_000];
    let bytes = [
        REQUEST.as_bytes().to_vec(),
        frame(TEXT, "κόσμε"),
        frame(BINARY, b""),
        frame(0x01, "frag"),
        frame(PING, "in between"),
        frame(0x80, "ments"),
        frame(BINARY, &long),
        frame(PONG, "unasked"),
        frame(TEXT, "x").repeat(50),
        frame(PING, [9; 125]),
        frame(CLOSE, close::payload(4000, "done")),
    ];
    let mut answers = vec![
        sent(TEXT, "κόσμε"),
        sent(BINARY, b""),
        sent(PONG, "in between"),
        sent(TEXT, "fragments"),
        sent(BINARY, &long),
    ];
    answers.extend(vec![sent(TEXT, "x"); 50]);
    answers.push(sent(PONG, [9; 125]));
    answers.push(closed(4000, "done"));
    (bytes.concat(), answers)
}

#[test]
fn any_mood_of_the_stream_gives_the_same_answers() {
    let (bytes, answers) = conversation();
    Simulation::echo(Config::default(), async |simulation| {
        for seed in 0..100 {
            let peer = simulation.connect(Temper::moody(seed));
            peer.send(&bytes);
            peer.read_head().await;
            for answer in &answers {
                assert!(peer.read().await == *answer, "seed {seed}");
            }
            peer.expect_shut_down().await;
            peer.send_end();
            peer.expect_drop().await;
        }
    });
}

#[test]
fn bytes_are_counted_from_the_first_frame_on() {
    let (bytes, _) = conversation();
    for seed in 0..20 {
        Simulation::echo(Config::default(), async |simulation| {
            let peer = simulation.connect(Temper::moody(seed));
            peer.send(&bytes);
            peer.read_head().await;
            let mut frames = 0;
            loop {
                match peer.read_any().await.len() as u64 {
                    0 => break,
                    some => frames += some,
                }
            }
            let stats = simulation.server.stats();
            assert_eq!(stats.bytes_sent, frames, "seed {seed}");
            assert_eq!(stats.bytes_received, (bytes.len() - REQUEST.len()) as u64);
            peer.send_end();
        });
    }
}

#[test]
fn an_error_at_any_point_ends_only_its_connection() {
    let (bytes, _) = conversation();
    let recorder = Recorder::new(Wants::OPEN | Wants::CLOSE);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (other, _) = simulation.open().await;
        let mut opened = 0;
        for patience in 0..200 {
            let temper = Temper::moody(patience as u64).failing_after(patience);
            let peer = simulation.connect(temper);
            peer.send(&bytes);
            peer.expect_drop().await;
            opened += usize::from(peer.take_received().starts_with(b"HTTP/1.1 101 "));
        }
        let gone = recorder.gone();
        assert!(opened > 20 && gone.len() >= opened, "{opened}");
        assert!(gone.iter().all(|(_, code, _)| [1006, 4000].contains(code)));
        let mut ids: Vec<u64> = gone.iter().map(|(id, _, _)| *id).collect();
        ids.dedup();
        assert_eq!(ids.len(), gone.len());
        other.send(frame(TEXT, "still here"));
        assert_eq!(other.read().await, sent(TEXT, "still here"));
        assert_eq!(simulation.used(), 0);
    });
}

#[test]
fn the_end_of_the_stream_comes_after_the_echo() {
    let recorder = Recorder::new(Wants::CLOSE);
    let cases: [(&[u8], &[u8]); 3] = [
        (&frame(TEXT, "last"), b"\x81\x04last"),
        (&frame(BINARY, b"whole")[..8], b""),
        (&frame(0x01, "part"), b""),
    ];
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        for (bytes, answer) in cases {
            for seed in 0..20 {
                let peer = simulation.connect(Temper::moody(seed));
                peer.send([REQUEST.as_bytes(), bytes].concat());
                peer.send_end();
                peer.expect_drop().await;
                assert!(peer.take_received().ends_with(answer));
            }
        }
        let gone = recorder.gone();
        assert_eq!(gone.len(), 60);
        assert!(
            gone.iter()
                .all(|(_, code, reason)| *code == 1006 && reason.is_empty())
        );
    });
}

#[test]
fn the_end_is_told_honestly() {
    let recorder = Recorder::new(Wants::CLOSE);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let endings: [(&[u8], u16, &str); 4] = [
            (&frame(CLOSE, b""), 1005, ""),
            (&frame(CLOSE, close::payload(4999, "bye")), 4999, "bye"),
            (
                &[0xf0],
                1002,
                "RSV bits must be 0 without an extension (RFC 6455 section 5.2)",
            ),
            (
                &frame(TEXT, b"\xff"),
                1007,
                "text is not UTF-8 (RFC 6455 section 8.1)",
            ),
        ];
        for (bytes, code, reason) in endings {
            let (peer, client) = simulation.open().await;
            assert!(client.is_open() && client.ended().is_none());
            peer.send(bytes);
            peer.expect_shut_down_after_close().await;
            assert_eq!(client.ended(), Some(&(code, reason.to_owned())));
            assert_eq!(
                client.send(Kind::Text, "", usize::MAX),
                Err(SendError::Closed)
            );
        }
        assert_eq!(recorder.gone().len(), 4);
    });
}

impl super::Peer {
    async fn expect_shut_down_after_close(&self) {
        assert_eq!(self.read().await.0, CLOSE);
        self.expect_shut_down().await;
    }
}

#[test]
fn our_close_waits_for_theirs() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = simulation.open().await;
        peer.send(frame(TEXT, "before"));
        assert_eq!(peer.read().await, sent(TEXT, "before"));
        let too_late = [
            client.message(Kind::Text, "too late", 1000).unwrap(),
            client.ping("", 1000).unwrap(),
        ];
        client.order(order_close(3000, "that is it"));
        assert_eq!(peer.read().await, closed(3000, "that is it"));
        assert!(!client.is_open());
        // On its way already; nothing may be sent after a close frame.
        peer.send(
            [
                frame(TEXT, "crossed"),
                frame(PING, "?"),
                frame(0x02, vec![1; 5000]),
            ]
            .concat(),
        );
        for order in too_late {
            client.order(order);
        }
        client.order(order_close(1000, "again"));
        settle().await;
        assert!(peer.is_silent() && peer.unread() == 0);
        peer.send(frame(CLOSE, close::payload(3000, "")));
        peer.expect_shut_down().await;
        peer.send("anything");
        settle().await;
        assert!(!peer.is_dropped() && peer.unread() == 0);
        peer.send_end();
        peer.expect_drop().await;
        assert_eq!(client.ended(), Some(&(3000, "that is it".into())));
    });
}

#[test]
fn a_client_may_end_without_an_answer_to_our_close() {
    Simulation::echo(Config::default(), async |simulation| {
        for how in [super::Peer::send_end, super::Peer::reset] {
            let (peer, client) = simulation.open().await;
            client.order(order_close(1000, ""));
            assert_eq!(peer.read().await, closed(1000, ""));
            let begun = Instant::now();
            how(&peer);
            peer.expect_drop().await;
            // Nothing is left to wait for.
            assert!(begun.elapsed() < Duration::from_millis(5));
            assert_eq!(client.ended().unwrap().0, 1000);
        }
    });
}

#[test]
fn an_abort_says_nothing() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = simulation.open().await;
        client.order(Order::Abort);
        peer.expect_drop().await;
        assert!(peer.take_received().is_empty());
        assert_eq!(client.ended().unwrap().0, 1006);
    });
}

#[test]
fn what_is_thrown_away_after_the_end_is_bounded() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, _) = simulation.open().await;
        peer.send(frame(CLOSE, b""));
        peer.expect_shut_down_after_close().await;
        peer.send(vec![0; 1 << 19]);
        settle().await;
        assert!(peer.unread() == 0 && !peer.is_dropped());
        peer.send(vec![0; 4 << 20]);
        peer.expect_drop().await;
        assert!(peer.unread() > 2 << 20);
    });
}

#[test]
fn a_stop_tells_everyone_and_waits_for_them() {
    let recorder = Recorder::gated(Wants::OPEN | Wants::CLOSE, Gate::Later);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (first, _) = simulation.open().await;
        let (second, admitted) = simulation.open().await;
        admitted.order(Order::Admit);
        let begun = simulation.connect(Temper::even());
        begun.send("GET / HTTP/1.1\r\n");
        settle().await;
        simulation.server.stop(NEVER);
        for peer in [&first, &second] {
            assert_eq!(peer.read().await, closed(1001, "the server is stopping"));
        }
        begun.expect_drop().await;
        let late = simulation.connect(Temper::even());
        late.expect_drop().await;
        first.send(frame(CLOSE, close::payload(1001, "")));
        first.expect_shut_down().await;
        assert_eq!(recorder.gone().len(), 1);
        first.send_end();
        first.expect_drop().await;
        assert!(!second.is_dropped());
        second.send_end();
        second.expect_drop().await;
        assert_eq!(recorder.gone().len(), 2);
    });
}

#[test]
fn a_stop_aborts_at_its_deadline() {
    let recorder = Recorder::new(Wants::TEXT | Wants::CLOSE);
    let mut peer = None;
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (deaf, _) = simulation.open().await;
        deaf.send(frame(TEXT, "never answered"));
        settle().await;
        deaf.take_only(0);
        simulation.server.stop(Duration::from_secs(2));
        settle().await;
        assert!(!deaf.is_dropped());
        peer = Some(deaf);
        recorder.batches.lock().unwrap().clear();
        // The end of the simulation stops again, at once.
    });
    let peer = peer.unwrap();
    assert!(peer.is_dropped() && peer.take_received().is_empty());
    let gone = recorder.gone();
    assert_eq!((gone.len(), gone[0].1), (1, 1001));
}

#[test]
fn a_slow_reader_is_not_read_from() {
    let config = Config {
        max_message_size: 100_000,
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let (peer, _) = simulation.open().await;
        peer.take_only(10);
        let message = frame(BINARY, vec![7; 1000]);
        peer.send(message.repeat(1000));
        settle().await;
        // One read of the shared buffer, and no more, although there is time.
        let unread = peer.unread();
        assert!(unread >= 1000 * message.len() - (512 << 10), "{unread}");
        assert!(timeout(NEVER / 2, peer.expect_drop()).await.is_err());
        assert_eq!(peer.unread(), unread);
        let used = simulation.used();
        assert!(used > 400_000 && used < 600_000, "{used}");
        // Each byte that is taken is one that is sent, and only at the end of all output the next is read.
        peer.take_only(400_000);
        settle().await;
        assert_eq!(peer.unread(), unread);
        peer.take_only(usize::MAX);
        for _ in 0..1000 {
            assert_eq!(peer.read().await, sent(BINARY, [7; 1000]));
        }
        settle().await;
        assert_eq!(simulation.used(), 0);
    });
}
