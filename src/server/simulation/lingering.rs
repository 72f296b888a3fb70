//! What is left of a connection when all is said: it waits for the client to end TCP, holds nothing, and is dropped as
//! soon as somebody wants it to be.

use super::order_close;
use super::{
    BINARY, CLOSE, Config, Duration, GRAIN, Instant, NEVER, Peer, REQUEST, Recorder, Simulation,
    TEXT, Temper, Wants, close, closed, frame, settle,
};
use crate::client::Client;
use crate::order::Order;
use crate::protocol::extensions::Deflate;
use crate::protocol::message::Kind;
use std::sync::Arc;
use tokio::time::sleep;

/// A client that has closed in order and keeps its socket.
async fn closed_in_order(simulation: &Simulation) -> (Peer, Arc<Client>) {
    let (peer, client) = simulation.open().await;
    peer.send(frame(CLOSE, close::payload(1000, "")));
    assert_eq!(peer.read().await, closed(1000, ""));
    peer.expect_shut_down().await;
    (peer, client)
}

/// One that is no client, was told so, and keeps its socket.
async fn refused(simulation: &Simulation, request: &str, status: &str) -> Peer {
    let peer = simulation.connect(Temper::even());
    peer.send(request);
    let head = peer.read_head().await;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    peer.take_received();
    peer.expect_shut_down().await;
    peer
}

#[test]
fn a_stop_does_not_wait_for_those_who_only_linger() {
    let config = Config {
        max_connections: Some(3),
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let (open, _) = simulation.open().await;
        let (failed, _) = simulation.open().await;
        failed.send([0xff]);
        assert_eq!(failed.read().await.0, CLOSE);
        failed.expect_shut_down().await;
        let peers = [
            failed,
            closed_in_order(simulation).await.0,
            refused(simulation, "GET / HTTP/1.1\r\n\r\n", "426").await,
            refused(simulation, "POST / HTTP/1.1\r\n\r\n", "405").await,
            refused(simulation, "HELO there\r\n", "400").await,
        ];
        settle().await;
        assert!(peers.iter().all(|peer| !peer.is_dropped()));
        let begun = Instant::now();
        simulation.server.stop(NEVER);
        for peer in &peers {
            peer.expect_drop().await;
        }
        // From now on nobody begins to linger.
        assert_eq!(open.read().await, closed(1001, "the server is stopping"));
        open.send(frame(CLOSE, close::payload(1001, "")));
        open.expect_drop().await;
        assert!(begun.elapsed() < Duration::from_millis(5));
    });
}

#[test]
fn a_stop_lets_those_who_go_on_sending_read_why_their_connection_ends() {
    Simulation::echo(Config::default(), async |simulation| {
        let mut peers = Vec::new();
        for _ in 0..2 {
            let (peer, _) = simulation.open().await;
            peer.send([0xff]);
            assert_eq!(peer.read().await.0, CLOSE);
            peer.expect_shut_down().await;
            peer.send("it does not know yet");
            peers.push(peer);
        }
        settle().await;
        let begun = Instant::now();
        simulation.server.stop(Duration::from_secs(4));
        // With input that nobody has read, TCP would end with a reset, which destroys what is on its way to the client.
        for _ in 0..10 {
            for peer in &peers {
                peer.send("more");
            }
            sleep(GRAIN / 2).await;
            assert!(
                peers
                    .iter()
                    .all(|peer| !peer.is_dropped() && peer.unread() == 0)
            );
        }
        let restless = peers.pop().unwrap();
        while !restless.is_dropped() {
            restless.send("more");
            sleep(GRAIN / 2).await;
            if begun.elapsed() > GRAIN * 9 {
                assert!(peers[0].is_dropped());
            }
        }
        assert_eq!(begun.elapsed().as_secs(), 2);
    });
}

#[test]
fn an_answer_that_nobody_reads_is_not_waited_for_when_time_gets_short() {
    let config = Config {
        close_timeout: NEVER / 10_000,
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let peer = simulation.connect(Temper::even());
        peer.take_only(7);
        peer.send("HELO there\r\n");
        settle().await;
        let begun = Instant::now();
        simulation.server.stop(Duration::from_secs(4));
        peer.expect_drop().await;
        assert_eq!(begun.elapsed().as_secs(), 2);
    });
}

#[test]
fn an_abort_ends_it_at_once() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = closed_in_order(simulation).await;
        let begun = Instant::now();
        client.order(Order::Admit);
        settle().await;
        assert!(!peer.is_dropped());
        client.order(Order::Abort);
        peer.expect_drop().await;
        assert!(begun.elapsed() < Duration::from_millis(5));
        assert_eq!(client.ended(), Some(&(1000, String::new())));
    });
}

#[test]
fn who_lingers_holds_nothing() {
    let config = Config {
        max_connections: Some(1),
        compression: Some(Deflate::default()),
        ..Config::default()
    };
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(config, recorder.clone(), async |simulation| {
        let request = REQUEST.replace(
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        );
        for request in [REQUEST, &request] {
            let peer = simulation.connect(Temper::even());
            peer.send(request);
            peer.read_head().await;
            let client = simulation.server.clients().pop().unwrap();
            // An echo is held behind an answer that does not come, and half a message waits for its end.
            peer.send(frame(TEXT, "asked"));
            peer.send(frame(BINARY, vec![7; 50_000]));
            let cut = frame(BINARY, vec![7; 50_000]);
            peer.send(&cut[..40_000]);
            settle().await;
            assert!(simulation.used() > 50_000);
            client.order(order_close(1000, ""));
            assert_eq!(peer.read().await.0, CLOSE);
            recorder.batches.lock().unwrap().clear();
            peer.send(&cut[40_000..]);
            peer.send(frame(CLOSE, close::payload(1000, "")));
            peer.expect_shut_down().await;
            assert!(!peer.is_dropped());
            assert_eq!(simulation.used(), 0);
            assert!(client.send(Kind::Text, vec![1], 1).is_err());
            // There is room for the next one.
        }
    });
}

#[test]
fn each_has_its_time() {
    Simulation::echo(Config::default(), async |simulation| {
        let mut begun = Vec::new();
        for count in 0..20 {
            begun.push((closed_in_order(simulation).await.0, Instant::now()));
            if count % 4 == 0 {
                // Who leaves earlier takes nothing from the others.
                begun[count / 2].0.send_end();
            }
            sleep(Duration::from_millis(70)).await;
        }
        let limit = Duration::from_secs(5);
        let has_left = |index: usize| index.is_multiple_of(2) && index < 10;
        for (index, (peer, _)) in begun.iter().enumerate() {
            assert_eq!(peer.is_dropped(), has_left(index));
        }
        for (index, (peer, begun)) in begun.iter().enumerate() {
            peer.expect_drop().await;
            let time = begun.elapsed();
            assert!(has_left(index) || time >= limit && time < limit + 2 * GRAIN);
        }
        // Nothing is left of the timer but its readiness.
        sleep(limit).await;
        let (peer, begun) = (closed_in_order(simulation).await.0, Instant::now());
        peer.expect_drop().await;
        assert!(begun.elapsed() >= limit && begun.elapsed() < limit + Duration::from_millis(5));
    });
}
