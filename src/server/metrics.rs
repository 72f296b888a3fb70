//! The counters of a server in `OpenMetrics`, for whoever watches it: each family with its name, unit and help.
//!
//! Nothing is kept for it: what is counted anyway is read when it is asked for.

use super::label::{Code, Refused};
use super::shared::{Shared, lock};
use super::stats::{Counter, Counters, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// What `text` is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All of them, as they are now.
pub(super) fn text(shared: &Shared) -> String {
    let mut registry = Registry::with_prefix("echoserver");
    registry.register_collector(Box::new(Families(families(shared))));
    let mut text = String::new();
    // A string takes all that is written to it.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Families(Vec<Family>);

/// Samples of one name.
#[derive(Debug)]
struct Family {
    kind: MetricType,
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    samples: Vec<Sample>,
}

/// A value, and what tells it from the others of its family.
#[derive(Debug)]
struct Sample(Option<(&'static str, String)>, Value);

#[derive(Debug, Clone, Copy)]
enum Value {
    Whole(u64),
    Seconds(f64),
}

impl Family {
    fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self {
            kind: MetricType::Counter,
            name,
            unit: None,
            help,
            samples: vec![Sample(None, Value::Whole(value))],
        }
    }

    fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self {
            kind: MetricType::Gauge,
            ..Self::counter(name, help, value)
        }
    }

    fn of_bytes(self) -> Self {
        Self {
            unit: Some(Unit::Bytes),
            ..self
        }
    }

    /// A counter for each value of a label.
    fn by(
        label: &'static str,
        name: &'static str,
        help: &'static str,
        values: impl IntoIterator<Item = (String, Value)>,
    ) -> Self {
        let sample = |(value, count)| Sample(Some((label, value)), count);
        Self {
            samples: values.into_iter().map(sample).collect(),
            ..Self::counter(name, help, 0)
        }
    }

    fn by_kind(name: &'static str, help: &'static str, text: u64, binary: u64) -> Self {
        let kinds = [("text", text), ("binary", binary)];
        let values = kinds.map(|(kind, count)| (kind.to_owned(), Value::Whole(count)));
        Self::by("kind", name, help, values)
    }
}

fn families(shared: &Shared) -> Vec<Family> {
    // In this order: whoever has left has come before.
    let closed = Code::all().map(|code| sum(shared, |counters| &counters.closed[code.index()]));
    let closed: Vec<_> = closed.collect();
    let stats = shared.stats();
    let mut all = clients(shared, &stats, &closed);
    all.extend(messages(&stats));
    all.extend(server(shared, &stats));
    all
}

/// What all workers have counted together.
fn sum(shared: &Shared, of: impl Fn(&Counters) -> &Counter) -> u64 {
    let counts = shared.workers.iter();
    counts.map(|worker| of(&worker.counters).get()).sum()
}

/// Who has come, who was not let in, and how they went: `closed` by each code. Whoever is not among these is open.
fn clients(shared: &Shared, stats: &Stats, closed: &[u64]) -> Vec<Family> {
    let refused = Refused::ALL.map(|why| {
        let count = sum(shared, |counters| &counters.refused[why as usize]);
        (why.name().to_owned(), Value::Whole(count))
    });
    let tls = ("tls".to_owned(), Value::Whole(stats.tls_failures));
    let open = stats.clients_opened.saturating_sub(closed.iter().sum());
    let closed = Code::all()
        .map(Code::name)
        .zip(closed.iter().map(|count| Value::Whole(*count)));
    vec![
        Family::gauge("connections_open", "Clients at the moment", open),
        Family::counter("connections", "Clients so far", stats.clients_opened),
        Family::counter(
            "accepted",
            "TCP connections that were accepted",
            stats.connections_accepted,
        ),
        Family::counter(
            "accept_errors",
            "Failed attempts to accept one",
            stats.accept_errors,
        ),
        Family::by(
            "reason",
            "refused",
            "Those who were not let in, by the reason",
            refused.into_iter().chain([tls]),
        ),
        Family::counter(
            "http_requests",
            "Requests that asked for no WebSocket",
            stats.http_requests,
        ),
        Family::counter(
            "violations",
            "Connections failed for what the client sent",
            stats.violations,
        ),
        Family::by(
            "code",
            "closed",
            "Clients that are gone, by the close code",
            closed,
        ),
    ]
}

/// What they have said, and what was said to them.
fn messages(stats: &Stats) -> Vec<Family> {
    vec![
        Family::by_kind(
            "messages_received",
            "Messages received",
            stats.text_messages_received,
            stats.binary_messages_received,
        ),
        Family::by_kind(
            "messages_sent",
            "Messages sent",
            stats.text_messages_sent,
            stats.binary_messages_sent,
        ),
        Family::by_kind(
            "payload_received",
            "Payloads of the messages received, inflated",
            stats.text_bytes_received,
            stats.binary_bytes_received,
        )
        .of_bytes(),
        Family::by_kind(
            "payload_sent",
            "Payloads of the messages sent, before they were compressed",
            stats.text_bytes_sent,
            stats.binary_bytes_sent,
        )
        .of_bytes(),
        Family::counter(
            "received",
            "Received after the upgrade, with frame headers",
            stats.bytes_received,
        )
        .of_bytes(),
        Family::counter(
            "sent",
            "Sent after the upgrade, with frame headers",
            stats.bytes_sent,
        )
        .of_bytes(),
        Family::counter("pings_received", "Pings received", stats.pings_received),
        Family::counter("pongs_received", "Pongs received", stats.pongs_received),
    ]
}

/// What the server has done for it, and what it has.
fn server(shared: &Shared, stats: &Stats) -> Vec<Family> {
    let callbacks = shared.handler.callbacks();
    let times = callbacks.times.into_iter();
    let times = times.map(|(name, time)| (name.to_owned(), Value::Seconds(time.as_secs_f64())));
    let hits = shared.faults.hits().all();
    let hits = hits.map(|(name, count)| (name.to_owned(), Value::Whole(count)));
    vec![
        Family::gauge(
            "send_queue_high_water",
            "The most that has waited for one client since the start",
            highest(shared),
        )
        .of_bytes(),
        Family {
            unit: Some(Unit::Seconds),
            ..Family::by(
                "callback",
                "callback",
                "How long callbacks have run, without what they have awaited",
                times,
            )
        },
        Family::counter(
            "callback_errors",
            "Callbacks that have failed",
            callbacks.errors,
        ),
        Family::gauge(
            "memory_charged",
            "Charged to memory_limit at the moment",
            stats.memory_used,
        )
        .of_bytes(),
        Family::by("fault", "faults", "How often each fault has acted", hits),
    ]
}

/// The most bytes that have ever waited for one client.
fn highest(shared: &Shared) -> u64 {
    let highest = shared.workers.iter().map(|worker| {
        let roster = lock(&worker.roster);
        let clients = roster.iter().map(|client| client.most_queued());
        let now = clients.max().unwrap_or(0);
        now.max(worker.counters.queue_high.get())
    });
    highest.max().unwrap_or(0)
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let Family {
                kind,
                name,
                unit,
                help,
                samples,
            } = family;
            let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?;
            for Sample(label, value) in samples {
                match label {
                    None => write(&mut metric, *kind, *value)?,
                    Some((name, of)) => {
                        let labels = [(*name, of.as_str())];
                        write(&mut metric.encode_family(&labels)?, *kind, *value)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn write(metric: &mut MetricEncoder<'_>, kind: MetricType, value: Value) -> fmt::Result {
    match (kind, value) {
        (MetricType::Gauge, Value::Whole(value)) => metric.encode_gauge(&value),
        (MetricType::Gauge, Value::Seconds(value)) => metric.encode_gauge(&value),
        (_, Value::Whole(value)) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (_, Value::Seconds(value)) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
    }
}
