//! What a slow line holds up, and whom: not other clients, not who has left, not what was sent before an end, and nothing
//! any more when a fault has ended.

use super::faults::{SECOND, end, only, set};
use super::faults_by_url;
use super::faults_on_bytes::{bandwidth, latency, open, slice};
use super::stream::Temper;
use super::{
    CLOSE, Config, Duration, PING, PONG, REQUEST, Simulation, TEXT, close, closed, frame, sent,
    settle,
};
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use crate::order::Order;
use tokio::time::{Instant, sleep};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn many_small_pieces_are_more_than_one_turn() {
    Simulation::echo(Config::default(), async |simulation| {
        let way = Some(Way::In);
        let values = latency(SECOND, Duration::ZERO, way);
        set(simulation, "latency", values, Selector::default()).await;
        let values = slice(1, Duration::ZERO, way);
        set(simulation, "slice", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        let begun = Instant::now();
        peer.send(frame(TEXT, "x").repeat(1000));
        // All of them are due now, and others have their turn before the last of them.
        let mut len = peer.read_any().await.len();
        assert!(len < 100, "{len}");
        while len < 3000 {
            len += peer.read_any().await.len();
        }
        assert_eq!(begun.elapsed(), SECOND);
    });
}

#[test]
fn a_slow_line_that_need_not_wait_leaves_others_their_turn_after_some_moves() {
    let (len, most) = (4000, 20);
    for way in [Way::In, Way::Out] {
        Simulation::echo(Config::default(), async |simulation| {
            let (flood, client) = simulation.open().await;
            let (other, _) = simulation.open().await;
            let values = slice(1, Duration::ZERO, Some(way));
            set(simulation, "slice", values, only(&client)).await;
            flood.send(frame(TEXT, "x".repeat(len)));
            let (mut turns, mut come) = (0, 0);
            while come < len {
                other.send(frame(PING, "?"));
                assert_eq!(other.read().await, sent(PONG, "?"));
                come += flood.take_received().len();
                turns += 1;
            }
            assert!(turns > len / most, "{way:?}: {turns}");
        });
    }
}

#[test]
fn what_waits_for_its_rate_behind_a_delay_is_not_cut_off() {
    let config = Config {
        close_timeout: SECOND,
        ..Config::default()
    };
    let paces = [
        ("bandwidth", bandwidth(20, Some(Way::Out))),
        ("slice", slice(20, SECOND / 2, Some(Way::Out))),
    ];
    for (name, pace) in paces {
        for last in [
            Some(frame(CLOSE, close::payload(1000, ""))),
            Some(vec![0xff]),
            None,
        ] {
            Simulation::echo(config.clone(), async |simulation| {
                let values = latency(50 * MILLI, Duration::ZERO, Some(Way::Out));
                set(simulation, "latency", values, Selector::default()).await;
                set(simulation, name, pace.clone(), Selector::default()).await;
                let peer = open(simulation, Temper::even()).await;
                peer.send(frame(TEXT, "x".repeat(100)));
                let Some(last) = &last else {
                    peer.send_end();
                    assert_eq!(peer.read().await, sent(TEXT, "x".repeat(100)));
                    return peer.expect_shut_down().await;
                };
                peer.send(last);
                assert_eq!(peer.read().await, sent(TEXT, "x".repeat(100)));
                assert_eq!(peer.read().await.0, CLOSE);
                peer.expect_shut_down().await;
                // Now it is up to the client.
                let begun = Instant::now();
                peer.expect_drop().await;
                let time = begun.elapsed();
                assert!(time >= SECOND && time <= 2 * SECOND, "{time:?}");
            });
        }
    }
}

#[test]
fn who_has_closed_and_asked_for_that_itself_has_ten_minutes() {
    Simulation::echo(faults_by_url::config(), async |simulation| {
        let peer = faults_by_url::open(simulation, "bandwidth=1&latency=0.001").await;
        let begun = Instant::now();
        let close = frame(CLOSE, close::payload(1000, ""));
        peer.send([frame(TEXT, "x".repeat(2000)), close].concat());
        sleep(599 * SECOND).await;
        assert!(!peer.is_dropped());
        peer.expect_drop().await;
        assert!(begun.elapsed() <= 611 * SECOND);
    });
}

#[test]
fn what_has_ended_delays_nothing_though_another_one_goes_on() {
    for way in [Way::In, Way::Out] {
        Simulation::echo(Config::default(), async |simulation| {
            let of = |seconds| latency(seconds, Duration::ZERO, Some(way));
            set(simulation, "latency", of(10 * MILLI), Selector::default()).await;
            let peer = open(simulation, Temper::even()).await;
            for lasts in [Duration::ZERO, SECOND] {
                let fault = set(simulation, "latency", of(40 * SECOND), Selector::default()).await;
                peer.send(frame(TEXT, "x"));
                sleep(lasts).await;
                settle().await;
                let begun = Instant::now();
                end(simulation, &fault).await;
                assert_eq!(peer.read().await, sent(TEXT, "x"), "{way:?}");
                // What goes on has its own delay since it was sent.
                assert_eq!(begun.elapsed(), (10 * MILLI).saturating_sub(lasts));
            }
            // The end of the stream, too, also when only that is left to be sent.
            let fault = set(simulation, "latency", of(40 * SECOND), Selector::default()).await;
            if way == Way::In {
                peer.send_end();
            } else {
                peer.send(frame(CLOSE, close::payload(1000, "")));
            }
            settle().await;
            assert!(peer.is_silent());
            let begun = Instant::now();
            end(simulation, &fault).await;
            if way == Way::Out {
                assert_eq!(peer.read().await, closed(1000, ""));
            }
            peer.expect_shut_down().await;
            assert_eq!(begun.elapsed(), 10 * MILLI);
        });
    }
}

#[test]
fn a_rate_that_has_ended_holds_up_nothing_though_another_one_goes_on() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = bandwidth(1 << 20, None);
        set(simulation, "bandwidth", values, Selector::default()).await;
        let values = bandwidth(1, Some(Way::Out));
        let fault = set(simulation, "bandwidth", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        peer.send(frame(TEXT, "12345"));
        assert_eq!(peer.read_any().await, b"\x81");
        let begun = Instant::now();
        end(simulation, &fault).await;
        assert_eq!(peer.read_any().await, b"\x0512345");
        assert!(begun.elapsed() < 50 * MILLI, "{:?}", begun.elapsed());
    });
}

#[test]
fn who_has_reset_a_line_that_it_has_slowed_down_itself_is_gone() {
    for query in [
        "bandwidth=1",
        "slice=1,gap:60",
        "latency=60",
        "latency=60&bandwidth=1",
    ] {
        let query = query.replace('&', ",direction:in&") + ",direction:in";
        // A reset may also overtake all that was sent before it.
        for count in [20, 0] {
            Simulation::echo(faults_by_url::config(), async |simulation| {
                let peer = faults_by_url::open(simulation, &query).await;
                peer.send(frame(TEXT, "x".repeat(100)).repeat(count));
                settle().await;
                peer.reset();
                settle().await;
                assert!(peer.is_dropped(), "{query} {count}");
                assert_eq!(simulation.server.client_count(), 0);
                assert_eq!(simulation.used(), 0);
            });
        }
    }
}

#[test]
fn who_does_not_take_its_101_holds_up_nobody_who_sets_a_fault() {
    Simulation::echo(Config::default(), async |simulation| {
        let peer = simulation.connect(Temper::even());
        peer.take_only(10);
        peer.send(REQUEST);
        settle().await;
        // This waits until all have heard of it.
        let values = latency(SECOND, Duration::ZERO, Some(Way::Out));
        set(simulation, "latency", values, Selector::default()).await;
        peer.take_only(usize::MAX);
        peer.read_head().await;
        let begun = Instant::now();
        peer.send(frame(TEXT, "x"));
        assert_eq!(peer.read().await, sent(TEXT, "x"));
        assert_eq!(begun.elapsed(), SECOND);
    });
}

#[test]
fn who_is_paused_is_not_read_from_where_nothing_delays_what_it_sends() {
    let faults = [
        ("latency", latency(SECOND, Duration::ZERO, Some(Way::Out))),
        ("bandwidth", bandwidth(1000, None)),
    ];
    for (name, values) in faults {
        Simulation::echo(Config::default(), async |simulation| {
            set(simulation, name, values.clone(), Selector::default()).await;
            let peer = open(simulation, Temper::even()).await;
            let client = simulation.server.clients().pop().unwrap();
            client.order(Order::Pause);
            settle().await;
            peer.send(vec![0; 100_000]);
            settle().await;
            assert_eq!((peer.unread(), simulation.used()), (100_000, 0), "{name}");
        });
    }
}
