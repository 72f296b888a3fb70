//! Bytes that arrive as others, as no fault of the table has it: whatever moves them, each is asked about by its place.

use super::faults::{SECOND, after, set, set_row};
use super::faults_on_bytes::{latency, open};
use super::stream::Temper;
use super::{Config, Duration, Simulation, TEXT, frame};
use crate::faults::action::Action;
use crate::faults::selector::Selector;
use crate::faults::shape::Way;
use crate::faults::table::Row;
use crate::faults::values::{Parameter, Type, Value};

/// Each third byte is another one.
static THIRD: Row = Row {
    name: "third",
    class: "Third",
    summary: "",
    parameters: &[Parameter {
        name: "direction",
        kind: Type::Direction,
        default: None,
    }],
    action: Action::Change(|_, before, bytes| third(before, bytes)),
    wire: "",
    strict: "",
    section: "",
};

/// What it does, which is undone by the same.
fn third(before: u64, bytes: &mut [u8]) {
    for (place, byte) in (before..).zip(bytes) {
        if place % 3 == 2 {
            *byte = !*byte;
        }
    }
}

#[test]
fn bytes_become_others_however_they_are_cut() {
    let passing = 4;
    for way in [Way::In, Way::Out] {
        for (late, seed) in [Duration::ZERO, SECOND].into_iter().cycle().zip(0..20) {
            Simulation::echo(Config::default(), async |simulation| {
                let values = latency(late, Duration::ZERO, None);
                set(simulation, "latency", values, Selector::default()).await;
                let values = vec![Value::Direction(Some(way))];
                let fault = set_row(simulation, &THIRD, values, after(passing)).await;
                let peer = open(simulation, Temper::moody(seed)).await;
                let texts: Vec<String> = (0..30).map(|number| format!("{number:0>100}")).collect();
                let mut said = texts
                    .iter()
                    .map(|text| frame(TEXT, text))
                    .collect::<Vec<_>>()
                    .concat();
                let mut due = texts
                    .iter()
                    .map(|text| [&[0x81, 100], text.as_bytes()].concat())
                    .collect::<Vec<_>>()
                    .concat();
                let changed = if way == Way::In { &mut said } else { &mut due };
                third(0, &mut changed[usize::try_from(passing).unwrap()..]);
                peer.send(said);
                let mut got = Vec::new();
                while got.len() < due.len() {
                    got.extend(peer.read_any().await);
                }
                assert!(got == due, "{way:?} {late:?} {seed}");
                assert_eq!(fault.hits(), 1);
            });
        }
    }
}

#[test]
fn they_are_counted_from_when_it_is_set() {
    Simulation::echo(Config::default(), async |simulation| {
        let values = latency(Duration::ZERO, Duration::ZERO, None);
        set(simulation, "latency", values, Selector::default()).await;
        let peer = open(simulation, Temper::even()).await;
        for _ in 0..2 {
            peer.send(frame(TEXT, "12"));
            assert_eq!(peer.read_any().await, b"\x81\x0212");
            let values = vec![Value::Direction(Some(Way::Out))];
            let fault = set_row(simulation, &THIRD, values, after(1)).await;
            peer.send(frame(TEXT, "12"));
            assert_eq!(peer.read_any().await, b"\x81\x021\xcd");
            super::faults::end(simulation, &fault).await;
        }
    });
}
