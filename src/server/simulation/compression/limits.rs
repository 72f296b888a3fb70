//! What compression may cost: the turns of a worker, the memory, and what becomes of those who want more.

use super::super::codec::{COMPRESSED, Codec};
use super::super::{
    BINARY, CLOSE, Config, NEVER, PING, PONG, Peer, Recorder, Simulation, TEXT, Temper, Wants,
    close, closed, frame, sent, settle,
};
use super::{config, text};
use crate::order::{Order, Replies};
use crate::protocol::extensions::Deflate;
use crate::protocol::frame::{Opcode, server_frame};
use crate::protocol::message::Kind;
use tokio::time::timeout;

#[test]
fn a_long_message_holds_nobody_up() {
    Simulation::echo(config(Deflate::default()), async |simulation| {
        let mut codec = Codec::new(true);
        let (long, _) = simulation.offer(Temper::even(), "").await;
        let (other, _) = simulation.offer(Temper::even(), "").await;
        let message = text(8 << 20, 3);
        long.send(codec.frame(TEXT, &message));
        let mut answered = 0;
        while long.is_silent() {
            other.send(frame(PING, "?"));
            assert_eq!(other.read().await, sent(PONG, "?"));
            answered += 1;
        }
        // Each turn inflates at most 64 KiB, and compresses at most as much.
        assert!(answered > (8 << 20) / (64 << 10), "{answered}");
        let echo = codec.message(long.read().await);
        assert!(echo == (TEXT | COMPRESSED, message.into_bytes()));
    });
}

#[test]
fn bombs_stay_within_the_limits_and_hold_nobody_up() {
    const LIMIT: usize = 24 << 20;
    let config = Config {
        max_message_size: 4 << 20,
        memory_limit: LIMIT,
        ..config(Deflate::default())
    };
    Simulation::echo(config, async |simulation| {
        let whole = Codec::new(true).frame(BINARY, vec![0; 16 << 20]);
        let mut bombs = Vec::new();
        for _ in 0..40 {
            let (peer, _) = simulation.offer(Temper::even(), "").await;
            peer.send(&whole);
            bombs.push(peer);
        }
        let (other, _) = simulation.offer(Temper::even(), "").await;
        let mut turns = 0;
        while bombs.iter().any(Peer::is_silent) {
            other.send(frame(PING, "?"));
            assert_eq!(other.read().await, sent(PONG, "?"));
            let used = simulation.used();
            assert!(used <= LIMIT as u64, "{used}");
            turns += 1;
        }
        assert!(turns > 40, "{turns}");
        for peer in bombs {
            let (first, payload) = peer.read().await;
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            assert_eq!(first, CLOSE);
            assert!([close::TOO_BIG, close::TRY_AGAIN].contains(&code), "{code}");
        }
    });
}

#[test]
fn a_message_that_inflates_to_too_much_is_named() {
    let config = Config {
        max_message_size: 100_000,
        ..config(Deflate::default())
    };
    Simulation::echo(config, async |simulation| {
        let (peer, _) = simulation.offer(Temper::even(), "").await;
        let mut codec = Codec::new(true);
        peer.send(codec.frame(TEXT, text(100_000, 1)));
        assert_eq!(codec.message(peer.read().await).1.len(), 100_000);
        peer.send(codec.frame(TEXT, text(100_001, 1)));
        assert_eq!(
            peer.read().await,
            closed(
                close::TOO_BIG,
                "message exceeds max_message_size of 100000 bytes"
            )
        );
    });
}

#[test]
fn memory_that_is_not_there_is_told_with_1013() {
    // Enough to inflate, but not to compress; and not even for that.
    for limit in [150 << 10, 10 << 10] {
        let config = Config {
            memory_limit: limit,
            ..config(Deflate::default())
        };
        Simulation::echo(config, async |simulation| {
            let (peer, _) = simulation.offer(Temper::even(), "").await;
            peer.send(Codec::new(true).frame(TEXT, text(40_000, 1)));
            let reason = format!("memory_limit of {limit} bytes is used up, try again later");
            assert_eq!(peer.read().await, closed(close::TRY_AGAIN, &reason));
        });
    }
}

#[test]
fn a_client_that_does_not_read_is_not_inflated_for() {
    Simulation::echo(config(Deflate::default()), async |simulation| {
        let mut codec = Codec::new(false);
        let (peer, _) = simulation
            .offer(
                Temper::even(),
                "; client_no_context_takeover; server_no_context_takeover",
            )
            .await;
        peer.take_only(0);
        // Random enough that its echo does not vanish.
        for number in 0..200 {
            peer.send(codec.frame(BINARY, text(50_000, number)));
        }
        let waited = timeout(NEVER / 2, peer.read()).await;
        assert!(waited.is_err());
        assert!(peer.unread() > 0);
        let used = simulation.used();
        assert!(used < 2 << 20, "{used}");
        peer.take_only(usize::MAX);
        for number in 0..200 {
            let echo = codec.message(peer.read().await);
            assert!(echo == sent(BINARY | COMPRESSED, text(50_000, number)));
        }
    });
}

#[test]
fn nothing_but_the_close_follows_an_answer_that_could_not_be_compressed() {
    let config = Config {
        memory_limit: 1 << 20,
        ..config(Deflate::default())
    };
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(config, recorder.clone(), async |simulation| {
        // With and without a close of the client's before it.
        for last in [frame(PONG, ""), frame(CLOSE, close::payload(1000, ""))] {
            let (peer, client) = simulation.offer(Temper::even(), "").await;
            let mut dice = Temper::moody(1);
            let noise: Vec<u8> = (0..700_000)
                .map(|_| dice.below(256).to_le_bytes()[0])
                .collect();
            peer.send(
                [
                    frame(TEXT, "1"),
                    frame(TEXT, "2"),
                    frame(BINARY, "held"),
                    last,
                ]
                .concat(),
            );
            settle().await;
            for answer in [noise, b"the second".to_vec()] {
                client.order(Order::Replies(Replies {
                    wire: server_frame(Opcode::Binary, &answer),
                    ends: vec![server_frame(Opcode::Binary, &answer).len()].into(),
                    answered: 1,
                    are_followed: false,
                }));
                // A message of the application's beside it is given up as well.
                let _ = client.send(Kind::Text, text(1000, 1).into_bytes(), usize::MAX);
            }
            let (first, payload) = peer.read().await;
            let (code, reason) = close::parse(&payload).unwrap().unwrap();
            assert_eq!((first, code), (CLOSE, close::TRY_AGAIN));
            assert!(reason.contains("memory_limit"), "{reason}");
            peer.expect_shut_down().await;
            assert!(!client.is_open());
            assert_eq!(client.queued(), 0);
        }
        recorder.batches.lock().unwrap().clear();
        let stats = simulation.server.stats();
        assert_eq!((stats.violations, simulation.used()), (0, 0));
    });
}
