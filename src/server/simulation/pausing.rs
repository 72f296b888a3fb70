//! A client that is not read from for a while: nothing of it is lost, and nothing is held against it.

use super::{
    CLOSE, Config, Duration, PING, PONG, Peer, Simulation, TEXT, close, closed, frame, order_close,
    sent, settle,
};
use crate::client::Client;
use crate::order::Order;
use std::sync::Arc;
use tokio::time::sleep;

/// A client that is paused.
async fn paused(simulation: &Simulation) -> (Peer, Arc<Client>) {
    let (peer, client) = simulation.open().await;
    client.order(Order::Pause);
    settle().await;
    (peer, client)
}

#[test]
fn nothing_is_read_until_it_goes_on_and_then_all_in_order() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = paused(simulation).await;
        let mut bytes = Vec::new();
        for number in 0..1000 {
            bytes.extend(frame(TEXT, format!("{number}")));
        }
        peer.send(&bytes);
        settle().await;
        assert_eq!(peer.unread(), bytes.len());
        assert_eq!(simulation.used(), 0);
        client.order(Order::Resume);
        for number in 0..1000 {
            assert_eq!(peer.read().await, sent(TEXT, format!("{number}")));
        }
    });
}

#[test]
fn its_silence_is_not_held_against_it() {
    let config = Config {
        idle_timeout: Some(Duration::from_secs(3)),
        ping_interval: Some(Duration::from_secs(1)),
        ping_timeout: Duration::from_secs(1),
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let (peer, client) = paused(simulation).await;
        sleep(Duration::from_secs(100)).await;
        let (first, payload) = peer.read().await;
        assert_eq!(first, PING);
        peer.send(frame(PONG, payload));
        peer.send(frame(TEXT, "here"));
        sleep(Duration::from_secs(100)).await;
        assert!(client.is_open());
        client.order(Order::Resume);
        assert_eq!(peer.read().await, sent(TEXT, "here"));
        // From now on it is again.
        loop {
            let (first, payload) = peer.read().await;
            if first == CLOSE {
                assert_eq!(&payload[..2], 1011_u16.to_be_bytes());
                break;
            }
        }
    });
}

#[test]
fn a_close_is_done_all_the_same() {
    Simulation::echo(Config::default(), async |simulation| {
        for stops in [false, true] {
            let (peer, client) = paused(simulation).await;
            peer.send(frame(TEXT, "is not waited for"));
            settle().await;
            let (code, reason) = if stops {
                simulation.server.stop(Duration::from_secs(60));
                (1001, "the server is stopping")
            } else {
                client.order(order_close(4000, "enough"));
                (4000, "enough")
            };
            assert_eq!(peer.read().await, closed(code, reason));
            peer.send(frame(CLOSE, close::payload(code, "")));
            peer.expect_shut_down().await;
            assert_eq!(client.ended(), Some(&(code, reason.to_owned())));
        }
    });
}

#[test]
fn it_can_be_dropped() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = paused(simulation).await;
        client.order(Order::Abort);
        peer.expect_drop().await;
    });
}
