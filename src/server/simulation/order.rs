//! Handlers that answer from elsewhere and later: whatever they do, answers go out in the order of the messages.

use super::order_close;
use super::{
    BINARY, CLOSE, Config, Duration, PING, PONG, Peer, Recorder, Replies, Simulation, TEXT, Temper,
    Wants, close, closed, frame, sent, settle,
};
use crate::order::Order;
use crate::protocol::frame::{Opcode, server_frame};
use crate::protocol::message::Kind;
use std::sync::atomic::Ordering;
use tokio::time::{sleep, timeout};

#[test]
fn native_echoes_wait_for_the_answers_before_them_and_pongs_do_not() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, _) = simulation.open().await;
        let bytes = [
            frame(BINARY, "one"),
            frame(TEXT, "two"),
            frame(BINARY, "three"),
            frame(PING, "at once"),
            frame(TEXT, "four"),
            frame(BINARY, "five"),
        ];
        peer.send(bytes.concat());
        assert_eq!(peer.read().await, sent(BINARY, "one"));
        assert_eq!(peer.read().await, sent(PONG, "at once"));
        settle().await;
        assert!(peer.is_silent());
        assert!(simulation.used() > 0);
        recorder.echo_batch(1);
        for (first, payload) in [
            (TEXT, "two"),
            (BINARY, "three"),
            (TEXT, "four"),
            (BINARY, "five"),
        ] {
            assert_eq!(peer.read().await, sent(first, payload));
        }
        settle().await;
        let stats = simulation.server.stats();
        assert_eq!((simulation.used(), stats.messages_sent), (0, 5));
    });
}

/// Any kinds, any batches, any orders, any moods.
#[test]
fn answers_keep_the_order_of_the_messages() {
    for seed in 0..60 {
        let recorder = Recorder::new(Wants::TEXT);
        Simulation::run(Config::default(), recorder.clone(), async |simulation| {
            let mut dice = Temper::moody(seed);
            let peer = simulation.connect(dice.clone());
            peer.send(super::REQUEST);
            peer.read_head().await;
            let mut expected = Vec::new();
            for round in 0..10 {
                let count = dice.below(6);
                for number in 0..count {
                    let first = [TEXT, BINARY][dice.below(2)];
                    let payload = format!("{round} {number}").repeat(1 + dice.below(40));
                    peer.send(frame(first, &payload));
                    expected.push(sent(first, payload));
                }
                for _ in 0..dice.below(30) {
                    tokio::task::yield_now().await;
                }
                while dice.below(3) > 0 && recorder.waiting() > 0 {
                    recorder.echo_batch(1 + dice.below(3));
                }
            }
            for answer in expected {
                // Whoever waits for an answer that is not given yet gives one.
                while timeout(Duration::from_secs(1), peer.expect_output())
                    .await
                    .is_err()
                {
                    recorder.echo_batch(1 + dice.below(3));
                }
                assert_eq!(peer.read().await, answer, "seed {seed}");
            }
            assert!(peer.is_silent());
        });
    }
}

impl Peer {
    /// Waits until there is a frame, and leaves it.
    async fn expect_output(&self) {
        while self.is_silent() {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

#[test]
fn an_answer_may_be_another_message_or_none() {
    let recorder = Recorder::new(Wants::TEXT | Wants::BINARY);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, client) = simulation.open().await;
        peer.send(
            [
                frame(TEXT, "first"),
                frame(BINARY, "second"),
                frame(TEXT, "third"),
            ]
            .concat(),
        );
        settle().await;
        assert_eq!(recorder.waiting(), 3);
        let (first, third) = (
            server_frame(Opcode::Binary, b"instead"),
            server_frame(Opcode::Text, b"at last"),
        );
        // Two answers, of which one is nothing, then the third.
        client.order(Order::Replies(Replies {
            ends: vec![first.len(), first.len()].into(),
            wire: first,
            answered: 11,
            are_followed: false,
        }));
        assert_eq!(peer.read().await, sent(BINARY, "instead"));
        client.send(Kind::Text, b"between".to_vec(), 100).unwrap();
        client.order(Order::Replies(Replies {
            ends: vec![third.len()].into(),
            wire: third,
            answered: 5,
            are_followed: false,
        }));
        assert_eq!(peer.read().await, sent(TEXT, "between"));
        assert_eq!(peer.read().await, sent(TEXT, "at last"));
        assert_eq!(simulation.server.stats().messages_sent, 3);
        recorder.batches.lock().unwrap().clear();
    });
}

#[test]
fn replies_that_are_followed_have_the_worker_look_for_more_while_there_are_some() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, client) = simulation.open().await;
        peer.send([frame(TEXT, "first"), frame(TEXT, "second")].concat());
        settle().await;
        let looks = || recorder.looks.load(Ordering::Relaxed);
        let reply = |are_followed| {
            let wire = server_frame(Opcode::Text, b"reply");
            client.order(Order::Replies(Replies {
                ends: vec![wire.len()].into(),
                wire,
                answered: 5,
                are_followed,
            }));
        };
        reply(true);
        assert_eq!(peer.read().await, sent(TEXT, "reply"));
        sleep(Duration::from_millis(20)).await;
        // The recorder says twice that there was something.
        assert_eq!(looks(), 3);
        reply(false);
        assert_eq!(peer.read().await, sent(TEXT, "reply"));
        sleep(Duration::from_millis(20)).await;
        assert_eq!(looks(), 3);
        recorder.batches.lock().unwrap().clear();
    });
}

#[test]
fn a_client_is_not_read_from_while_the_handler_is_behind() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        for bytes in [
            frame(TEXT, "x"),
            frame(TEXT, vec![b'y'; 70_000]),
            frame(BINARY, b""),
        ] {
            let (peer, _) = simulation.open().await;
            peer.send(frame(TEXT, "first"));
            settle().await;
            let count = (4 << 20) / bytes.len();
            peer.send(bytes.repeat(count));
            settle().await;
            // A buffer more than a thousand messages or a MiB.
            let taken = count * bytes.len() - peer.unread();
            assert!(
                taken <= (1 << 20) + (512 << 10),
                "{taken} of {} each",
                bytes.len()
            );
            let used = simulation.used();
            assert!(used <= 2 << 20, "{used} for {} each", bytes.len());
            let mut missing = frame(TEXT, "first").len() - 4 + count * (bytes.len() - 4);
            for round in 0.. {
                if missing == 0 {
                    break;
                }
                assert!(round < 10_000, "{missing} bytes are missing");
                while recorder.waiting() > 0 {
                    recorder.echo_batch(usize::MAX);
                }
                settle().await;
                missing -= peer.take_received().len();
            }
            peer.send_end();
            peer.expect_drop().await;
        }
    });
}

#[test]
fn a_close_waits_for_the_answers_before_it() {
    let recorder = Recorder::new(Wants::TEXT | Wants::CLOSE);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let endings: [(&[u8], u16); 2] = [
            (&frame(CLOSE, close::payload(1000, "")), 1000),
            (&[0x8f], 1002),
        ];
        for (ending, code) in endings {
            let (peer, client) = simulation.open().await;
            peer.send([&frame(TEXT, "wanted"), &frame(BINARY, "native"), ending].concat());
            // Longer than close_timeout, which is about the client.
            assert!(timeout(Duration::from_secs(60), peer.read()).await.is_err());
            recorder.echo_batch(1);
            assert_eq!(peer.read().await, sent(TEXT, "wanted"));
            assert_eq!(peer.read().await, sent(BINARY, "native"));
            let (first, payload) = peer.read().await;
            assert_eq!((first, &payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
            peer.expect_shut_down().await;
            assert_eq!(client.ended().unwrap().0, code);
        }
    });
}

#[test]
fn the_end_of_the_stream_waits_for_the_answers_before_it() {
    let recorder = Recorder::new(Wants::TEXT | Wants::CLOSE);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, _) = simulation.open().await;
        peer.send(frame(TEXT, "last words"));
        peer.send_end();
        settle().await;
        assert!(!peer.is_dropped() && recorder.gone().is_empty());
        recorder.echo_batch(1);
        assert_eq!(peer.read().await.1, b"last words");
        peer.expect_drop().await;
        assert_eq!(recorder.gone().len(), 1);
    });
}

#[test]
fn our_close_leaves_out_the_answers_that_are_not_there() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, client) = simulation.open().await;
        peer.send([frame(TEXT, "unanswered"), frame(BINARY, "behind it")].concat());
        settle().await;
        client.order(order_close(1001, "later"));
        assert_eq!(peer.read().await, closed(1001, "later"));
        recorder.echo_batch(1);
        settle().await;
        assert!(peer.is_silent());
        peer.send(frame(CLOSE, b""));
        peer.expect_shut_down().await;
    });
}

#[test]
fn answers_for_a_client_that_is_gone_go_nowhere() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, _) = simulation.open().await;
        peer.send(frame(TEXT, "a question"));
        settle().await;
        peer.reset();
        peer.send("something, so that the reset is seen");
        peer.expect_drop().await;
        // Somebody else has its seat now.
        let (other, _) = simulation.open().await;
        recorder.echo_batch(1);
        settle().await;
        assert!(other.is_silent());
    });
}
