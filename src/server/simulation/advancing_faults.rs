//! What faults do in time, by a clock that a test advances.

use super::advancing::Advanced;
use super::faults::{SECOND, after_time, end, set};
use super::faults_on_bytes::{bandwidth, latency, open, slice};
use super::{
    CLOSE, Config, Duration, PING, PONG, TEXT, Temper, closed, frame, order_close, sent, settle,
};
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use crate::faults::values::Value;

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn bytes_arrive_when_the_clock_says_so_and_what_they_bring_counts_from_there() {
    Advanced::echo(Config::default(), async |advanced| {
        let values = latency(SECOND, Duration::ZERO, None);
        set(advanced.simulation, "latency", values, Selector::default()).await;
        let peer = open(advanced.simulation, Temper::even()).await;
        for text in ["one", "two"] {
            peer.send(frame(TEXT, text));
            settle().await;
            advanced.advance(400 * MILLI).await;
        }
        // There and back is a second each: "one" has arrived at 1 s.
        advanced.advance(200 * MILLI).await;
        assert!(peer.is_silent());
        advanced.advance(SECOND).await;
        assert_eq!(peer.read().await, sent(TEXT, "one"));
        // "two" came in that jump, and its echo counts from its end.
        advanced.advance_to_news(&peer, SECOND).await;
        assert_eq!(peer.read().await, sent(TEXT, "two"));
        // At once when several have arrived.
        for text in ["three", "four"] {
            peer.send(frame(TEXT, text));
            settle().await;
            advanced.advance(MILLI).await;
        }
        advanced.advance(60 * SECOND).await;
        assert!(peer.is_silent());
        advanced.advance_to_news(&peer, SECOND).await;
        assert_eq!(peer.read().await, sent(TEXT, "three"));
        assert_eq!(peer.read().await, sent(TEXT, "four"));
    });
}

#[test]
fn one_piece_of_a_slow_line_passes_with_each_advance() {
    let slow = [
        ("slice", slice(2, SECOND, Some(Way::Out)), 2, SECOND),
        // Of 20 ms each.
        ("bandwidth", bandwidth(1000, Some(Way::Out)), 20, 20 * MILLI),
    ];
    for (name, values, len, time) in slow {
        Advanced::echo(Config::default(), async |advanced| {
            let peer = open(advanced.simulation, Temper::even()).await;
            set(advanced.simulation, name, values, Selector::default()).await;
            peer.send(frame(TEXT, "x".repeat(60)));
            settle().await;
            let mut all = peer.take_received();
            assert_eq!(all.len(), len);
            while all.len() < 62 {
                advanced.advance_to_news(&peer, time).await;
                let more = peer.take_received();
                assert_eq!(more.len(), len.min(62 - all.len()));
                all.extend(more);
                if all.len() == 40 {
                    // However long it is.
                    advanced.advance(60 * SECOND).await;
                    assert_eq!(peer.take_received().len(), len.min(62 - all.len()));
                    break;
                }
            }
        });
    }
}

#[test]
fn a_time_counts_from_the_101_by_the_clock() {
    Advanced::echo(Config::default(), async |advanced| {
        let peer = open(advanced.simulation, Temper::even()).await;
        advanced.advance(10 * SECOND).await;
        let values = vec![Value::Code(1008), Value::Text(String::new())];
        set(
            advanced.simulation,
            "close",
            values,
            after_time(11 * SECOND),
        )
        .await;
        advanced.advance(999 * MILLI).await;
        assert!(peer.is_silent());
        advanced.advance(MILLI).await;
        assert_eq!(peer.read().await.0, CLOSE);
    });
}

#[test]
fn a_time_since_the_101_does_not_begin_anew_however_long_ago_that_was() {
    // What goes round in 32 bits of milliseconds does after 49.7 days.
    let days = 50 * 86_400 * SECOND;
    Advanced::echo(Config::default(), async |advanced| {
        let simulation = advanced.simulation;
        let peer = open(simulation, Temper::even()).await;
        advanced.advance(days).await;
        set(
            simulation,
            "drop",
            Vec::new(),
            after_time(30 * 86_400 * SECOND),
        )
        .await;
        peer.send([frame(TEXT, "dropped"), frame(PING, "?")].concat());
        assert_eq!(peer.read().await, sent(PONG, "?"));
        // Nor is it longer for who comes when the server has run for so long.
        let peer = open(simulation, Temper::even()).await;
        peer.send(frame(TEXT, "passes"));
        assert_eq!(peer.read().await, sent(TEXT, "passes"));
    });
}

#[test]
fn what_begins_some_time_after_the_101_does() {
    Advanced::echo(Config::default(), async |advanced| {
        let simulation = advanced.simulation;
        let values = vec![Value::Code(1011), Value::Text("late".into())];
        set(simulation, "close", values, after_time(5 * SECOND)).await;
        set(simulation, "drop", Vec::new(), after_time(2 * SECOND)).await;
        let peer = open(simulation, Temper::even()).await;
        advanced.advance_almost(2 * SECOND).await;
        peer.send(frame(TEXT, "before"));
        assert_eq!(peer.read().await, sent(TEXT, "before"));
        advanced.advance(Duration::from_nanos(1)).await;
        peer.send(frame(TEXT, "dropped"));
        settle().await;
        advanced.advance_to_news(&peer, 3 * SECOND).await;
        assert_eq!(peer.read().await.0, CLOSE);
        advanced.advance_to_end(&peer, 5 * SECOND).await;
    });
}

#[test]
fn what_is_due_on_one_connection_happens_in_its_order_whoever_wants_it() {
    let config = Config {
        ping_interval: Some(2 * SECOND),
        ..Config::default()
    };
    for (after, frames) in [(3, &[PING, CLOSE][..]), (1, &[CLOSE])] {
        Advanced::echo(config.clone(), async |advanced| {
            let values = vec![Value::Code(1011), Value::Text("late".into())];
            set(
                advanced.simulation,
                "close",
                values,
                after_time(after * SECOND),
            )
            .await;
            let peer = open(advanced.simulation, Temper::even()).await;
            advanced.advance(60 * SECOND).await;
            for first in frames {
                assert_eq!(peer.read().await.0, *first);
            }
            assert!(peer.is_silent());
        });
    }
}

#[test]
fn who_is_frozen_has_no_timeouts_and_has_them_anew_after_it() {
    let config = Config {
        idle_timeout: Some(30 * SECOND),
        ..Config::default()
    };
    Advanced::echo(config, async |advanced| {
        let peer = open(advanced.simulation, Temper::even()).await;
        let fault = set(
            advanced.simulation,
            "freeze",
            Vec::new(),
            Selector::default(),
        )
        .await;
        peer.send(frame(TEXT, "x"));
        advanced.advance(1000 * SECOND).await;
        assert!(peer.is_silent());
        end(advanced.simulation, &fault).await;
        assert_eq!(peer.read().await, sent(TEXT, "x"));
        advanced.advance_to_news(&peer, 30 * SECOND).await;
        assert_eq!(peer.read().await.0, CLOSE);
    });
}

#[test]
fn who_is_frozen_in_a_closing_handshake_has_close_timeout_after_it() {
    for (before, frozen) in [(3, 2), (3, 1000), (0, 5)] {
        Advanced::echo(Config::default(), async |advanced| {
            let simulation = advanced.simulation;
            let peer = open(simulation, Temper::even()).await;
            let client = simulation.server.clients().pop().unwrap();
            client.order(order_close(4000, ""));
            assert_eq!(peer.read().await, closed(4000, ""));
            advanced.advance(before * SECOND).await;
            let fault = set(simulation, "freeze", Vec::new(), Selector::default()).await;
            advanced.advance(frozen * SECOND).await;
            end(simulation, &fault).await;
            advanced.advance_to_end(&peer, 5 * SECOND).await;
        });
    }
}
