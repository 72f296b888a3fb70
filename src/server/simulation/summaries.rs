//! What there was of each connection, told at its end.

use super::{
    BINARY, Config, Duration, Kind, PING, REQUEST, Recorder, Simulation, Summary, TEXT, Temper,
    Wants, close, frame, sent, settle,
};
use crate::protocol::tally::Tally;
use std::sync::Arc;
use tokio::time::sleep;

/// Texts and binary messages of these lengths.
fn tally(texts: &[usize], binaries: &[usize]) -> Tally {
    let mut tally = Tally::default();
    for (kind, lens) in [(Kind::Text, texts), (Kind::Binary, binaries)] {
        for &len in lens {
            tally.add(kind, len);
        }
    }
    tally
}

fn summaries(recorder: &Arc<Recorder>) -> Vec<(u64, Summary)> {
    recorder.summaries.lock().unwrap().clone()
}

#[test]
fn each_connection_has_its_own() {
    for (seed, record) in [(1, None), (2, None), (3, Some(1 << 20))] {
        let recorder = Recorder::new(Wants::SUMMARY);
        let config = Config {
            record,
            ..Config::default()
        };
        Simulation::run(config, recorder.clone(), async |simulation| {
            for id in 1..=2 {
                // Both on the same seat.
                let peer = simulation.connect(Temper::moody(seed * 7 + id));
                peer.send(REQUEST);
                assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
                sleep(Duration::from_millis(1500 * id)).await;
                let texts = [0, 5, 125, 126, 5000];
                let binaries = [1, 70_000, 300_000];
                peer.send(frame(PING, "not counted"));
                for len in texts {
                    peer.send(frame(TEXT, "x".repeat(len)));
                }
                for len in binaries {
                    peer.send(frame(BINARY, vec![7; len]));
                }
                peer.send(frame(super::CLOSE, close::payload(4000, "")));
                while peer.read().await.0 != super::CLOSE {}
                peer.send_end();
                peer.expect_drop().await;
                let (last, summary) = summaries(&recorder).pop().unwrap();
                let both = tally(&texts, &binaries);
                assert_eq!((last, summary.received, summary.sent), (id, both, both));
                let expected = Duration::from_millis(1500 * id);
                assert!(summary.time >= expected && summary.time < expected * 2);
            }
        });
        assert_eq!(summaries(&recorder).len(), 2);
    }
}

#[test]
fn what_the_application_sends_is_in_it() {
    let recorder = Recorder::new(Wants::SUMMARY | Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, client) = simulation.open().await;
        peer.send(frame(TEXT, "hello"));
        peer.send(frame(BINARY, "echoed"));
        settle().await;
        client.send(Kind::Text, "unasked", 1000).unwrap();
        recorder.echo_batch(1);
        while peer.read().await != sent(TEXT, "unasked") {}
        peer.send(frame(TEXT, "unanswered"));
        settle().await;
        peer.reset();
        peer.expect_drop().await;
        // It keeps its charge as long as somebody could answer.
        recorder.batches.lock().unwrap().clear();
    });
    let (_, summary) = summaries(&recorder)[0];
    assert_eq!(summary.received, tally(&[5, 10], &[6]));
    assert_eq!(summary.sent, tally(&[5, 7], &[6]));
}

#[test]
fn nobody_who_has_not_asked_for_it_is_told() {
    let recorder = Recorder::new(Wants::CLOSE);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, _) = simulation.open().await;
        peer.send_end();
        peer.expect_drop().await;
    });
    assert_eq!(recorder.gone().len(), 1);
    assert!(summaries(&recorder).is_empty());
}
