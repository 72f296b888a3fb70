//! A client's answer to our close frame on a line that is slow inwards: it is waited for if it was sent in time, and a client
//! that does not answer has no longer for what it sends besides.

use super::advancing::Advanced;
use super::faults::{SECOND, set};
use super::faults_on_bytes::{bandwidth, latency, open, slice};
use super::stream::{Peer, Temper};
use super::{CLOSE, Config, Duration, TEXT, close, closed, frame, order_close, settle, tls};
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use crate::faults::values::Value;

const MILLI: Duration = Duration::from_millis(1);

fn late() -> Vec<Value> {
    latency(20 * SECOND, Duration::ZERO, Some(Way::In))
}

/// What makes bytes come in slowly, so that some hundred of them need more time than a closing handshake has.
fn faults() -> [(&'static str, Vec<Value>); 4] {
    let way = Some(Way::In);
    [
        ("latency", late()),
        ("latency", latency(20 * SECOND, SECOND, None)),
        ("bandwidth", bandwidth(20, way)),
        ("slice", slice(20, SECOND, way)),
    ]
}

/// Sets it, for all that clients send from now on.
async fn set_all(advanced: &Advanced<'_>, name: &str, values: Vec<Value>) {
    set(advanced.simulation, name, values, Selector::default()).await;
}

fn answer() -> Vec<u8> {
    frame(CLOSE, close::payload(4000, ""))
}

/// Our close frame has gone.
async fn close(advanced: &Advanced<'_>) {
    let client = advanced.simulation.server.clients().pop().unwrap();
    client.order(order_close(4000, ""));
    settle().await;
}

/// Advances until the server has ended its half, which it does for an answer, and has not let go instead.
async fn advance_to_answered(advanced: &Advanced<'_>, peer: &Peer, context: &str) {
    while !peer.is_over() {
        advanced.advance(100 * MILLI).await;
    }
    assert!(!peer.is_dropped(), "{context}");
}

#[test]
fn an_answer_that_a_fault_holds_back_is_waited_for() {
    for (name, values) in faults() {
        for len in [0, 300] {
            Advanced::echo(Config::default(), async |advanced| {
                let peer = open(advanced.simulation, Temper::even()).await;
                set_all(advanced, name, values.clone()).await;
                close(advanced).await;
                // It has sent something before it has seen our close frame.
                let message = frame(TEXT, "x".repeat(len));
                peer.send([message, answer()].concat());
                advance_to_answered(advanced, &peer, &format!("{name} {len}")).await;
            });
        }
    }
}

#[test]
fn one_that_a_fault_holds_back_which_was_set_after_our_close_frame_too() {
    Advanced::echo(Config::default(), async |advanced| {
        let peer = open(advanced.simulation, Temper::even()).await;
        close(advanced).await;
        set_all(advanced, "latency", late()).await;
        advanced.advance(4 * SECOND).await;
        peer.send(answer());
        advance_to_answered(advanced, &peer, "").await;
    });
}

#[test]
fn one_long_advance_waits_for_it_as_many_short_ones_do() {
    Advanced::echo(Config::default(), async |advanced| {
        set_all(advanced, "latency", late()).await;
        let peer = open(advanced.simulation, Temper::even()).await;
        close(advanced).await;
        peer.send(answer());
        advanced.advance(20 * SECOND).await;
        assert!(peer.is_over() && !peer.is_dropped());
    });
}

#[test]
fn over_tls_too() {
    for version in [0, 1] {
        Advanced::echo(tls::config(), async |advanced| {
            let mut client = tls::open(advanced.simulation, version).await;
            set_all(advanced, "latency", late()).await;
            close(advanced).await;
            client.send(answer());
            client.flush();
            advance_to_answered(advanced, &client.peer, "").await;
        });
    }
}

#[test]
fn who_says_nothing_has_no_longer() {
    for (name, values) in [
        ("latency", late()),
        ("bandwidth", bandwidth(20, Some(Way::In))),
    ] {
        Advanced::echo(Config::default(), async |advanced| {
            set_all(advanced, name, values.clone()).await;
            let peer = open(advanced.simulation, Temper::even()).await;
            close(advanced).await;
            advanced.advance_to_end(&peer, 5 * SECOND).await;
            assert_eq!(peer.read().await, closed(4000, ""));
        });
    }
}

#[test]
fn who_goes_on_sending_and_does_not_answer_is_waited_for_only_as_long_as_what_it_had_sent_in_time()
{
    let way = Some(Way::In);
    let cases = [
        ("latency", late(), 10),
        ("latency", late(), 200_000),
        ("bandwidth", bandwidth(1000, way), 10),
        // Here more than passes is sent all the time. So as much counts as a line holds, which are some pieces.
        ("bandwidth", bandwidth(100 << 20, way), 200_000),
    ];
    for (name, values, len) in cases {
        Advanced::echo(Config::default(), async |advanced| {
            set_all(advanced, name, values.clone()).await;
            let peer = open(advanced.simulation, Temper::even()).await;
            close(advanced).await;
            for _ in 0..30 {
                peer.send(frame(TEXT, "x".repeat(len)));
                advanced.advance(SECOND).await;
            }
            assert!(peer.is_dropped(), "{name} {len}");
        });
    }
}

#[test]
fn who_does_not_take_our_close_frame_does_not_answer_it() {
    Advanced::echo(Config::default(), async |advanced| {
        set_all(advanced, "latency", late()).await;
        let peer = open(advanced.simulation, Temper::even()).await;
        peer.take_only(0);
        close(advanced).await;
        peer.send(frame(TEXT, "x"));
        advanced.advance_to_end(&peer, 5 * SECOND).await;
    });
}

#[test]
fn what_a_fault_holds_back_is_read_before_tcp_ends() {
    // Unread, it would make a reset of the end, which destroys what the client has not read.
    Advanced::echo(Config::default(), async |advanced| {
        let values = bandwidth(20, Some(Way::In));
        set_all(advanced, "bandwidth", values).await;
        let peer = open(advanced.simulation, Temper::even()).await;
        peer.send([answer(), vec![0; 300]].concat());
        peer.send_end();
        while !peer.is_dropped() {
            advanced.advance(100 * MILLI).await;
        }
        assert_eq!(peer.unread(), 0);
    });
}
