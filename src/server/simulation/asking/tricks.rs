//! Answers that no server gives in earnest: none, late ones, and wrong ones.

use super::super::advancing::Advanced;
use super::super::{Config, Instant, Temper, settle};
use super::{ask, decide, expect_room, narrow, run};
use crate::admission::{Decision, Trick, Unheard};
use crate::manual_clock::ManualClock;
use crate::protocol::http::{Fields, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

#[test]
fn somebody_may_get_no_answer_at_all() {
    run(narrow(), async |simulation, doorkeeper| {
        for is_reset in [false, true] {
            let peer = ask(simulation, Temper::even());
            let request = doorkeeper.asked().await;
            let decision = if is_reset {
                Decision::Reset
            } else {
                Decision::Silence
            };
            decide(&request, decision).unwrap();
            peer.expect_drop().await;
            assert!(peer.take_received().is_empty());
            assert_eq!(peer.is_reset(), is_reset);
        }
        expect_room(simulation, doorkeeper).await;
    });
}

#[test]
fn a_delay_is_not_part_of_open_timeout_and_is_asked_about_again() {
    run(narrow(), async |simulation, doorkeeper| {
        let long = simulation.server.config().open_timeout * 3;
        let begin = Instant::now();
        let peer = ask(simulation, Temper::even());
        let request = doorkeeper.asked().await;
        assert!(!request.is_delayed());
        decide(&request, Decision::Delay(long, None)).unwrap();
        sleep(long).await;
        let request = doorkeeper.asked().await;
        assert!(request.is_delayed() && begin.elapsed() >= long);
        let refused = Decision::Refuse(Response::new(404, Fields::default(), vec![]).unwrap());
        let later = Decision::Delay(long, Some(Box::new(refused)));
        decide(&request, later).unwrap();
        assert!(peer.read_head().await.starts_with("HTTP/1.1 404 "));
        assert!(begin.elapsed() >= long * 2);
        expect_room(simulation, doorkeeper).await;
    });
}

#[test]
fn a_subprotocol_after_a_delay_has_to_be_offered_as_well() {
    run(narrow(), async |simulation, doorkeeper| {
        let later = |then| Decision::Delay(Duration::ZERO, Some(Box::new(then)));
        let peer = ask(simulation, Temper::even());
        let request = doorkeeper.asked().await;
        let chosen = Decision::Accept {
            fields: Fields::default(),
            subprotocol: Some("other".to_owned()),
        };
        let decided = decide(&request, later(later(chosen)));
        assert_eq!(decided, Err(Unheard::NotOffered));
        assert!(request.is_waiting());
        decide(&request, Decision::Fail).unwrap();
        assert!(peer.read_head().await.starts_with("HTTP/1.1 500 "));
        expect_room(simulation, doorkeeper).await;
    });
}

#[test]
fn who_hangs_keeps_its_place_until_it_goes() {
    run(narrow(), async |simulation, doorkeeper| {
        let peer = ask(simulation, Temper::even());
        let request = doorkeeper.asked().await;
        decide(&request, Decision::Hang).unwrap();
        sleep(simulation.server.config().open_timeout * 3).await;
        assert!(peer.take_received().is_empty() && !peer.is_dropped());
        peer.send_end();
        peer.expect_drop().await;
        expect_room(simulation, doorkeeper).await;
    });
}

#[test]
fn a_trick_is_a_101_that_is_wrong() {
    run(narrow(), async |simulation, doorkeeper| {
        for (trick, line) in [
            (
                Trick::Accept,
                "Sec-WebSocket-Accept: A3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            ),
            (
                Trick::Subprotocol("x".to_owned()),
                "Sec-WebSocket-Protocol: x",
            ),
        ] {
            let peer = ask(simulation, Temper::even());
            let request = doorkeeper.asked().await;
            decide(&request, Decision::Trick(trick)).unwrap();
            let head = peer.read_head().await;
            assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(&format!("\r\n{line}\r\n")));
            peer.send_end();
            peer.expect_drop().await;
        }
    });
}

#[test]
fn a_delay_goes_by_a_clock_that_is_advanced_however_long_the_handler_takes() {
    let clock = Arc::new(ManualClock::new());
    let config = Config {
        clock: Some(clock.clone()),
        ..narrow()
    };
    run(config, async |simulation, doorkeeper| {
        let advanced = Advanced { simulation, clock };
        let second = Duration::from_secs(1);
        let (timeout, delay) = (simulation.server.config().open_timeout, 2 * second);
        for is_late in [false, true] {
            let peer = ask(simulation, Temper::even());
            let request = doorkeeper.asked().await;
            if is_late {
                advanced.advance(delay).await;
            }
            decide(&request, Decision::Delay(delay, None)).unwrap();
            settle().await;
            if !is_late {
                advanced.advance_almost(delay).await;
                assert!(doorkeeper.requests.lock().unwrap().is_empty());
                advanced.advance(Duration::from_nanos(1)).await;
            }
            // From there on it has the time for a decision.
            let request = doorkeeper.asked().await;
            assert!(request.is_delayed());
            advanced.advance_to_news(&peer, timeout).await;
            assert!(peer.read_head().await.starts_with("HTTP/1.1 503 "));
        }
        expect_room(simulation, doorkeeper).await;
    });
}
