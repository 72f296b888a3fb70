//! Faults that end a connection, or keep it from its end.

use super::faults::{SECOND, after, after_time, end, only, set};
use super::{
    CLOSE, Config, Duration, PING, PONG, Peer, Simulation, TEXT, close, closed, frame, order_close,
    sent, settle,
};
use crate::client::Client;
use crate::faults::selector::Selector;
use crate::faults::values::Value;
use crate::order::Order;
use crate::protocol::message::Kind;
use std::sync::Arc;
use tokio::time::{Instant, sleep};

fn text(code: u16, reason: &str) -> Vec<Value> {
    vec![Value::Code(code), Value::Text(reason.to_owned())]
}

#[test]
fn a_close_a_reset_and_a_half_close_come_instead_of_a_frame() {
    for name in ["close", "reset", "half-close"] {
        Simulation::echo(Config::default(), async |simulation| {
            let values = if name == "close" {
                text(4000, "enough")
            } else {
                Vec::new()
            };
            let fault = set(simulation, name, values, after(1)).await;
            let (peer, client) = simulation.open().await;
            for text in ["1", "2", "3"] {
                peer.send(frame(TEXT, text));
            }
            assert_eq!(peer.read().await, sent(TEXT, "1"));
            match name {
                "close" => {
                    assert_eq!(peer.read().await, closed(4000, "enough"));
                    peer.send(frame(CLOSE, close::payload(4000, "")));
                    peer.expect_shut_down().await;
                }
                "reset" => {
                    peer.expect_drop().await;
                    assert!(peer.is_reset());
                }
                _ => {
                    peer.expect_shut_down().await;
                    sleep(1000 * SECOND).await;
                    assert!(!peer.is_dropped() && !client.is_open() && client.ended().is_none());
                    peer.send(frame(TEXT, "read, and thrown away"));
                    settle().await;
                    assert_eq!(peer.unread(), 0);
                    peer.send_end();
                    peer.expect_drop().await;
                    assert!(!peer.is_reset());
                }
            }
            settle().await;
            let code = if name == "close" { 4000 } else { 1006 };
            assert_eq!(client.ended().unwrap().0, code);
            assert_eq!(fault.hits(), 1);
        });
    }
}

#[test]
fn an_end_comes_in_its_time_to_who_says_nothing() {
    Simulation::echo(Config::default(), async |simulation| {
        let begun = Instant::now();
        set(simulation, "close", text(1008, ""), after_time(2 * SECOND)).await;
        let (peer, _) = simulation.open().await;
        peer.send(frame(TEXT, "before"));
        assert_eq!(peer.read().await, sent(TEXT, "before"));
        assert_eq!(peer.read().await, closed(1008, ""));
        assert_eq!(begun.elapsed(), 2 * SECOND);
        // Who is there when it is set has its time from its 101 on, too.
        set(simulation, "reset", Vec::new(), after_time(SECOND)).await;
        let (peer, _) = simulation.open().await;
        peer.expect_drop().await;
        assert!(peer.is_reset());
        assert_eq!(begun.elapsed(), 3 * SECOND);
    });
}

#[test]
fn a_time_counts_from_the_101_whenever_the_fault_was_set() {
    Simulation::echo(Config::default(), async |simulation| {
        let (old, _) = simulation.open().await;
        sleep(10 * SECOND).await;
        let (new, _) = simulation.open().await;
        // The first fault that they hear of.
        set(simulation, "drop", Vec::new(), after_time(10 * SECOND)).await;
        for peer in [&old, &new] {
            peer.send([frame(TEXT, "a"), frame(PING, "")].concat());
        }
        assert_eq!(old.read().await, sent(PONG, ""));
        assert_eq!(new.read().await, sent(TEXT, "a"));
        assert_eq!(new.read().await, sent(PONG, ""));
        let begun = Instant::now();
        set(simulation, "close", text(1008, ""), after_time(9 * SECOND)).await;
        for (peer, time) in [(&old, Duration::ZERO), (&new, 9 * SECOND)] {
            assert_eq!(peer.read().await, closed(1008, ""));
            assert_eq!(begun.elapsed(), time);
        }
    });
}

#[test]
fn a_cut_waits_for_what_was_sent_and_no_longer_than_a_close_does() {
    Simulation::echo(Config::default(), async |simulation| {
        set(simulation, "reset", Vec::new(), after(1)).await;
        let (peer, client) = simulation.open().await;
        peer.take_only(3);
        peer.send([frame(TEXT, "first"), frame(TEXT, "second")].concat());
        settle().await;
        assert!(!peer.is_dropped() && !client.is_open());
        peer.take_only(100);
        peer.expect_drop().await;
        assert!(peer.is_reset());
        assert_eq!(peer.take_received(), b"\x81\x05first");

        let (peer, _) = simulation.open().await;
        peer.take_only(3);
        peer.send([frame(TEXT, "first"), frame(TEXT, "second")].concat());
        let begun = Instant::now();
        peer.expect_drop().await;
        assert!(peer.is_reset());
        assert_eq!(begun.elapsed(), 5 * SECOND);
    });
}

#[test]
fn pings_are_not_answered_while_that_lasts() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, _) = simulation.open().await;
        let fault = set(simulation, "no-pong", Vec::new(), Selector::default()).await;
        peer.send(frame(PING, "1"));
        peer.send(frame(TEXT, "echoed"));
        assert_eq!(peer.read().await, sent(TEXT, "echoed"));
        end(simulation, &fault).await;
        peer.send(frame(PING, "2"));
        assert_eq!(peer.read().await, sent(PONG, "2"));
        assert_eq!(fault.hits(), 1);
    });
}

#[test]
fn a_close_frame_is_not_answered_and_the_end_of_the_client_seen() {
    Simulation::echo(Config::default(), async |simulation| {
        let fault = set(
            simulation,
            "no-close-reply",
            Vec::new(),
            Selector::default(),
        )
        .await;
        let (peer, client) = simulation.open().await;
        peer.send(frame(TEXT, "echoed"));
        peer.send(frame(CLOSE, close::payload(1001, "bye")));
        assert_eq!(peer.read().await, sent(TEXT, "echoed"));
        sleep(1000 * SECOND).await;
        assert!(peer.is_silent() && client.ended().is_none());
        assert_eq!(fault.hits(), 1);
        // What comes after it is no business of anybody's.
        peer.send(vec![0; 10 << 20]);
        peer.send_end();
        settle().await;
        peer.expect_drop().await;
        assert_eq!(client.ended(), Some(&(1001, "bye".to_owned())));

        let (peer, _) = simulation.open().await;
        peer.send(frame(CLOSE, close::payload(1001, "bye")));
        settle().await;
        assert!(peer.is_silent());
        end(simulation, &fault).await;
        assert_eq!(peer.read().await, closed(1001, "bye"));
        peer.expect_shut_down().await;
    });
}

/// A client on whom a fault has a hold.
async fn held(simulation: &Simulation, name: &str) -> (Peer, Arc<Client>) {
    let (peer, client) = simulation.open().await;
    set(simulation, name, Vec::new(), only(&client)).await;
    match name {
        "no-close-reply" => peer.send(frame(CLOSE, "")),
        "half-close" => {
            peer.send(frame(TEXT, ""));
            peer.expect_shut_down().await;
        }
        _ => {}
    }
    settle().await;
    (peer, client)
}

#[test]
fn who_is_held_is_dropped_by_an_abort_a_reset_and_a_stop_at_once() {
    for name in ["freeze", "no-close-reply", "half-close"] {
        Simulation::echo(Config::default(), async |simulation| {
            let (aborted, client) = held(simulation, name).await;
            client.order(Order::Abort);
            settle().await;
            assert!(aborted.is_dropped(), "{name}");
            let (reset, _) = held(simulation, name).await;
            let _pending = simulation.server.reset();
            settle().await;
            assert!(reset.is_dropped() && reset.is_reset(), "{name}");
            let (stopped, _) = held(simulation, name).await;
            let (other, _) = simulation.open().await;
            simulation.server.stop(60 * SECOND);
            assert_eq!(other.read().await, closed(1001, "the server is stopping"));
            settle().await;
            assert!(stopped.is_dropped(), "{name}");
        });
    }
}

#[test]
fn what_is_frozen_does_nothing_and_goes_on_when_it_thaws() {
    let config = Config {
        idle_timeout: Some(3 * SECOND),
        ping_interval: Some(SECOND),
        ping_timeout: SECOND,
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let fault = set(simulation, "freeze", Vec::new(), Selector::default()).await;
        let (peer, client) = simulation.open().await;
        peer.send(frame(TEXT, "asked"));
        peer.send(frame(PING, ""));
        client.send(Kind::Text, "sent", 1 << 20).unwrap();
        sleep(1000 * SECOND).await;
        assert!(peer.is_silent() && peer.unread() > 0 && client.is_open());
        assert_eq!((fault.hits(), client.queued() > 0), (1, true));
        end(simulation, &fault).await;
        assert_eq!(peer.read().await, sent(TEXT, "sent"));
        assert_eq!(peer.read().await, sent(TEXT, "asked"));
        assert_eq!(peer.read().await, sent(PONG, ""));
        assert_eq!(client.queued(), 0);
        // It is alive from then on.
        assert_eq!(peer.read().await.0, PING);
    });
}

#[test]
fn a_frozen_client_is_closed_when_it_thaws_and_cut_at_once() {
    Simulation::echo(Config::default(), async |simulation| {
        let fault = set(simulation, "freeze", Vec::new(), Selector::default()).await;
        let (peer, client) = simulation.open().await;
        client.order(order_close(4000, ""));
        sleep(1000 * SECOND).await;
        assert!(peer.is_silent());
        let (cut, client) = simulation.open().await;
        let selector = Selector {
            client: Some(client.id),
            ..after_time(2000 * SECOND)
        };
        set(simulation, "reset", Vec::new(), selector).await;
        cut.expect_drop().await;
        assert!(cut.is_reset() && !peer.is_dropped());
        end(simulation, &fault).await;
        assert_eq!(peer.read().await, closed(4000, ""));
    });
}

#[test]
fn what_ends_already_is_no_opportunity_for_an_end() {
    Simulation::echo(Config::default(), async |simulation| {
        let fault = set(simulation, "reset", Vec::new(), after_time(SECOND)).await;
        let (peer, _) = simulation.open().await;
        let client = simulation.server.clients().pop().unwrap();
        client.order(order_close(4000, ""));
        assert_eq!(peer.read().await, closed(4000, ""));
        sleep(2 * SECOND).await;
        settle().await;
        assert_eq!(fault.hits(), 0);
    });
}
