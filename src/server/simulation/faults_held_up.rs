//! What a slow line holds up, and whom: not other clients, not who has left, not what was sent before an end, and nothing
//! any more when a fault has ended.

use super::faults::{SECOND, set};
use super::faults_on_bytes::{latency, open, slice};
use super::stream::Temper;
use super::{Config, Duration, Simulation, TEXT, frame};
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use tokio::time::Instant;

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
