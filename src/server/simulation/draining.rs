//! A stop that lets clients come in for a while yet, and then tells them one after the other.

use super::faults::SECOND;
use super::{
    Config, Duration, Instant, REQUEST, Recorder, Simulation, TEXT, Temper, Wants, close, closed,
    frame, sent, settle,
};
use std::sync::atomic::Ordering;
use tokio::time::sleep_until;

/// With a drain of so many seconds.
pub(in crate::server) fn config(delay: u32, spread: u32) -> Config {
    Config {
        drain_delay: SECOND * delay,
        drain_spread: SECOND * spread,
        ..Config::default()
    }
}

/// Checks that `since` lies so many seconds back; tokio's clock moves in milliseconds.
fn expect(since: Instant, seconds: u32) {
    expect_after(since, SECOND * seconds);
}

fn expect_after(since: Instant, expected: Duration) {
    let elapsed = since.elapsed();
    let is_so = elapsed >= expected && elapsed < expected + Duration::from_millis(5);
    assert!(is_so, "{elapsed:?} for {expected:?}");
}

#[test]
fn clients_come_in_for_a_while_and_are_told_in_turn() {
    let config = config(10, 20);
    let timeout = config.stop_timeout();
    Simulation::echo(config, async |simulation| {
        let mut peers = Vec::new();
        for _ in 0..3 {
            peers.push(simulation.open().await.0);
        }
        // As at a start.
        let lets_in = &simulation.desk.face().lets_in;
        lets_in.store(true, Ordering::Release);
        let begun = Instant::now();
        simulation.server.stop(timeout);
        sleep_until(begun + SECOND * 9).await;
        assert!(simulation.server.lets_in());
        peers.push(simulation.open().await.0);
        let slow = simulation.connect(Temper::even());
        slow.send(&REQUEST[..20]);
        sleep_until(begun + SECOND * 10).await;
        // Nobody comes in any more.
        slow.expect_drop().await;
        assert!(!simulation.server.lets_in());
        simulation.connect(Temper::even()).expect_drop().await;
        expect(begun, 10);
        // Who did not get in has no part of the time.
        for (index, peer) in peers.iter().enumerate() {
            for other in &peers[index + 1..] {
                other.send(frame(TEXT, "still here"));
                assert_eq!(other.read().await, sent(TEXT, "still here"));
            }
            assert_eq!(peer.read().await, closed(1001, "the server is stopping"));
            expect(begun, 10 + 5 * u32::try_from(index).unwrap());
            peer.send(frame(super::CLOSE, close::payload(1001, "")));
            peer.send_end();
            peer.expect_drop().await;
        }
        let stats = simulation.server.stats();
        assert_eq!((stats.text_messages_received, stats.clients_closed), (6, 4));
    });
}

#[test]
fn empty_seats_have_no_part_of_the_spread() {
    let config = config(0, 12);
    let timeout = config.stop_timeout();
    Simulation::echo(config, async |simulation| {
        let mut peers = Vec::new();
        for _ in 0..12 {
            peers.push(simulation.open().await.0);
        }
        let mut left = Vec::new();
        for (seat, peer) in peers.into_iter().enumerate() {
            if [2, 7, 10].contains(&seat) {
                left.push(peer);
            } else {
                peer.send_end();
                peer.expect_drop().await;
            }
        }
        // On a seat before theirs: it has come last.
        for _ in 0..9 {
            left.push(simulation.open().await.0);
        }
        for peer in left.drain(3..11) {
            peer.send_end();
            peer.expect_drop().await;
        }
        let begun = Instant::now();
        simulation.server.stop(timeout);
        for (index, peer) in left.iter().enumerate() {
            if index == 2 {
                // It leaves a gap.
                peer.send_end();
                peer.expect_drop().await;
                continue;
            }
            assert_eq!(peer.read().await, closed(1001, "the server is stopping"));
            expect(begun, 3 * u32::try_from(index).unwrap());
            peer.send_end();
        }
    });
}

#[test]
fn clients_of_all_workers_are_told_in_even_steps_in_the_order_of_their_coming() {
    let config = Config {
        workers: Some(4),
        ..config(0, 12)
    };
    let timeout = config.stop_timeout();
    Simulation::echo(config, async |simulation| {
        let mut peers = Vec::new();
        // The first worker has nobody, and those of the others are unequally many.
        for worker in [3, 2, 3, 3, 1, 3, 2, 3] {
            let peer = Simulation::connect_at(&simulation.desks[worker], Temper::even());
            peer.send(REQUEST);
            assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
            peers.push(peer);
        }
        let begun = Instant::now();
        simulation.server.stop(timeout);
        for (index, peer) in peers.iter().enumerate() {
            let milliseconds = 1500 * u64::try_from(index).unwrap();
            if index == 5 {
                // It leaves a gap.
                peer.send_end();
                peer.expect_drop().await;
                continue;
            }
            assert_eq!(peer.read().await, closed(1001, "the server is stopping"));
            expect_after(begun, Duration::from_millis(milliseconds));
            peer.send_end();
        }
    });
}

#[test]
fn who_was_told_has_close_timeout_and_no_more() {
    let config = config(0, 10);
    let timeout = config.stop_timeout();
    Simulation::echo(config, async |simulation| {
        let (first, _) = simulation.open().await;
        let (second, _) = simulation.open().await;
        let begun = Instant::now();
        simulation.server.stop(timeout);
        assert_eq!(first.read().await, closed(1001, "the server is stopping"));
        expect(begun, 0);
        assert_eq!(second.read().await, closed(1001, "the server is stopping"));
        first.expect_drop().await;
        expect(begun, 5);
        second.expect_drop().await;
        expect(begun, 10);
    });
}

#[test]
fn a_second_stop_ends_the_wait() {
    Simulation::echo(config(1000, 1000), async |simulation| {
        let (first, _) = simulation.open().await;
        let (second, _) = simulation.open().await;
        let begun = Instant::now();
        simulation.server.stop(SECOND * 3000);
        settle().await;
        assert!(first.is_silent() && second.is_silent());
        simulation.server.stop(SECOND * 5);
        for peer in [&first, &second] {
            assert_eq!(peer.read().await, closed(1001, "the server is stopping"));
            expect(begun, 0);
        }
        first.send_end();
        first.expect_drop().await;
        second.expect_drop().await;
        expect(begun, 5);
    });
}

#[test]
fn an_answer_that_is_owed_goes_before_the_close() {
    let recorder = Recorder::new(Wants::TEXT);
    let config = config(10, 10);
    let timeout = config.stop_timeout();
    Simulation::run(config, recorder.clone(), async |simulation| {
        let (peer, _) = simulation.open().await;
        let (other, _) = simulation.open().await;
        let begun = Instant::now();
        simulation.server.stop(timeout);
        other.send(frame(TEXT, "one"));
        settle().await;
        sleep_until(begun + SECOND * 10).await;
        assert_eq!(peer.read().await.0, super::CLOSE);
        other.send(frame(TEXT, "two"));
        sleep_until(begun + SECOND * 16).await;
        assert!(other.is_silent());
        // Both were read before it was told.
        assert_eq!(recorder.waiting(), 2);
        recorder.echo_batch(1);
        recorder.echo_batch(1);
        for answer in [sent(TEXT, "one"), sent(TEXT, "two")] {
            assert_eq!(other.read().await, answer);
        }
        assert_eq!(other.read().await, closed(1001, "the server is stopping"));
        peer.send_end();
        other.send_end();
    });
}
