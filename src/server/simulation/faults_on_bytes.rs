//! A slow line below a connection, to the millisecond: in which direction, in which pieces, and what is kept meanwhile.

use super::faults::{SECOND, after, end, set};
use super::stream::Temper;
use super::tls_peer::{TlsPeer, VERSIONS};
use super::{
    CLOSE, Config, Duration, PING, PONG, Peer, REQUEST, Simulation, TEXT, close, closed, frame,
    sent, settle,
};
use crate::faults::fault::Fault;
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use crate::faults::values::Value;
use crate::order::Order;
use tokio::time::{Instant, sleep};

const MILLI: Duration = Duration::from_millis(1);

pub(super) fn latency(latency: Duration, jitter: Duration, way: Option<Way>) -> Vec<Value> {
    vec![
        Value::Seconds(latency),
        Value::Seconds(jitter),
        Value::Direction(way),
    ]
}

pub(super) fn bandwidth(rate: u64, way: Option<Way>) -> Vec<Value> {
    vec![Value::Count(rate), Value::Direction(way)]
}

pub(super) fn slice(size: u64, gap: Duration, way: Option<Way>) -> Vec<Value> {
    vec![
        Value::Count(size),
        Value::Seconds(gap),
        Value::Direction(way),
    ]
}

pub(super) async fn open(simulation: &Simulation, temper: Temper) -> Peer {
    let peer = simulation.connect(temper);
    peer.send(REQUEST);
    // The 101 comes at once.
    let begun = Instant::now();
    peer.read_head().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    peer
}

#[test]
fn bytes_arrive_later_each_way_and_do_not_wait_for_each_other() {
    for (way, expected) in [(Some(Way::Out), 1), (Some(Way::In), 1), (None, 2)] {
        Simulation::echo(Config::default(), async |simulation| {
            let values = latency(SECOND, Duration::ZERO, way);
            let fault = set(simulation, "latency", values, Selector::default()).await;
            let peer = open(simulation, Temper::even()).await;
            let begun = Instant::now();
            // One after the other, each before the answer to the one before it.
            for number in 0..5 {
                peer.send(frame(TEXT, format!("{number}")));
                peer.send(frame(PING, format!("{number}")));
                sleep(100 * MILLI).await;
            }
            for number in 0..5 {
                assert_eq!(peer.read().await, sent(TEXT, format!("{number}")));
                assert_eq!(begun.elapsed(), expected * SECOND + number * 100 * MILLI);
                assert_eq!(peer.read().await, sent(PONG, format!("{number}")));
            }
            assert_eq!(fault.hits(), 1);
            assert_eq!(simulation.used(), 0);
            // The answer to a close is late, too, and no less than that.
            let begun = Instant::now();
            peer.send(frame(CLOSE, close::payload(1000, "")));
            assert_eq!(peer.read().await, closed(1000, ""));
            assert_eq!(begun.elapsed(), expected * SECOND);
            peer.expect_shut_down().await;
            peer.send_end();
            peer.expect_drop().await;
        });
    }
}

#[test]
fn what_is_held_up_goes_on_at_once_when_that_ends() {
    Simulation::echo(Config::default(), async |simulation| {
        for way in [Way::In, Way::Out] {
            let values = latency(60 * SECOND, Duration::ZERO, Some(way));
            let fault = set(simulation, "latency", values, Selector::default()).await;
            let peer = open(simulation, Temper::even()).await;
            peer.send(frame(TEXT, "late"));
            settle().await;
            assert!(peer.is_silent() && simulation.used() > 0);
            let begun = Instant::now();
            end(simulation, &fault).await;
            assert_eq!(peer.read().await, sent(TEXT, "late"));
            peer.send(frame(TEXT, "soon"));
            assert_eq!(peer.read().await, sent(TEXT, "soon"));
            assert_eq!(begun.elapsed(), Duration::ZERO);
            assert_eq!(simulation.used(), 0);
        }
    });
}

#[test]
fn a_rate_is_kept_each_way() {
    for way in [Way::Out, Way::In] {
        Simulation::echo(Config::default(), async |simulation| {
            let values = bandwidth(10_000, Some(way));
            set(simulation, "bandwidth", values, Selector::default()).await;
            let peer = open(simulation, Temper::even()).await;
            let begun = Instant::now();
            peer.send(frame(TEXT, "x".repeat(50_000)));
            assert_eq!(peer.read().await.1.len(), 50_000);
            let took = begun.elapsed().as_millis();
            assert!((4900..5100).contains(&took), "{way:?}: {took} ms");
            assert_eq!(simulation.used(), 0);
        });
    }
}

#[test]
fn bytes_come_in_slices_with_gaps() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = slice(3, SECOND, Some(Way::Out));
        set(simulation, "slice", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        peer.send(frame(TEXT, "12345"));
        let begun = Instant::now();
        assert_eq!(peer.read_any().await, b"\x81\x051");
        assert_eq!(peer.read_any().await, b"234");
        assert_eq!(begun.elapsed(), SECOND);
        assert_eq!(peer.read_any().await, b"5");
        assert_eq!(begun.elapsed(), 2 * SECOND);
        // With a delay before it each slice comes as late, and the next one after its gap.
        let values = latency(10 * SECOND, Duration::ZERO, Some(Way::Out));
        set(simulation, "latency", values, Selector::default()).await;
        peer.send(frame(TEXT, "12345"));
        let begun = Instant::now();
        for (number, slice) in [&b"\x81\x051"[..], b"234", b"5"].into_iter().enumerate() {
            assert_eq!(peer.read_any().await, slice);
            let gaps = u32::try_from(number).unwrap();
            assert_eq!(begun.elapsed(), (10 + gaps) * SECOND);
        }
    });
}

#[test]
fn a_gap_ends_with_its_fault_also_if_a_rate_goes_on() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = bandwidth(1 << 20, Some(Way::Out));
        set(simulation, "bandwidth", values, Selector::default()).await;
        let values = slice(2, 60 * SECOND, Some(Way::Out));
        let fault = set(simulation, "slice", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        peer.send(frame(TEXT, "12345"));
        assert_eq!(peer.read_any().await, b"\x81\x05");
        let begun = Instant::now();
        end(simulation, &fault).await;
        assert_eq!(peer.read_any().await, b"12345");
        assert!(begun.elapsed() < 10 * MILLI);
    });
}

/// Of what the client gets next `fault` lets four bytes pass, and the rest a second later.
async fn four_bytes_pass(peer: &Peer, fault: &Fault) {
    let begun = Instant::now();
    peer.send(frame(TEXT, "12345"));
    assert_eq!(peer.read_any().await, b"\x81\x0512");
    assert_eq!((begun.elapsed(), fault.hits()), (Duration::ZERO, 1));
    assert_eq!(peer.read_any().await, b"345");
    assert_eq!(begun.elapsed(), SECOND);
}

#[test]
fn the_first_bytes_pass_to_the_byte() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = latency(SECOND, Duration::ZERO, Some(Way::Out));
        let fault = set(simulation, "latency", values, after(4)).await;
        let peer = open(simulation, Temper::even()).await;
        four_bytes_pass(&peer, &fault).await;
    });
}

#[test]
fn bytes_are_counted_from_when_a_fault_is_set() {
    // Also where another one has had them counted before.
    for is_other in [false, true] {
        Simulation::echo(Config::default(), async |simulation| {
            if is_other {
                let values = slice(1 << 20, Duration::ZERO, None);
                set(simulation, "slice", values, Selector::default()).await;
            }
            let peer = open(simulation, Temper::even()).await;
            peer.send(frame(TEXT, "before"));
            assert_eq!(peer.read().await, sent(TEXT, "before"));
            let values = latency(SECOND, Duration::ZERO, Some(Way::Out));
            let fault = set(simulation, "latency", values, after(4)).await;
            four_bytes_pass(&peer, &fault).await;
        });
    }
}

#[test]
fn what_was_on_its_way_before_is_none_of_its_business() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = latency(SECOND, Duration::ZERO, Some(Way::Out));
        set(simulation, "latency", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        peer.send(frame(TEXT, "12345"));
        settle().await;
        let values = slice(1, SECOND, Some(Way::Out));
        let fault = set(simulation, "slice", values, Selector::default()).await;
        assert_eq!(peer.read_any().await, b"\x81\x0512345");
        assert_eq!(fault.hits(), 0);
        peer.send(frame(TEXT, "12345"));
        assert_eq!(peer.read_any().await, b"\x81");
        assert_eq!(fault.hits(), 1);
    });
}

#[test]
fn what_is_on_its_way_is_bounded_and_charged_and_given_back() {
    for way in [Way::In, Way::Out] {
        Simulation::echo(Config::default(), async |simulation| {
            let values = latency(60 * SECOND, Duration::ZERO, Some(way));
            set(simulation, "latency", values, Selector::default()).await;
            let peer = open(simulation, Temper::even()).await;
            let client = simulation.server.clients().pop().unwrap();
            for _ in 0..100 {
                peer.send(frame(TEXT, "x".repeat(100_000)));
            }
            settle().await;
            let used = simulation.used();
            assert!((1 << 20..3 << 20).contains(&used), "{way:?}: {used}");
            assert!(peer.unread() > 5_000_000 && peer.is_silent());
            client.order(Order::Abort);
            settle().await;
            assert!(peer.is_dropped());
            assert_eq!(simulation.used(), 0);
        });
    }
}

#[test]
fn where_memory_is_short_a_line_is_short_and_all_comes() {
    let config = Config {
        memory_limit: 40_000,
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let values = latency(10 * MILLI, Duration::ZERO, None);
        set(simulation, "latency", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        for number in 0..200 {
            peer.send(frame(TEXT, format!("{number:0>1000}")));
        }
        for number in 0..200 {
            assert_eq!(peer.read().await, sent(TEXT, format!("{number:0>1000}")));
        }
    });
}

#[test]
fn in_any_mood_of_the_stream_all_comes_in_order() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = latency(10 * MILLI, 50 * MILLI, None);
        set(simulation, "latency", values, Selector::default()).await;
        set(
            simulation,
            "bandwidth",
            bandwidth(100_000, None),
            Selector::default(),
        )
        .await;
        set(
            simulation,
            "slice",
            slice(50, Duration::ZERO, None),
            after(100),
        )
        .await;
        for seed in 0..20 {
            let peer = open(simulation, Temper::moody(seed)).await;
            for number in 0..50 {
                peer.send(frame(TEXT, format!("{number:0>300}")));
            }
            for number in 0..50 {
                assert_eq!(peer.read().await, sent(TEXT, format!("{number:0>300}")));
            }
            peer.send_end();
            peer.expect_drop().await;
        }
    });
}

#[test]
fn tls_is_above_it() {
    let faults = [
        ("latency", latency(SECOND, Duration::ZERO, None)),
        ("bandwidth", bandwidth(20_000, None)),
        ("slice", slice(7, MILLI, None)),
    ];
    for version in VERSIONS {
        for (name, values) in faults.clone() {
            Simulation::echo(super::tls::config(), async |simulation| {
                set(simulation, name, values.clone(), Selector::default()).await;
                let mut client = TlsPeer::new(simulation, Temper::even(), version);
                client.handshake().await;
                client.send(REQUEST);
                while !client.received.ends_with(b"\r\n\r\n") {
                    assert!(client.step().await);
                }
                let begun = Instant::now();
                client.received.clear();
                client.send(frame(TEXT, "x".repeat(1000)));
                while client.received.len() < 1004 {
                    assert!(client.step().await);
                }
                assert!(
                    begun.elapsed() >= 50 * MILLI,
                    "{name}: {:?}",
                    begun.elapsed()
                );
                assert!(client.received[4..].iter().all(|byte| *byte == b'x'));
                client.received.clear();
                client.send(frame(CLOSE, close::payload(1000, "")));
                while client.step().await {}
                assert_eq!(client.received, b"\x88\x02\x03\xe8");
            });
        }
    }
}

#[test]
fn what_is_frozen_reads_nothing_ahead() {
    Simulation::echo(Config::default(), async |simulation| {
        let peer = open(simulation, Temper::even()).await;
        let client = simulation.server.clients().pop().unwrap();
        client.order(Order::Pause);
        set(simulation, "freeze", Vec::new(), Selector::default()).await;
        peer.send(frame(TEXT, "x"));
        settle().await;
        assert_eq!(simulation.used(), 0);
    });
}

#[test]
fn many_small_pieces_take_no_more_of_the_memory_than_a_large_one() {
    let limit = 128 << 10;
    let config = Config {
        memory_limit: limit,
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let values = latency(60 * SECOND, Duration::ZERO, Some(Way::In));
        set(simulation, "latency", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        for _ in 0..1000 {
            peer.send([0x80]);
            settle().await;
        }
        let used = usize::try_from(simulation.used()).unwrap();
        assert!((limit / 8..=limit / 4).contains(&used), "{used}");
    });
}

#[test]
fn what_acts_on_bytes_has_acted_with_the_first_of_them() {
    let way = Some(Way::In);
    let faults = [
        ("latency", latency(SECOND, Duration::ZERO, way)),
        ("bandwidth", bandwidth(10_000, way)),
        ("slice", slice(3, Duration::ZERO, way)),
    ];
    for ((name, values), passing) in faults.into_iter().cycle().zip([0, 0, 0, 8, 8, 8]) {
        Simulation::echo(Config::default(), async |simulation| {
            let fault = set(simulation, name, values.clone(), after(passing)).await;
            let peer = open(simulation, Temper::even()).await;
            settle().await;
            assert_eq!(fault.hits(), 0, "{name}");
            for hits in [u64::from(passing == 0), 1, 1] {
                // Of 8 bytes, with its key.
                peer.send(frame(TEXT, "12"));
                assert_eq!(peer.read().await, sent(TEXT, "12"));
                assert_eq!(fault.hits(), hits, "{name}, after {passing}");
            }
        });
    }
}
