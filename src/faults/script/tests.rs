//! Every selector at every opportunity, alone and together; no connection is needed for it.

use super::ends::Ending;
use super::*;
use crate::faults::selector::Selector;
use crate::faults::table::{Row, row};
use crate::faults::values::{Value, Values};
use crate::protocol::message::Kind;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

impl Script {
    /// Whether nothing is to be asked.
    fn is_empty(&self) -> bool {
        self.active.borrow().is_empty()
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn set(faults: &Faults, name: &str, values: Vec<Value>, selector: Selector) -> Arc<Fault> {
    let row: &'static Row = row(name).unwrap();
    faults.set(row, Values::new(row.parameters, values), selector)
}

/// A script whose time stands still but for what is done to it.
fn script(faults: &Faults, connection: u64, path: &str) -> (Script, Rc<Cell<Instant>>) {
    let time = Rc::new(Cell::new(Instant::now()));
    let own = time.clone();
    let script = Script::new(faults.seed(), connection, path, time.get(), move || {
        own.get()
    });
    script.follow(faults, [0, 0]);
    (script, time)
}

/// Which of so many messages do not get through.
fn dropped(script: &Script, count: usize) -> Vec<usize> {
    let is_dropped = |_: &usize| {
        let mut passing = Passing::new(Kind::Text, &[]);
        script.message(&mut passing);
        passing.times == 0
    };
    (1..=count).filter(is_dropped).collect()
}

#[test]
fn of_those_that_match_the_first_pass_then_each_so_manieth() {
    let cases: [(u64, u64, Option<u64>, &[usize]); 6] = [
        (0, 1, None, &[1, 2, 3, 4, 5, 6, 7, 8]),
        (3, 1, None, &[4, 5, 6, 7, 8]),
        (0, 3, None, &[3, 6]),
        (2, 2, None, &[4, 6, 8]),
        (2, 2, Some(2), &[4, 6]),
        (0, 1, Some(1), &[1]),
    ];
    for (after, every, times, expected) in cases {
        let faults = Faults::new(Some(1));
        let selector = Selector {
            after: After::Count(after),
            every,
            times,
            ..Selector::default()
        };
        let fault = set(&faults, "drop", Vec::new(), selector);
        let (script, _) = script(&faults, 1, "/");
        assert_eq!(dropped(&script, 8), expected, "{after} {every} {times:?}");
        assert_eq!(fault.hits(), expected.len() as u64);
    }
}

#[test]
fn a_time_passes_first() {
    let faults = Faults::new(Some(1));
    let selector = Selector {
        after: After::Time(2 * SECOND),
        every: 2,
        ..Selector::default()
    };
    set(&faults, "drop", Vec::new(), selector);
    let (script, time) = script(&faults, 1, "/");
    assert_eq!(script.deadline(), None);
    assert!(dropped(&script, 5).is_empty());
    time.set(time.get() + 2 * SECOND);
    assert_eq!(dropped(&script, 5), [2, 4]);
}

#[test]
fn only_this_path_and_this_client() {
    let faults = Faults::new(Some(1));
    let on_path = Selector {
        path: Some("/a".to_owned()),
        ..Selector::default()
    };
    set(&faults, "drop", Vec::new(), on_path);
    let (elsewhere, _) = script(&faults, 1, "/b");
    assert!(elsewhere.is_empty() && !elsewhere.judges());
    let (there, _) = script(&faults, 2, "/a");
    assert_eq!(dropped(&there, 1), [1]);
    let of_client = Selector {
        client: Some(3),
        ..Selector::default()
    };
    set(&faults, "no-pong", Vec::new(), of_client);
    elsewhere.follow(&faults, [0, 0]);
    assert!(elsewhere.is_empty());
    let (client, _) = script(&faults, 3, "/b");
    assert!(client.is_in(State::NoPong) && !client.judges());
}

#[test]
fn counts_are_the_connections_and_times_are_for_all() {
    let faults = Faults::new(Some(1));
    let selector = Selector {
        after: After::Count(1),
        times: Some(3),
        ..Selector::default()
    };
    let fault = set(&faults, "drop", Vec::new(), selector);
    let (first, _) = script(&faults, 1, "/");
    let (second, _) = script(&faults, 2, "/");
    assert_eq!(dropped(&first, 3), [2, 3]);
    assert_eq!(dropped(&second, 3), [2]);
    assert_eq!(fault.hits(), 3);
}

#[test]
fn chance_is_the_same_for_the_same_seed_whatever_others_do() {
    let half = || Selector {
        probability: 0.5,
        ..Selector::default()
    };
    let expected = |connection| {
        let faults = Faults::new(Some(7));
        set(&faults, "drop", Vec::new(), half());
        let (script, _) = script(&faults, connection, "/");
        dropped(&script, 200)
    };
    assert!((60..140).contains(&expected(1).len()));
    assert_ne!(expected(1), expected(2));
    for round in 0..100 {
        let faults = Faults::new(Some(7));
        set(&faults, "drop", Vec::new(), half());
        // Another fault beside it, and another connection.
        set(&faults, "no-pong", Vec::new(), Selector::default());
        let (script, _) = script(&faults, 1, "/");
        let (other, _) = self::script(&faults, 2, "/");
        let mut found = Vec::new();
        for number in 1..=200 {
            dropped(&other, (number + round) % 3);
            if !dropped(&script, 1).is_empty() {
                found.push(number);
            }
        }
        assert_eq!(found, expected(1), "{round}");
    }
}

#[test]
fn faults_act_in_the_order_in_which_they_were_set_and_end() {
    let faults = Faults::new(Some(1));
    let data = Value::Message(Kind::Binary, b"other".to_vec());
    let replace = set(&faults, "replace", vec![data], Selector::default());
    set(
        &faults,
        "duplicate",
        vec![Value::Count(2)],
        Selector::default(),
    );
    let (script, _) = script(&faults, 1, "/");
    let judged = |script: &Script| {
        let mut passing = Passing::new(Kind::Text, &[]);
        script.message(&mut passing);
        (passing.kind(), passing.payload(), passing.times)
    };
    assert_eq!(judged(&script), (Kind::Binary, b"other".to_vec(), 3));
    assert!(faults.end(&replace) && !faults.end(&replace));
    // What was given before it ended is its business yet.
    assert_eq!(judged(&script), (Kind::Binary, b"other".to_vec(), 3));
    script.follow(&faults, [0, 0]);
    assert_eq!(judged(&script), (Kind::Text, Vec::new(), 3));
    let drop = set(&faults, "drop", Vec::new(), Selector::default());
    script.follow(&faults, [0, 0]);
    assert_eq!(judged(&script).2, 0);
    faults.end(&drop);
    script.follow(&faults, [0, 0]);
    assert_eq!(judged(&script).2, 3);
    for fault in faults.all() {
        assert!(faults.is_any());
        faults.end(&fault);
    }
    assert!(!faults.is_any());
    script.follow(&faults, [0, 0]);
    assert!(script.is_empty());
}

#[test]
fn what_a_fault_has_counted_stays_when_others_are_set() {
    let faults = Faults::new(Some(1));
    let selector = Selector {
        after: After::Count(2),
        ..Selector::default()
    };
    let first = set(
        &faults,
        "duplicate",
        vec![Value::Count(1)],
        Selector::default(),
    );
    set(&faults, "drop", Vec::new(), selector);
    let (script, _) = script(&faults, 1, "/");
    assert!(dropped(&script, 1).is_empty());
    set(&faults, "no-pong", Vec::new(), Selector::default());
    script.follow(&faults, [0, 0]);
    assert!(dropped(&script, 1).is_empty());
    faults.end(&first);
    script.follow(&faults, [0, 0]);
    assert_eq!(dropped(&script, 2), [1, 2]);
}

#[test]
fn only_what_does_not_fit_is_cut_and_counted() {
    let faults = Faults::new(Some(1));
    let fault = set(
        &faults,
        "fragment",
        vec![Value::Count(4)],
        Selector::default(),
    );
    let (script, _) = script(&faults, 1, "/");
    assert_eq!([script.fragment(4), script.fragment(5)], [usize::MAX, 4]);
    assert_eq!(fault.hits(), 1);
    set(
        &faults,
        "fragment",
        vec![Value::Count(2)],
        Selector::default(),
    );
    script.follow(&faults, [0, 0]);
    assert_eq!([script.fragment(4), script.fragment(5)], [2, 2]);
}

#[test]
fn an_end_has_its_time_and_its_frames() {
    let at_time = |name, values| {
        let faults = Faults::new(Some(1));
        let selector = Selector {
            after: After::Time(SECOND),
            ..Selector::default()
        };
        let fault = set(&faults, name, values, selector);
        (faults, fault)
    };
    let reason = vec![Value::Code(4000), Value::Text("enough".to_owned())];
    let close = Ending::Close(4000, "enough".to_owned());
    for (name, values, ending) in [
        ("close", reason, close),
        ("reset", Vec::new(), Ending::Cut(Cut::Reset)),
        ("half-close", Vec::new(), Ending::Cut(Cut::HalfClose)),
    ] {
        let (faults, fault) = at_time(name, values);
        let (script, time) = script(&faults, 1, "/");
        let due = script.deadline().unwrap();
        assert_eq!(due - time.get(), SECOND);
        assert_eq!(
            (script.on_time(time.get(), false), script.frame()),
            (None, None)
        );
        time.set(due);
        assert_eq!(script.on_time(due, false), Some(ending));
        assert_eq!((fault.hits(), script.deadline()), (1, None));
        assert_eq!(script.on_time(due, false), None);
    }
    let faults = Faults::new(Some(1));
    let selector = Selector {
        after: After::Count(2),
        ..Selector::default()
    };
    set(&faults, "reset", Vec::new(), selector);
    let (script, _) = script(&faults, 1, "/");
    assert_eq!(script.deadline(), None);
    let frames: Vec<_> = (0..3).map(|_| script.frame()).collect();
    assert_eq!(frames, [None, None, Some(Cut::Reset)]);
}

#[test]
fn states_last_and_count_what_is_not_done() {
    let faults = Faults::new(Some(1));
    let fault = set(&faults, "no-close-reply", Vec::new(), Selector::default());
    let frozen = set(&faults, "freeze", Vec::new(), Selector::default());
    let (script, _) = script(&faults, 1, "/");
    assert!(!script.holds(State::NoPong));
    assert!(script.holds(State::NoCloseReply) && script.holds(State::NoCloseReply));
    assert_eq!(fault.hits(), 2);
    // To be frozen is all that there is.
    assert!(script.is_in(State::Frozen) && script.moves_bytes());
    assert_eq!(frozen.hits(), 1);
    script.follow(&faults, [0, 0]);
    assert_eq!(frozen.hits(), 1);
    faults.end(&frozen);
    script.follow(&faults, [0, 0]);
    assert!(!script.is_in(State::Frozen) && !script.moves_bytes());
}
