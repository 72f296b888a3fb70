//! A slow line by chance: the same for the same seed.

use super::faults::{SECOND, set};
use super::faults_on_bytes::{latency, open};
use super::stream::Temper;
use super::{Config, Duration, Simulation, TEXT, frame, sent, settle};
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use tokio::time::Instant;

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn jitter_changes_no_order_and_is_the_same_for_the_same_seed() {
    let times = |seed| {
        let config = Config {
            seed: Some(seed),
            ..Config::default()
        };
        let mut times = Vec::new();
        Simulation::echo(config, async |simulation| {
            let values = latency(SECOND, SECOND, Some(Way::Out));
            set(simulation, "latency", values, Selector::default()).await;
            let peer = open(simulation, Temper::even()).await;
            let begun = Instant::now();
            for number in 0..20 {
                peer.send(frame(TEXT, format!("{number}")));
                settle().await;
            }
            for number in 0..20 {
                assert_eq!(peer.read().await, sent(TEXT, format!("{number}")));
                times.push(begun.elapsed());
            }
        });
        times
    };
    let first = times(1);
    assert!(first.is_sorted() && first[0] >= SECOND && first[19] < 2 * SECOND + MILLI);
    assert_eq!(first, times(1));
    assert_ne!(first, times(2));
}

#[test]
fn chance_decides_about_a_connection_once() {
    let config = Config {
        seed: Some(3),
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let selector = Selector {
            probability: 0.5,
            ..Selector::default()
        };
        let values = latency(SECOND, Duration::ZERO, Some(Way::Out));
        let fault = set(simulation, "latency", values, selector).await;
        let mut late = 0;
        for _ in 0..40 {
            let peer = open(simulation, Temper::even()).await;
            let mut times = Vec::new();
            for _ in 0..5 {
                let begun = Instant::now();
                peer.send(frame(TEXT, "x"));
                peer.read().await;
                times.push(begun.elapsed());
            }
            assert!(times.iter().all(|time| *time == times[0]));
            late += u64::from(times[0] > Duration::ZERO);
        }
        assert!((10..30).contains(&late), "{late}");
        assert_eq!(fault.hits(), late);
    });
}

#[test]
fn jitter_is_the_same_however_what_was_before_has_come() {
    let times = |size: usize| {
        let config = Config {
            seed: Some(1),
            ..Config::default()
        };
        let mut times = Vec::new();
        Simulation::echo(config, async |simulation| {
            let values = latency(SECOND, SECOND, None);
            set(simulation, "latency", values, Selector::default()).await;
            let peer = open(simulation, Temper::even()).await;
            for piece in frame(TEXT, "x".repeat(100)).chunks(size) {
                peer.send(piece);
                settle().await;
            }
            assert_eq!(peer.read().await.1.len(), 100);
            for number in 0..20 {
                let begun = Instant::now();
                peer.send(frame(TEXT, format!("{number}")));
                assert_eq!(peer.read().await, sent(TEXT, format!("{number}")));
                times.push(begun.elapsed());
            }
        });
        times
    };
    let whole = times(1000);
    assert!(whole.iter().any(|time| *time != whole[0]));
    assert_eq!(whole, times(7));
}
