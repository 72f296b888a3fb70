//! The end of a connection on a slow line: in its order, in its time, and no later when nothing holds it up any more.

use super::faults::{SECOND, after, end, set};
use super::faults_on_bytes::{bandwidth, latency, open};
use super::stream::Temper;
use super::{CLOSE, Config, Duration, Simulation, TEXT, close, closed, frame, sent, settle};
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use tokio::time::{Instant, timeout};

#[test]
fn a_close_that_is_late_has_its_time_all_the_same() {
    // Later than the time for the closing handshake, each way.
    Simulation::echo(Config::default(), async |simulation| {
        let values = latency(20 * SECOND, Duration::ZERO, None);
        set(simulation, "latency", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        let client = simulation.server.clients().pop().unwrap();
        let begun = Instant::now();
        peer.send(frame(CLOSE, close::payload(1000, "")));
        assert_eq!(peer.read().await, closed(1000, ""));
        assert_eq!(begun.elapsed(), 40 * SECOND);
        peer.send_end();
        peer.expect_drop().await;
        assert_eq!(client.ended().unwrap().0, 1000);

        let peer = open(simulation, Temper::even()).await;
        let client = simulation.server.clients().pop().unwrap();
        let begun = Instant::now();
        client.order(super::order_close(4000, ""));
        assert_eq!(peer.read().await, closed(4000, ""));
        assert_eq!(begun.elapsed(), 20 * SECOND);
        // Nothing comes back.
        peer.expect_drop().await;
        assert_eq!(begun.elapsed(), 25 * SECOND);
    });
}

#[test]
fn the_end_of_a_connection_is_held_up_no_longer_than_anything_else() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = latency(60 * SECOND, Duration::ZERO, Some(Way::Out));
        let fault = set(simulation, "latency", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        let client = simulation.server.clients().pop().unwrap();
        peer.send(frame(CLOSE, close::payload(1000, "")));
        settle().await;
        // It only lingers.
        assert!(peer.is_silent() && client.ended().is_some());
        let begun = Instant::now();
        end(simulation, &fault).await;
        assert_eq!(peer.read().await, closed(1000, ""));
        peer.expect_shut_down().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

#[test]
fn an_error_and_an_end_come_behind_what_was_sent_before() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = latency(SECOND, Duration::ZERO, Some(Way::In));
        set(simulation, "latency", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        let begun = Instant::now();
        peer.send(frame(TEXT, "before"));
        peer.send_end();
        assert_eq!(peer.read().await, sent(TEXT, "before"));
        peer.expect_shut_down().await;
        assert_eq!(begun.elapsed(), SECOND);
        let peer = open(simulation, Temper::even()).await;
        let client = simulation.server.clients().pop().unwrap();
        let begun = Instant::now();
        peer.reset();
        peer.expect_drop().await;
        assert_eq!(begun.elapsed(), SECOND);
        assert_eq!(client.ended().unwrap().0, 1006);
    });
}

#[test]
fn a_reset_and_a_half_close_arrive_behind_what_is_on_its_way() {
    for name in ["reset", "half-close"] {
        Simulation::echo(Config::default(), async |simulation| {
            let values = latency(20 * SECOND, Duration::ZERO, Some(Way::Out));
            set(simulation, "latency", values, Selector::default()).await;
            set(simulation, name, Vec::new(), after(1)).await;
            let peer = open(simulation, Temper::even()).await;
            let begun = Instant::now();
            peer.send([frame(TEXT, "1"), frame(TEXT, "2")].concat());
            assert_eq!(peer.read().await, sent(TEXT, "1"));
            if name == "reset" {
                peer.expect_drop().await;
                assert!(peer.is_reset());
            } else {
                peer.expect_shut_down().await;
            }
            assert_eq!(begun.elapsed(), 20 * SECOND);
        });
    }
}

#[test]
fn a_client_whose_answer_is_late_is_told_of_a_stop_and_not_blamed() {
    Simulation::echo(Config::default(), async |simulation| {
        let peer = open(simulation, Temper::even()).await;
        let client = simulation.server.clients().pop().unwrap();
        assert!(!client.is_held());
        let values = latency(SECOND, Duration::ZERO, Some(Way::In));
        let fault = set(simulation, "latency", values, Selector::default()).await;
        assert!(client.is_held());
        end(simulation, &fault).await;
        assert!(!client.is_held());
        let values = latency(SECOND, Duration::ZERO, Some(Way::In));
        set(simulation, "latency", values, Selector::default()).await;
        simulation.server.stop(10 * SECOND);
        assert_eq!(peer.read().await, closed(1001, "the server is stopping"));
        peer.send(frame(CLOSE, close::payload(1001, "")));
        peer.expect_shut_down().await;
        assert_eq!(client.ended().unwrap().0, 1001);
    });
}

#[test]
fn a_close_frame_that_a_rate_holds_up_is_waited_for() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = bandwidth(100, Some(Way::Out));
        set(simulation, "bandwidth", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        let client = simulation.server.clients().pop().unwrap();
        let begun = Instant::now();
        peer.send(frame(TEXT, "x".repeat(2000)));
        settle().await;
        client.order(super::order_close(4000, ""));
        assert_eq!(peer.read().await.1.len(), 2000);
        assert_eq!(peer.read().await, closed(4000, ""));
        assert_eq!(begun.elapsed().as_secs(), 20);
        // Nothing comes back.
        peer.expect_drop().await;
        assert!(begun.elapsed() < 31 * SECOND);
    });
}

#[test]
fn who_takes_nothing_holds_up_its_end_no_longer_on_a_slow_line() {
    for rate in [None, Some(1000)] {
        Simulation::echo(Config::default(), async |simulation| {
            let values = latency(SECOND, Duration::ZERO, Some(Way::Out));
            set(simulation, "latency", values, Selector::default()).await;
            if let Some(rate) = rate {
                let values = bandwidth(rate, Some(Way::Out));
                set(simulation, "bandwidth", values, Selector::default()).await;
            }
            let peer = open(simulation, Temper::even()).await;
            let client = simulation.server.clients().pop().unwrap();
            peer.take_only(0);
            peer.send(frame(TEXT, "x".repeat(2000)));
            settle().await;
            let begun = Instant::now();
            client.order(super::order_close(4000, ""));
            // Since then it could have come.
            let dropped = timeout(60 * SECOND, peer.expect_drop()).await;
            assert!(dropped.is_ok(), "{rate:?}");
            assert_eq!(begun.elapsed(), 6 * SECOND, "{rate:?}");
        });
    }
}
