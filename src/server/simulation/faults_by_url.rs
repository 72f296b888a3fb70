//! Faults that a client asks for itself: they are its own, they cost it something, and they don't last for ever.

use super::faults::{SECOND, end, set};
use super::faults_on_bytes::{bandwidth, latency};
use super::stream::Temper;
use super::{
    CLOSE, Config, Duration, Peer, REQUEST, Simulation, TEXT, close, closed, frame, sent, settle,
};
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use crate::faults::values::Value;
use crate::order::Order;
use tokio::time::{Instant, sleep};

pub(super) fn config() -> Config {
    Config {
        fault_urls: true,
        ..Config::default()
    }
}

fn ask(simulation: &Simulation, query: &str) -> Peer {
    let peer = simulation.connect(Temper::even());
    peer.send(REQUEST.replacen("GET /", &format!("GET /faults?{query}"), 1));
    peer
}

pub(super) async fn open(simulation: &Simulation, query: &str) -> Peer {
    let peer = ask(simulation, query);
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
    peer
}

#[test]
fn they_are_of_one_connection() {
    Simulation::echo(config(), async |simulation| {
        let query = "replace=b,after:1,times:1&close=4000,after:3,reason:done";
        let (peer, other) = (
            open(simulation, query).await,
            open(simulation, "seed=1").await,
        );
        for text in ["1", "2", "3", "4"] {
            peer.send(frame(TEXT, text));
            other.send(frame(TEXT, text));
        }
        for text in ["1", "b", "3"] {
            assert_eq!(peer.read().await, sent(TEXT, text));
        }
        assert_eq!(peer.read().await, closed(4000, "done"));
        peer.send(frame(CLOSE, close::payload(4000, "")));
        peer.expect_shut_down().await;
        for text in ["1", "2", "3", "4"] {
            assert_eq!(other.read().await, sent(TEXT, text));
        }
    });
}

#[test]
fn who_is_held_is_dropped_after_ten_minutes() {
    for query in ["freeze", "no-close-reply", "half-close", "freeze&info"] {
        Simulation::echo(config(), async |simulation| {
            let begun = Instant::now();
            let peer = open(simulation, query).await;
            peer.send([frame(TEXT, "a"), frame(CLOSE, close::payload(1000, ""))].concat());
            sleep(599 * SECOND).await;
            assert!(!peer.is_dropped(), "{query}");
            // It has a place as long.
            assert_eq!(simulation.server.client_count(), 1);
            peer.expect_drop().await;
            assert_eq!(begun.elapsed(), 600 * SECOND, "{query}");
        });
    }
}

#[test]
fn what_the_server_has_set_lasts_until_it_ends_also_for_who_asks_for_others() {
    for query in ["", "no-pong", "latency=0.01", "half-close,after:9"] {
        for name in ["freeze", "no-close-reply", "half-close"] {
            Simulation::echo(config(), async |simulation| {
                let peer = open(simulation, query).await;
                let fault = set(simulation, name, Vec::new(), Selector::default()).await;
                peer.send([frame(TEXT, "a"), frame(CLOSE, close::payload(1000, ""))].concat());
                sleep(2000 * SECOND).await;
                assert!(!peer.is_dropped(), "{name} {query}");
                end(simulation, &fault).await;
                if name == "half-close" {
                    peer.send_end();
                } else {
                    assert_eq!(peer.read().await, sent(TEXT, "a"));
                    assert_eq!(peer.read().await, closed(1000, ""));
                }
                peer.expect_shut_down().await;
            });
        }
    }
}

#[test]
fn a_slow_line_of_the_servers_holds_up_an_end_as_long_as_it_takes() {
    let closes = frame(CLOSE, close::payload(1000, ""));
    for leaves in [None, Some(closes)] {
        Simulation::echo(config(), async |simulation| {
            for (name, values) in [
                ("latency", latency(SECOND, Duration::ZERO, Some(Way::Out))),
                ("bandwidth", bandwidth(1, Some(Way::Out))),
            ] {
                set(simulation, name, values, Selector::default()).await;
            }
            let peer = open(simulation, "no-pong").await;
            let begun = Instant::now();
            peer.send(frame(TEXT, "x".repeat(2000)));
            match &leaves {
                Some(close) => peer.send(close),
                None => peer.send_end(),
            }
            assert_eq!(peer.read().await, sent(TEXT, "x".repeat(2000)));
            if leaves.is_some() {
                assert_eq!(peer.read().await, closed(1000, ""));
            }
            peer.expect_shut_down().await;
            assert!(begun.elapsed() > 2000 * SECOND);
        });
    }
}

#[test]
fn on_a_slow_line_of_the_servers_who_asks_for_others_is_read_from_as_anybody() {
    Simulation::echo(config(), async |simulation| {
        let values = bandwidth(1000, None);
        set(simulation, "bandwidth", values, Selector::default()).await;
        let peer = open(simulation, "no-pong").await;
        let client = simulation.server.clients().pop().unwrap();
        client.order(Order::Pause);
        settle().await;
        peer.send(vec![0; 100_000]);
        settle().await;
        assert_eq!((peer.unread(), simulation.used()), (100_000, 0));
    });
}

#[test]
fn who_goes_is_not_waited_for_while_nothing_is_answered() {
    for query in ["hang", "delay=1&hang"] {
        // Also more than is kept of what comes before an answer.
        for len in [0, 1, 100_000] {
            Simulation::echo(config(), async |simulation| {
                let peer = ask(simulation, query);
                sleep(2 * SECOND).await;
                peer.send(vec![0; len]);
                peer.send_end();
                let begun = Instant::now();
                peer.expect_shut_down().await;
                assert!(begun.elapsed() < SECOND, "{query} {len}");
            });
        }
    }
}

#[test]
fn after_a_delay_comes_what_the_server_has_set() {
    Simulation::echo(config(), async |simulation| {
        let values = vec![Value::Count(503), Value::Text(String::new())];
        let fault = set(simulation, "status", values, Selector::default()).await;
        for (count, query) in (1..).zip(["seed=1", "delay=1", "delay=1&delay=2"]) {
            let begun = Instant::now();
            let peer = ask(simulation, query);
            let head = peer.read_head().await;
            assert!(head.starts_with("HTTP/1.1 503 "), "{query}: {head}");
            assert_eq!((begun.elapsed() + SECOND).as_secs(), [1, 2, 4][count - 1]);
            assert_eq!(fault.hits(), count as u64);
        }
        // What answers itself goes first.
        let peer = ask(simulation, "delay=1&status=404");
        assert!(peer.read_head().await.starts_with("HTTP/1.1 404 "));
        assert_eq!(fault.hits(), 3);
    });
}

#[test]
fn who_is_not_held_is_left_alone() {
    Simulation::echo(config(), async |simulation| {
        let peer = open(
            simulation,
            "no-close-reply&no-pong&latency=30&half-close,after:9",
        )
        .await;
        for _ in 0..3 {
            sleep(700 * SECOND).await;
            peer.send(frame(TEXT, "a"));
            assert_eq!(peer.read().await, sent(TEXT, "a"));
        }
        // It is looked at every ten minutes: at 2400 s, the next time.
        let begun = Instant::now();
        peer.send(frame(CLOSE, close::payload(1000, "")));
        peer.expect_drop().await;
        assert!(begun.elapsed() <= 600 * SECOND);
    });
}

#[test]
fn a_slow_line_holds_up_the_end_of_a_connection_for_ten_minutes_at_most() {
    Simulation::echo(config(), async |simulation| {
        let peer = open(simulation, "bandwidth=1&latency=0.001").await;
        let client = simulation.server.clients().pop().unwrap();
        peer.send(frame(TEXT, "x".repeat(2000)));
        settle().await;
        let begun = Instant::now();
        client.order(super::order_close(4000, ""));
        sleep(599 * SECOND).await;
        assert!(!peer.is_dropped());
        peer.expect_drop().await;
        assert!(begun.elapsed() <= 610 * SECOND);
    });
}

#[test]
fn what_is_asked_for_is_charged() {
    let config = Config {
        memory_limit: 16 << 10,
        ..config()
    };
    Simulation::echo(config, async |simulation| {
        let plain = open(simulation, "").await;
        let used = || simulation.server.stats().memory_used;
        let before = used();
        let query = format!("replace=data:{}", "x".repeat(1000));
        let peer = open(simulation, &query).await;
        // The text twice: of the request, and of what it asks for.
        let cost = used() - before;
        assert!(cost > 2500, "{cost}");
        // What there is no room for is refused: the request itself is given back.
        let query = format!("{query}{}", "&latency=0".repeat(15));
        let refused = ask(simulation, &query);
        assert!(refused.read_head().await.starts_with("HTTP/1.1 503 "));
        peer.send_end();
        settle().await;
        drop(peer);
        settle().await;
        assert_eq!(used(), before);
        plain.send(frame(TEXT, "a"));
        assert_eq!(plain.read().await, sent(TEXT, "a"));
    });
}

#[test]
fn a_message_that_is_made_many_times_as_long_is_not_made_at_once() {
    let config = Config {
        memory_limit: 2 << 20,
        ..config()
    };
    Simulation::echo(config, async |simulation| {
        let query = format!("replace={}&duplicate=10", "x".repeat(12_000));
        let peer = open(simulation, &query).await;
        peer.take_only(0);
        // A read's worth of messages, each answered by 132 kB.
        peer.send(frame(TEXT, "").repeat(10_000));
        settle().await;
        // What is not taken is not made: nobody has run out of memory for it.
        assert!(!peer.is_dropped());
        let used = simulation.server.stats().memory_used;
        assert!(used < 1 << 20, "{used}");
        let other = open(simulation, "").await;
        other.send(frame(TEXT, "a"));
        assert_eq!(other.read().await, sent(TEXT, "a"));
    });
}

#[test]
fn on_a_slow_line_of_its_own_it_has_a_place_until_it_is_gone() {
    let config = Config {
        max_connections: Some(1),
        ..config()
    };
    Simulation::echo(config, async |simulation| {
        let peer = open(simulation, "bandwidth=1&latency=0.001").await;
        peer.send(frame(TEXT, "x".repeat(2000)));
        peer.send(frame(CLOSE, close::payload(1000, "")));
        sleep(500 * SECOND).await;
        assert_eq!(simulation.server.client_count(), 0);
        let head = ask(simulation, "").read_head().await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        peer.expect_drop().await;
        open(simulation, "").await;
    });
}
