//! Clients that the handler has not admitted yet: what waits, what is kept, and who leaves.

use super::{
    BINARY, CLOSE, Config, Gate, NEVER, PING, PONG, Peer, Recorder, Simulation, TEXT, Wants,
    closed, frame, sent, settle,
};
use crate::order::Order;
use crate::protocol::handshake::MAX_HEAD;
use crate::protocol::message::Kind;
use std::sync::atomic::Ordering;
use tokio::time::timeout;

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
