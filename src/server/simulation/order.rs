//! Handlers that answer from elsewhere and later: whatever they do, answers go out in the order of the messages.

use super::order_close;
use super::{
    BINARY, CLOSE, Config, Duration, Gate, NEVER, PING, PONG, Peer, Recorder, Replies, Simulation,
    TEXT, Temper, Wants, close, closed, frame, sent, settle,
};
use crate::order::Order;
use crate::protocol::frame::{Opcode, server_frame};
use crate::protocol::handshake::MAX_HEAD;
use crate::protocol::message::Kind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::{sleep, timeout};

#[test]
fn nothing_is_answered_before_the_client_is_admitted() {
    let recorder = Recorder::gated(Wants::OPEN | Wants::TEXT, Gate::Later);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, client) = simulation.open().await;
        let bytes = [frame(BINARY, "native"), frame(TEXT, "wanted")].concat();
        peer.send(&bytes);
        assert!(timeout(NEVER / 2, peer.read()).await.is_err());
        // Kept, and charged.
        assert_eq!((peer.unread(), recorder.waiting()), (0, 0));
        assert!(simulation.used() >= bytes.len() as u64);
        // What is sent meanwhile goes out.
        client.send(Kind::Text, b"welcome".to_vec(), 100).unwrap();
        assert_eq!(peer.read().await, sent(TEXT, "welcome"));
        client.order(Order::Admit);
        assert_eq!(peer.read().await, sent(BINARY, "native"));
        assert_eq!(recorder.waiting(), 1);
        recorder.echo_batch(1);
        assert_eq!(peer.read().await, sent(TEXT, "wanted"));
    });
}

#[test]
fn little_is_kept_before_the_client_is_admitted() {
    let recorder = Recorder::gated(Wants::OPEN, Gate::Later);
    Simulation::run(Config::default(), recorder, async |simulation| {
        let (peer, client) = simulation.open().await;
        let count = 10_000;
        peer.send(frame(BINARY, "four").repeat(count));
        settle().await;
        assert_eq!(peer.unread(), count * 10 - MAX_HEAD);
        let used = simulation.used();
        assert!(
            (MAX_HEAD as u64..=2 * MAX_HEAD as u64 + 1024).contains(&used),
            "{used}"
        );
        client.order(Order::Admit);
        for _ in 0..count {
            assert_eq!(peer.read().await, sent(BINARY, "four"));
        }
    });
}

#[test]
fn who_leaves_before_it_is_admitted_keeps_no_place() {
    let leave: [fn(&Peer); 5] = [
        Peer::send_end,
        Peer::reset,
        // In order, with an answer at once.
        |peer| peer.send(frame(CLOSE, "")),
        |peer| {
            peer.send(frame(TEXT, "wanted"));
            peer.send_end();
        },
        |peer| {
            peer.send([frame(PING, "wanted"), frame(CLOSE, "")].concat());
            peer.send_end();
        },
    ];
    for (number, leave) in leave.into_iter().enumerate() {
        let recorder = Recorder::gated(Wants::OPEN | Wants::TEXT, Gate::Later);
        Simulation::run(Config::default(), recorder.clone(), async |simulation| {
            let (peer, client) = simulation.open().await;
            let open = || simulation.server.shared.open.load(Ordering::Relaxed);
            assert_eq!(open(), 1);
            leave(&peer);
            settle().await;
            assert_eq!(open(), 0);
            // Two have asked for an answer that waits.
            assert_eq!(client.ended().is_some(), number < 3);
            client.order(Order::Admit);
            match number {
                2 => assert_eq!(peer.read().await, closed(1000, "")),
                3 => {
                    settle().await;
                    recorder.echo_batch(1);
                    assert_eq!(peer.read().await, sent(TEXT, "wanted"));
                }
                4 => {
                    assert_eq!(peer.read().await, sent(PONG, "wanted"));
                    assert_eq!(peer.read().await, closed(1000, ""));
                }
                _ => {}
            }
            settle().await;
            assert!(client.ended().is_some());
            assert_eq!(open(), 0);
        });
    }
}

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
            ends: vec![first.len(), first.len()],
            wire: first,
            answered: 11,
            are_followed: false,
        }));
        assert_eq!(peer.read().await, sent(BINARY, "instead"));
        client.send(Kind::Text, b"between".to_vec(), 100).unwrap();
        client.order(Order::Replies(Replies {
            ends: vec![third.len()],
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
                ends: vec![wire.len()],
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

#[test]
fn a_send_queue_is_given_back_when_all_is_sent() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = simulation.open().await;
        peer.take_only(0);
        // Each message counts for 64 bytes more than its payload.
        client.send(Kind::Binary, vec![1; 600], 1128).unwrap();
        assert!(client.send(Kind::Binary, vec![1; 600], 1128).is_err());
        client.send(Kind::Binary, vec![2; 400], 1128).unwrap();
        settle().await;
        assert_eq!(client.queued(), 1128);
        peer.take_only(700);
        settle().await;
        assert_eq!(client.queued(), 464);
        peer.take_only(usize::MAX);
        assert_eq!(peer.read().await, sent(BINARY, [1; 600]));
        assert_eq!(peer.read().await, sent(BINARY, [2; 400]));
        settle().await;
        assert_eq!(client.queued(), 0);
        // A client that goes gives it back too.
        peer.take_only(0);
        client.send(Kind::Text, vec![b'x'; 10], 1000).unwrap();
        peer.reset();
        peer.expect_drop().await;
        assert!(client.wait_flushed(None));
    });
}

#[test]
fn many_orders_keep_nobody_waiting() {
    Simulation::echo(Config::default(), async |simulation| {
        let (_flooded, client) = simulation.open().await;
        let (other, _) = simulation.open().await;
        let mut letters: Vec<_> = (0..100_000)
            .map(|_| (client.clone(), Order::Admit))
            .collect();
        client.mailbox().post(&mut letters);
        other.send(frame(TEXT, "hello"));
        assert_eq!(other.read().await, sent(TEXT, "hello"));
        // Each order that is not delivered holds its client.
        assert!(Arc::strong_count(&client) > 10_000);
        // What was given before a stop comes first all the same.
        let (peer, last) = simulation.open().await;
        last.send(Kind::Text, "last", usize::MAX).unwrap();
        simulation.server.stop(NEVER);
        assert_eq!(peer.read().await, sent(TEXT, "last"));
        assert_eq!(peer.read().await, closed(1001, "the server is stopping"));
        assert!(Arc::strong_count(&client) < 10);
    });
}

#[test]
fn an_order_that_is_thrown_away_gives_its_room_back() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = simulation.open().await;
        let message = |len| client.message(Kind::Text, vec![b'x'; len], 1000).unwrap();
        let frame = simulation.server.frame(Kind::Text, b"to all").unwrap();
        let orders = [
            message(300),
            client.ping("?", 1000).unwrap(),
            client.share(&frame, 1000).unwrap(),
        ];
        assert!(client.queued() > 300 && !client.is_flushed());
        drop(orders);
        assert!(client.queued() == 0 && client.wait_flushed(None));
        // One for a client that is gone when it comes.
        let late = message(300);
        peer.reset();
        peer.expect_drop().await;
        client.order(late);
        settle().await;
        assert_eq!(client.queued(), 0);
        // And one that nobody takes any more.
        let (_peer, client) = simulation.open().await;
        let last = client.message(Kind::Text, "last", 1000).unwrap();
        client.mailbox().close();
        client.order(last);
        assert_eq!(client.queued(), 0);
    });
}
