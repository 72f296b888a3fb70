//! Upgrade requests that wait for a decision: what comes first, the decision or the end of the time, the client or the
//! server, and what the client sends meanwhile.

mod tricks;

use super::{
    CLOSE, Config, Duration, Instant, PING, PONG, Peer, REQUEST, Simulation, TEXT, Temper, close,
    closed, frame, sent, settle,
};
use crate::admission::{Decision, Request, Unheard};
use crate::client::Client;
use crate::handler::{Gate, Handler, Wants};
use crate::protocol::http::{Fields, Response};
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::time::sleep;

/// Collects the requests that it is asked about, and notes what happens.
#[derive(Debug, Default)]
struct Doorkeeper {
    requests: Mutex<Vec<Arc<Request>>>,
    notes: Mutex<Vec<&'static str>>,
}

impl Doorkeeper {
    /// The oldest request.
    async fn asked(&self) -> Arc<Request> {
        settle().await;
        self.requests.lock().unwrap().remove(0)
    }

    fn note(&self, what: &'static str) {
        self.notes.lock().unwrap().push(what);
    }

    fn notes(&self) -> Vec<&'static str> {
        self.notes.lock().unwrap().clone()
    }
}

impl Handler for Doorkeeper {
    fn wants(&self) -> Wants {
        Wants::HANDSHAKE | Wants::OPEN | Wants::CLOSE
    }

    fn on_handshake(&self, request: &Arc<Request>) {
        self.note("handshake");
        self.requests.lock().unwrap().push(request.clone());
    }

    fn on_open(&self, _client: &Arc<Client>) -> Gate {
        self.note("open");
        Gate::Open
    }

    fn on_close(&self, _client: &Arc<Client>) {
        self.note("close");
    }
}

fn run(config: Config, test: impl AsyncFnOnce(&Simulation, &Doorkeeper)) {
    let doorkeeper = Arc::new(Doorkeeper::default());
    Simulation::run(config, doorkeeper.clone(), async |simulation| {
        test(simulation, &doorkeeper).await;
    });
}

/// Decides as most do: elsewhere.
fn decide(request: &Arc<Request>, decision: Decision) -> Result<(), Unheard> {
    let request = request.clone();
    thread::spawn(move || request.decide(decision))
        .join()
        .unwrap()
}

fn ask(simulation: &Simulation, temper: Temper) -> Peer {
    let peer = simulation.connect(temper);
    peer.send(REQUEST);
    peer
}

/// Room for one client, so that a place that is not given back is missed.
fn narrow() -> Config {
    Config {
        max_connections: Some(1),
        ..Config::default()
    }
}

/// A client comes, is let in, and goes.
async fn expect_room(simulation: &Simulation, doorkeeper: &Doorkeeper) {
    let peer = ask(simulation, Temper::even());
    let request = doorkeeper.asked().await;
    decide(&request, Decision::accept()).unwrap();
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
    peer.send([frame(TEXT, "in"), frame(CLOSE, "")].concat());
    assert_eq!(peer.read().await, sent(TEXT, "in"));
    assert_eq!(peer.read().await, closed(1000, ""));
    peer.send_end();
    peer.expect_drop().await;
}

#[test]
fn a_client_comes_in_when_it_is_decided() {
    run(narrow(), async |simulation, doorkeeper| {
        for seed in 0..20 {
            let peer = ask(simulation, Temper::moody(seed));
            while doorkeeper.requests.lock().unwrap().is_empty() {
                settle().await;
            }
            let request = doorkeeper.asked().await;
            assert!(peer.is_silent() && request.is_waiting());
            assert_eq!(request.head().unwrap().path(), "/");
            decide(&request, Decision::accept()).unwrap();
            assert!(!request.is_waiting());
            assert_eq!(decide(&request, Decision::Fail), Err(Unheard::Decided));
            assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
            assert_eq!(decide(&request, Decision::Fail), Err(Unheard::Decided));
            peer.send_end();
            peer.expect_drop().await;
        }
        assert_eq!(
            doorkeeper.notes(),
            ["handshake", "open", "close"].repeat(20)
        );
    });
}

#[test]
fn a_refused_client_gets_the_response_and_leaves_its_place() {
    run(narrow(), async |simulation, doorkeeper| {
        let mut fields = Fields::default();
        fields.push("Location", "/elsewhere").unwrap();
        let moved = Response::new(302, fields, b"body".to_vec()).unwrap();
        for (decision, status) in [
            (Decision::Refuse(moved), "HTTP/1.1 302 Found\r\n"),
            (Decision::Fail, "HTTP/1.1 500 "),
        ] {
            let peer = ask(simulation, Temper::even());
            decide(&doorkeeper.asked().await, decision).unwrap();
            let head = peer.read_head().await;
            assert!(head.starts_with(status), "{head}");
            if status.contains("302") {
                assert!(head.contains("Location: /elsewhere\r\n"), "{head}");
                settle().await;
                assert_eq!(peer.take_received(), b"body");
            }
            peer.take_received();
            peer.expect_drop().await;
            // The place is free while TCP still ends.
            expect_room(simulation, doorkeeper).await;
            peer.send_end();
            peer.expect_drop().await;
        }
        assert_eq!(simulation.server.stats().handshakes_refused, 2);
    });
}

#[test]
fn a_request_that_waits_has_its_place_already() {
    run(narrow(), async |simulation, doorkeeper| {
        let first = ask(simulation, Temper::even());
        let request = doorkeeper.asked().await;
        let second = ask(simulation, Temper::even());
        let head = second.read_head().await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert!(second.take_received().ends_with(b"(max_connections)\n"));
        assert_eq!(doorkeeper.notes(), ["handshake"]);
        decide(&request, Decision::accept()).unwrap();
        assert!(first.read_head().await.starts_with("HTTP/1.1 101 "));
    });
}

#[test]
fn open_timeout_goes_on_meanwhile() {
    run(narrow(), async |simulation, doorkeeper| {
        let begun = Instant::now();
        let peer = simulation.connect(Temper::even());
        sleep(Duration::from_secs(4)).await;
        peer.send(REQUEST);
        let request = doorkeeper.asked().await;
        assert!(peer.read_head().await.starts_with("HTTP/1.1 503 "));
        let elapsed = begun.elapsed();
        assert_eq!(elapsed.as_secs(), 10, "{elapsed:?}");
        assert!(peer.take_received().ends_with(b"(open_timeout)\n"));
        assert!(!request.is_waiting());
        assert_eq!(decide(&request, Decision::accept()), Err(Unheard::Late));
        assert_eq!(decide(&request, Decision::Fail), Err(Unheard::Late));
        peer.send_end();
        peer.expect_drop().await;
        expect_room(simulation, doorkeeper).await;
        let stats = simulation.server.stats();
        assert_eq!((stats.handshakes_refused, stats.clients_opened), (1, 1));
    });
}

#[test]
fn a_stop_ends_the_waiting() {
    run(narrow(), async |simulation, doorkeeper| {
        let peer = ask(simulation, Temper::even());
        let request = doorkeeper.asked().await;
        let begun = Instant::now();
        simulation.server.stop(Duration::from_secs(60));
        assert!(peer.read_head().await.starts_with("HTTP/1.1 503 "));
        assert_eq!(peer.take_received(), b"the server is stopping\n");
        peer.send_end();
        peer.expect_drop().await;
        assert!(begun.elapsed() < Duration::from_millis(5));
        assert_eq!(decide(&request, Decision::accept()), Err(Unheard::Gone));
        assert_eq!(doorkeeper.notes(), ["handshake"]);
    });
}

#[test]
fn the_deadline_of_a_stop_ends_the_waiting_too() {
    let mut requests = Vec::new();
    run(narrow(), async |simulation, doorkeeper| {
        let peer = ask(simulation, Temper::even());
        // Its 503 has nowhere to go.
        peer.take_only(0);
        requests.push(doorkeeper.asked().await);
    });
    assert_eq!(
        decide(&requests.remove(0), Decision::accept()),
        Err(Unheard::Gone)
    );
}

#[test]
fn a_client_that_goes_meanwhile_leaves_nothing() {
    run(narrow(), async |simulation, doorkeeper| {
        for how in [Peer::send_end, Peer::reset] {
            let peer = ask(simulation, Temper::even());
            let request = doorkeeper.asked().await;
            let begun = Instant::now();
            how(&peer);
            peer.expect_drop().await;
            assert!(begun.elapsed() < Duration::from_millis(5));
            assert!(peer.take_received().is_empty());
            assert_eq!(decide(&request, Decision::accept()), Err(Unheard::Gone));
            expect_room(simulation, doorkeeper).await;
        }
        let stats = simulation.server.stats();
        assert_eq!((stats.handshakes_refused, stats.clients_opened), (0, 2));
    });
}

#[test]
fn what_comes_after_the_request_is_kept() {
    run(Config::default(), async |simulation, doorkeeper| {
        for seed in 0..50 {
            let peer = simulation.connect(Temper::moody(seed));
            peer.send([REQUEST.as_bytes(), &frame(TEXT, "in the same segment")].concat());
            while doorkeeper.requests.lock().unwrap().is_empty() {
                settle().await;
            }
            let request = doorkeeper.asked().await;
            let later = [
                frame(PING, "later"),
                frame(0x01, "in two"),
                frame(0x80, " parts"),
            ];
            peer.send(later.concat());
            peer.send_end();
            settle().await;
            assert!(peer.is_silent() && request.is_waiting());
            decide(&request, Decision::accept()).unwrap();
            assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
            assert_eq!(peer.read().await, sent(TEXT, "in the same segment"));
            assert_eq!(peer.read().await, sent(PONG, "later"));
            assert_eq!(peer.read().await, sent(TEXT, "in two parts"));
            peer.expect_drop().await;
        }
    });
}

#[test]
fn what_is_kept_is_bounded() {
    run(Config::default(), async |simulation, doorkeeper| {
        let peer = ask(simulation, Temper::even());
        let request = doorkeeper.asked().await;
        let message = vec![b'x'; 1000];
        let frames = frame(TEXT, &message).repeat(1000);
        peer.send(&frames);
        settle().await;
        assert_eq!(frames.len() - peer.unread(), 16 << 10);
        decide(&request, Decision::accept()).unwrap();
        peer.read_head().await;
        for _ in 0..1000 {
            assert_eq!(peer.read().await, sent(TEXT, &message));
        }
        peer.send(frame(CLOSE, close::payload(1000, "")));
        assert_eq!(peer.read().await, closed(1000, ""));
    });
}

#[test]
fn a_subprotocol_is_one_that_was_offered() {
    let config = Config {
        subprotocols: vec!["ours".into(), "last".into()],
        ..Config::default()
    };
    let request = REQUEST.replace(
        "\r\n\r\n",
        "\r\nSec-WebSocket-Protocol: first, second\r\nSec-WebSocket-Protocol: last\r\n\r\n",
    );
    run(config, async |simulation, doorkeeper| {
        let choose = |subprotocol: Option<&str>| Decision::Accept {
            fields: Fields::default(),
            subprotocol: subprotocol.map(str::to_owned),
        };
        for (chosen, expected) in [(Some("second"), "second"), (None, "last")] {
            let peer = simulation.connect(Temper::even());
            peer.send(&request);
            let asked = doorkeeper.asked().await;
            let offers: Vec<_> = asked.head().unwrap().subprotocols().collect();
            assert_eq!(offers, ["first", "second", "last"]);
            for wrong in ["ours", "First", "", "first, second"] {
                let decided = decide(&asked, choose(Some(wrong)));
                assert_eq!(decided, Err(Unheard::NotOffered), "{wrong}");
            }
            assert!(asked.is_waiting());
            decide(&asked, choose(chosen)).unwrap();
            let head = peer.read_head().await;
            let line = format!("\r\nSec-WebSocket-Protocol: {expected}\r\n");
            assert!(head.contains(&line), "{head}");
            let client = simulation.server.clients().pop().unwrap();
            assert_eq!(client.subprotocol.as_deref(), Some(expected));
        }
    });
}
