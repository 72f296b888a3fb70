//! Requests for reports, one behind the other on a connection that goes on; and that what one of them says agrees.

use super::{Config, REQUEST, Simulation, TEXT, Temper, frame, sent, settle};
use crate::server::label::Code;
use crate::server::metrics;

const ASK: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn answers(received: &[u8]) -> usize {
    let received = String::from_utf8_lossy(received);
    received.matches("\r\n\r\naccepting\n").count() + received.matches("\r\n\r\nstopping\n").count()
}

#[test]
fn many_at_once_hold_nobody_up() {
    let config = Config {
        health: true,
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let (client, _) = simulation.open().await;
        let asking = simulation.connect(Temper::even());
        asking.send(ASK.repeat(200));
        client.send(frame(TEXT, "between"));
        assert_eq!(client.read().await, sent(TEXT, "between"));
        let before = answers(&asking.take_received());
        assert!(before < 10, "{before} were answered before");
        asking.send(REQUEST);
        for _ in 0..4 {
            settle().await;
        }
        let received = asking.take_received();
        assert_eq!(before + answers(&received), 200);
        // What comes behind them is where it was.
        assert!(String::from_utf8_lossy(&received).contains("\nHTTP/1.1 101 "));
        client.send_end();
        asking.send_end();
    });
}

#[test]
fn whoever_is_not_among_the_closed_is_open() {
    Simulation::echo(Config::default(), async |simulation| {
        let counters = simulation.desk.counters();
        // In the middle of an end: it is not known yet with which code.
        counters.clients_opened.add(5);
        counters.clients_closed.add(3);
        counters.closed[Code::of(1000).index()].add(2);
        let text = metrics::text(&simulation.server.shared);
        for line in [
            "echoserver_connections_total 5",
            "echoserver_closed_total{code=\"1000\"} 2",
            "echoserver_connections_open 3",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
        counters.clients_closed.add(2);
    });
}
