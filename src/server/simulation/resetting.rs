//! A reset of all connections: wherever one is, it is dropped at once, and the client is told nothing but that.

use super::stream::Temper;
use super::tls_peer::{TlsPeer, VERSIONS, connect};
use super::{
    CLOSE, Config, Duration, Peer, REQUEST, Simulation, TEXT, close, closed, frame, settle,
};
use crate::admission::{Decision, Request};
use crate::handler::{Handler, Wants};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Decides what it was told to; nothing when that is used up.
#[derive(Debug, Default)]
struct Doorkeeper(Mutex<Vec<Decision>>);

impl Handler for Doorkeeper {
    fn wants(&self) -> Wants {
        Wants::HANDSHAKE
    }

    fn on_handshake(&self, request: &Arc<Request>) {
        if let Some(decision) = self.0.lock().unwrap().pop() {
            assert!(request.decide(decision).is_ok());
        }
    }
}

/// Resets everybody, and sees that those who wait for it hear of it.
async fn reset(simulation: &Simulation, peers: &[Peer]) {
    settle().await;
    assert!(peers.iter().all(|peer| !peer.is_dropped()));
    let before: Vec<_> = peers.iter().map(Peer::take_received).collect();
    let pending = simulation.server.reset();
    assert!(pending.wait(Instant::now()).is_none());
    settle().await;
    for (index, peer) in peers.iter().enumerate() {
        assert!(peer.is_dropped(), "{index}");
        assert!(peer.is_reset(), "{index}");
        assert_eq!(
            peer.take_received(),
            b"",
            "{index}, after {:?}",
            before[index]
        );
    }
    assert!(matches!(pending.wait(Instant::now()), Some(None)));
}

#[test]
fn clients_are_reset_whatever_they_do() {
    let config = Config {
        idle_timeout: Some(Duration::from_secs(1)),
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let mut peers = Vec::new();
        for act in [
            |_: &Peer| {},
            |peer: &Peer| peer.send(&frame(TEXT, "whole")[..3]),
            |peer: &Peer| {
                peer.take_only(0);
                peer.send(frame(TEXT, "is not taken"));
            },
            |peer: &Peer| peer.send(frame(CLOSE, close::payload(1000, ""))),
        ] {
            let (peer, _) = simulation.open().await;
            act(&peer);
            peers.push(peer);
        }
        assert_eq!(peers[3].read().await, closed(1000, ""));
        let clients = simulation.server.clients();
        assert_eq!(clients.len(), 3);
        reset(simulation, &peers).await;
        for client in clients {
            assert_eq!(client.ended(), Some(&(1006, String::new())));
        }
        // Those who come after it are served.
        let (peer, _) = simulation.open().await;
        peer.send(frame(TEXT, "again"));
        assert_eq!(peer.read().await.1, b"again");
    });
}

#[test]
fn so_is_who_is_no_client() {
    let doorkeeper = Arc::new(Doorkeeper(Mutex::new(vec![
        Decision::Delay(Duration::from_secs(5), None),
        Decision::Hang,
    ])));
    Simulation::run(Config::default(), doorkeeper, async |simulation| {
        let mut peers = Vec::new();
        for sent in [
            "",
            &REQUEST[..50],
            REQUEST,
            REQUEST,
            REQUEST,
            "GET / HTTP/1.1\r\n\r\n",
        ] {
            let peer = simulation.connect(Temper::even());
            peer.send(sent);
            settle().await;
            peers.push(peer);
        }
        peers[5].take_only(0);
        reset(simulation, &peers).await;
    });
}

#[test]
fn so_is_a_client_over_tls_and_who_tries_to_be_one() {
    Simulation::echo(super::tls::config(), async |simulation| {
        let silent = connect(simulation, Temper::even());
        let begun = connect(simulation, Temper::even());
        begun.send([22, 3, 1, 0, 1, 1]);
        let plain = connect(simulation, Temper::even());
        plain.send(REQUEST);
        let mut client = TlsPeer::new(simulation, Temper::even(), VERSIONS[0]);
        client.handshake().await;
        client.send(REQUEST);
        while simulation.server.clients().is_empty() {
            assert!(client.step().await);
        }
        reset(simulation, &[silent, begun, plain, client.peer]).await;
    });
}

#[test]
fn without_connections_nobody_waits() {
    Simulation::echo(Config::default(), async |simulation| {
        let pending = simulation.server.reset();
        settle().await;
        assert!(matches!(pending.wait(Instant::now()), Some(None)));
    });
}
