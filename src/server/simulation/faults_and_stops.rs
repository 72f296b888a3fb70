//! Slow lines beside what else has its time: a stop, a clock that is advanced, a freeze, a request that is not answered yet.

use super::advancing::Advanced;
use super::draining::config as draining;
use super::faults::{SECOND, end, set};
use super::faults_on_bytes::{latency, open};
use super::stream::Temper;
use super::{
    CLOSE, Config, Duration, Peer, REQUEST, Simulation, TEXT, close, closed, frame, sent, settle,
};
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use tokio::time::sleep;

/// All that is sent comes so much later.
async fn slow(simulation: &Simulation, seconds: u32) {
    let values = latency(SECOND * seconds, Duration::ZERO, Some(Way::Out));
    set(simulation, "latency", values, Selector::default()).await;
}

/// Sends a message, and closes.
fn ask_and_close(peer: &Peer) {
    peer.send([frame(TEXT, "x"), frame(CLOSE, close::payload(1000, ""))].concat());
}

/// Takes the answers to both.
async fn expect_answers(peer: &Peer) {
    assert_eq!(peer.read().await, sent(TEXT, "x"));
    assert_eq!(peer.read().await, closed(1000, ""));
}

#[test]
fn at_a_stop_what_is_on_its_way_arrives() {
    Simulation::echo(Config::default(), async |simulation| {
        slow(simulation, 1).await;
        let peer = open(simulation, Temper::even()).await;
        ask_and_close(&peer);
        sleep(SECOND / 2).await;
        simulation.server.stop(10 * SECOND);
        expect_answers(&peer).await;
    });
}

#[test]
fn at_a_stop_its_1001_arrives_also_after_the_clients_answer() {
    Simulation::echo(Config::default(), async |simulation| {
        slow(simulation, 1).await;
        let peer = open(simulation, Temper::even()).await;
        simulation.server.stop(10 * SECOND);
        sleep(SECOND / 2).await;
        peer.send(frame(CLOSE, close::payload(1000, "")));
        assert_eq!(peer.read().await, closed(1001, "the server is stopping"));
    });
}

#[test]
fn while_others_are_told_of_a_stop_what_is_on_its_way_arrives() {
    Simulation::echo(draining(0, 30), async |simulation| {
        slow(simulation, 1).await;
        let _first = open(simulation, Temper::even()).await;
        let peer = open(simulation, Temper::even()).await;
        simulation.server.stop(35 * SECOND);
        sleep(2 * SECOND).await;
        ask_and_close(&peer);
        expect_answers(&peer).await;
    });
}

#[test]
fn one_long_advance_does_what_many_short_ones_do() {
    for steps in [30, 1] {
        Advanced::echo(Config::default(), async |advanced| {
            slow(advanced.simulation, 20).await;
            let peer = open(advanced.simulation, Temper::even()).await;
            let client = advanced.simulation.server.clients().pop().unwrap();
            client.order(super::order_close(4000, ""));
            settle().await;
            for _ in 0..steps {
                advanced.advance(30 * SECOND / steps).await;
            }
            assert_eq!(peer.take_received().len(), 4, "{steps} steps");
        });
    }
}

#[test]
fn a_freeze_holds_up_the_time_for_an_end_too() {
    Simulation::echo(Config::default(), async |simulation| {
        slow(simulation, 20).await;
        let peer = open(simulation, Temper::even()).await;
        ask_and_close(&peer);
        sleep(SECOND).await;
        let fault = set(simulation, "freeze", Vec::new(), Selector::default()).await;
        sleep(100 * SECOND).await;
        end(simulation, &fault).await;
        expect_answers(&peer).await;
    });
}

#[test]
fn a_fault_is_nothing_that_is_heard_of_the_client() {
    for faulty in [false, true] {
        let config = Config {
            idle_timeout: Some(10 * SECOND),
            ..Config::default()
        };
        Simulation::echo(config, async |simulation| {
            // It does not take its 101.
            let peer = simulation.connect(Temper::even());
            peer.take_only(10);
            peer.send(REQUEST);
            settle().await;
            if faulty {
                slow(simulation, 1).await;
            }
            sleep(300 * SECOND).await;
            assert!(peer.is_dropped(), "{faulty}");
        });
    }
}
