//! What acts on bytes begins behind the 101, to the byte: also if the client does not take the 101, and over TLS.

use super::advancing::Advanced;
use super::faults::{SECOND, after, after_time, set};
use super::faults_by_url;
use super::faults_on_bytes::{bandwidth, latency};
use super::stream::{Peer, Temper};
use super::tls::{self, wire};
use super::tls_peer::{TlsPeer, VERSIONS};
use super::{Config, Duration, REQUEST, TEXT, sent, settle};
use crate::client::Client;
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use crate::faults::values::Value;
use crate::protocol::message::Kind;
use std::sync::Arc;

/// What a client takes of its 101 before it takes no more for now.
const TAKEN: [usize; 3] = [0, 10, 100];

fn late() -> Vec<Value> {
    latency(SECOND, Duration::ZERO, Some(Way::Out))
}

/// That of a client which has not got its 101 yet.
fn send(client: &Arc<Client>, text: &str) {
    client.send(Kind::Text, text, usize::MAX).unwrap();
}

/// A message, a fault that makes what follows the 101 late, and another message, for a client that does not take its 101.
async fn set_late(advanced: &Advanced<'_>, selector: Selector) {
    let client = advanced.simulation.server.clients().pop().unwrap();
    send(&client, "before");
    settle().await;
    set(advanced.simulation, "latency", late(), selector).await;
    send(&client, "after");
    settle().await;
}

fn messages() -> Vec<u8> {
    wire(&[sent(TEXT, "before"), sent(TEXT, "after")])
}

/// The 101 and `passing` bytes behind it are there.
fn expect_head(received: &[u8], passing: usize) {
    let end = received.len() - passing;
    assert!(received.starts_with(b"HTTP/1.1 101 "));
    assert!(received[..end].ends_with(b"\r\n\r\n"), "{received:?}");
    assert_eq!(received[end..], messages()[..passing]);
}

/// Takes all that comes from now on.
async fn take_all(peer: &Peer) -> Vec<u8> {
    peer.take_only(usize::MAX);
    settle().await;
    peer.take_received()
}

#[test]
fn who_does_not_take_its_101_gets_it_at_once_and_late_what_follows() {
    let selectors = [
        (Selector::default(), 0),
        (after_time(Duration::ZERO), 0),
        (after(3), 3),
    ];
    for (selector, passing) in selectors {
        for taken in TAKEN {
            Advanced::echo(Config::default(), async |advanced| {
                let peer = advanced.simulation.connect(Temper::even());
                peer.take_only(taken);
                peer.send(REQUEST);
                settle().await;
                set_late(advanced, selector.clone()).await;
                expect_head(&take_all(&peer).await, passing);
                advanced.advance_to_news(&peer, SECOND).await;
                assert_eq!(peer.take_received(), messages()[passing..]);
            });
        }
    }
}

#[test]
fn over_tls_too() {
    for version in VERSIONS {
        for taken in TAKEN {
            Advanced::echo(tls::config(), async |advanced| {
                let mut client = TlsPeer::new(advanced.simulation, Temper::even(), version);
                client.handshake().await;
                client.peer.take_only(taken);
                client.send(REQUEST);
                client.flush();
                settle().await;
                set_late(advanced, Selector::default()).await;
                let received = take_all(&client.peer).await;
                client.take(&received).unwrap();
                expect_head(&client.received, 0);
                client.received.clear();
                advanced.advance_to_news(&client.peer, SECOND).await;
                let received = client.peer.take_received();
                client.take(&received).unwrap();
                assert_eq!(client.received, messages());
            });
        }
    }
}

#[test]
fn what_is_slow_is_not_the_101_however_little_of_it_is_taken_at_once() {
    for is_tls in [false, true] {
        let config = if is_tls {
            tls::config()
        } else {
            Config::default()
        };
        Advanced::echo(config, async |advanced| {
            let simulation = advanced.simulation;
            let slow = bandwidth(1, Some(Way::Out));
            set(simulation, "bandwidth", slow, Selector::default()).await;
            let temper = Temper::moody(7);
            if is_tls {
                let mut client = TlsPeer::new(simulation, temper, VERSIONS[1]);
                client.sip = 7;
                client.send(REQUEST);
                while !client.received.ends_with(b"\r\n\r\n") {
                    assert!(client.step().await);
                }
            } else {
                let peer = simulation.connect(temper);
                peer.send(REQUEST);
                peer.read_head().await;
            }
        });
    }
}

#[test]
fn what_a_client_is_told_for_its_url_is_behind_the_101() {
    Advanced::echo(faults_by_url::config(), async |advanced| {
        let peer = faults_by_url::open(advanced.simulation, "info&latency=1").await;
        settle().await;
        advanced.advance_to_news(&peer, SECOND).await;
        assert_eq!(peer.read().await.0, TEXT);
    });
}
