//! Faults on a connection: what they do to it and to nobody else, beside callbacks, compression, a stop, and each other.

use super::stream::Temper;
use super::{
    BINARY, CLOSE, Config, Duration, Gate, PING, PONG, REQUEST, Recorder, Simulation, TEXT, Wants,
    close, closed, frame, sent, settle,
};
use crate::client::Client;
use crate::faults::fault::Fault;
use crate::faults::selector::{After, Selector};
use crate::faults::table::{self, Row};
use crate::faults::values::{Value, Values};
use crate::order::Order;
use crate::protocol::extensions::Deflate;
use crate::protocol::message::Kind;
use crate::server::shared::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Sets a fault that every client of now knows.
pub(super) async fn set(
    simulation: &Simulation,
    name: &str,
    values: Vec<Value>,
    selector: Selector,
) -> Arc<Fault> {
    set_row(simulation, table::row(name).unwrap(), values, selector).await
}

/// The same, whatever fault it is.
pub(super) async fn set_row(
    simulation: &Simulation,
    row: &'static Row,
    values: Vec<Value>,
    selector: Selector,
) -> Arc<Fault> {
    let faults = simulation.server.faults();
    let fault = faults.set(row, Values::new(row.parameters, values), selector);
    tell(simulation).await;
    fault
}

/// Ends it.
pub(super) async fn end(simulation: &Simulation, fault: &Arc<Fault>) {
    assert!(simulation.server.faults().end(fault));
    tell(simulation).await;
}

/// As the server does for those that it has started; whoever waits for that waits until everybody knows.
async fn tell(simulation: &Simulation) {
    let (done, is_done) = mpsc::channel();
    let commands = &simulation.desk.face().commands;
    commands.post_one(Command::Faults(done));
    settle().await;
    assert_eq!(is_done.try_recv(), Err(TryRecvError::Disconnected));
}

pub(super) fn after(count: u64) -> Selector {
    Selector {
        after: After::Count(count),
        ..Selector::default()
    }
}

pub(super) fn only(client: &Client) -> Selector {
    Selector {
        client: Some(client.id),
        ..Selector::default()
    }
}

fn every(every: u64) -> Selector {
    Selector {
        every,
        ..Selector::default()
    }
}

pub(super) fn after_time(time: Duration) -> Selector {
    Selector {
        after: After::Time(time),
        ..Selector::default()
    }
}

#[test]
fn messages_are_dropped_on_connections_that_are_and_that_come_and_then_no_more() {
    Simulation::echo(Config::default(), async |simulation| {
        let (old, _) = simulation.open().await;
        old.send(frame(TEXT, "before"));
        assert_eq!(old.read().await, sent(TEXT, "before"));
        let fault = set(simulation, "drop", Vec::new(), after(1)).await;
        let (new, _) = simulation.open().await;
        for peer in [&old, &new] {
            for text in ["1", "2", "3"] {
                peer.send(frame(TEXT, text));
            }
            peer.send(frame(PING, "still there"));
            assert_eq!(peer.read().await, sent(TEXT, "1"));
            assert_eq!(peer.read().await, sent(PONG, "still there"));
        }
        assert_eq!(fault.hits(), 4);
        assert_eq!(simulation.server.stats().messages_sent, 3);
        end(simulation, &fault).await;
        for peer in [&old, &new] {
            peer.send(frame(TEXT, "after"));
            assert_eq!(peer.read().await, sent(TEXT, "after"));
        }
        assert_eq!(simulation.used(), 0);
    });
}

#[test]
fn a_message_that_comes_with_the_request_is_no_exception() {
    Simulation::echo(Config::default(), async |simulation| {
        set(simulation, "drop", Vec::new(), Selector::default()).await;
        let peer = simulation.connect(Temper::even());
        peer.send(
            [
                REQUEST.as_bytes(),
                &frame(TEXT, "dropped"),
                &frame(PING, ""),
            ]
            .concat(),
        );
        assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(peer.read().await, sent(PONG, ""));
    });
}

#[test]
fn a_fault_of_one_client_touches_no_other() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = simulation.open().await;
        let (other, _) = simulation.open().await;
        let values = vec![Value::Message(Kind::Binary, b"x".to_vec())];
        let fault = set(simulation, "replace", values, only(&client)).await;
        for one in [&peer, &other] {
            one.send(frame(TEXT, "asked"));
        }
        assert_eq!(peer.read().await, sent(BINARY, "x"));
        assert_eq!(other.read().await, sent(TEXT, "asked"));
        assert_eq!(fault.hits(), 1);
    });
}

#[test]
fn in_any_mood_of_the_stream_each_message_is_cut_and_doubled() {
    for compression in [None, Some(Deflate::default())] {
        let config = Config {
            compression,
            ..Config::default()
        };
        Simulation::echo(config, async |simulation| {
            set(simulation, "duplicate", vec![Value::Count(1)], after(1)).await;
            set(
                simulation,
                "fragment",
                vec![Value::Count(7)],
                Selector::default(),
            )
            .await;
            for seed in 0..30 {
                let peer = simulation.connect(Temper::moody(seed));
                peer.send(REQUEST);
                peer.read_head().await;
                let messages: Vec<String> = (0..20).map(|number| "m".repeat(number * 3)).collect();
                let bytes = messages.iter().map(|message| frame(TEXT, message));
                peer.send(bytes.collect::<Vec<_>>().concat());
                for (index, message) in messages.iter().enumerate() {
                    let times = if index == 0 { 1 } else { 2 };
                    for _ in 0..times {
                        let mut whole = Vec::new();
                        let mut expected = TEXT & 0x7f;
                        loop {
                            let (first, part) = peer.read().await;
                            assert_eq!(first & 0x7f, expected, "{seed} {index}");
                            assert!(part.len() <= 7);
                            whole.extend(part);
                            expected = 0;
                            if first & 0x80 != 0 {
                                break;
                            }
                        }
                        assert_eq!(whole, message.as_bytes());
                    }
                }
                peer.send(frame(CLOSE, close::payload(1000, "")));
                assert_eq!(peer.read().await, closed(1000, ""));
                peer.send_end();
                peer.expect_drop().await;
            }
        });
    }
}

#[test]
fn replies_sends_and_broadcasts_are_judged_in_the_order_in_which_they_go_out() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(Config::default(), recorder.clone(), async |simulation| {
        let (peer, client) = simulation.open().await;
        client.send(Kind::Text, "given before", 1 << 20).unwrap();
        let selector = Selector {
            every: 2,
            ..Selector::default()
        };
        let fault = set(simulation, "drop", Vec::new(), selector).await;
        assert_eq!(peer.read().await, sent(TEXT, "given before"));
        for text in ["1", "2", "3"] {
            peer.send(frame(TEXT, text));
        }
        settle().await;
        client.send(Kind::Text, "sent", 1 << 20).unwrap();
        let shared = simulation.server.frame(Kind::Text, b"shared").unwrap();
        client.order(client.share(&shared, 1 << 20).unwrap());
        settle().await;
        recorder.echo_batch(1);
        assert_eq!(peer.read().await, sent(TEXT, "sent"));
        assert_eq!(peer.read().await, sent(TEXT, "1"));
        assert_eq!(peer.read().await, sent(TEXT, "3"));
        assert_eq!((fault.hits(), client.queued()), (2, 0));
        // What is no message passes.
        client.order(client.raw(b"\x81\x03raw".to_vec(), 1 << 20).unwrap());
        assert_eq!(peer.read().await, sent(TEXT, "raw"));
    });
}

#[test]
fn who_waits_to_be_admitted_is_one_with_faults_too() {
    let recorder = Recorder::gated(Wants::OPEN, Gate::Later);
    Simulation::run(Config::default(), recorder, async |simulation| {
        set(simulation, "drop", Vec::new(), after(1)).await;
        let (peer, client) = simulation.open().await;
        peer.send([frame(TEXT, "1"), frame(TEXT, "2"), frame(PING, "")].concat());
        settle().await;
        client.order(Order::Admit);
        assert_eq!(peer.read().await, sent(TEXT, "1"));
        assert_eq!(peer.read().await, sent(PONG, ""));
    });
}

#[test]
fn many_doubled_messages_are_bounded_and_a_client_that_does_not_read_is_not_read_from() {
    let config = Config {
        memory_limit: 8 << 20,
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        set(
            simulation,
            "duplicate",
            vec![Value::Count(10)],
            Selector::default(),
        )
        .await;
        let (peer, client) = simulation.open().await;
        peer.take_only(0);
        for _ in 0..1000 {
            peer.send(frame(BINARY, vec![0; 50_000]));
        }
        settle().await;
        assert!(client.is_open());
        assert!(simulation.used() < 4 << 20, "{}", simulation.used());
        assert!(peer.unread() > 30 << 20);
        client.order(Order::Abort);
    });
}

#[test]
fn who_floods_with_messages_that_are_not_sent_holds_nobody_up() {
    // A turn is a thousand of them, whether they are sent or not.
    let (count, turn) = (50_000, 1100);
    for others in [Selector::default(), every(2)] {
        Simulation::echo(Config::default(), async |simulation| {
            let (flood, client) = simulation.open().await;
            let (other, _) = simulation.open().await;
            let selector = Selector {
                client: Some(client.id),
                ..others.clone()
            };
            set(simulation, "drop", Vec::new(), selector).await;
            flood.send([frame(TEXT, "").repeat(count), frame(PING, "")].concat());
            let mut turns = 0;
            while !flood.take_received().ends_with(&[0x80 | PONG, 0]) {
                other.send(frame(PING, "?"));
                assert_eq!(other.read().await, sent(PONG, "?"));
                turns += 1;
            }
            assert!(turns > count / turn, "{turns}");
            assert_eq!(simulation.used(), 0);
        });
    }
}
