//! `Handler::on_handshake` on real sockets, with decisions from other threads, and a client that is not ours.

use crate::support::{Frame, REQUEST, Raw, Running, TEXT, frame, limit};
use echoserver::admission::{Decision, Request, Unheard};
use echoserver::config::Config;
use echoserver::handler::{Handler, Wants};
use echoserver::protocol::http::{Fields, Response};
use echoserver::tungstenite::{self, Error, Message};
use std::io::{ErrorKind, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Hands the requests to the test.
#[derive(Debug)]
struct Doorkeeper(Mutex<Sender<Arc<Request>>>);

impl Handler for Doorkeeper {
    fn wants(&self) -> Wants {
        Wants::HANDSHAKE
    }

    fn on_handshake(&self, request: &Arc<Request>) {
        self.0.lock().unwrap().send(request.clone()).unwrap();
    }
}

fn run(config: Config) -> (Running, Receiver<Arc<Request>>) {
    let (sender, requests) = channel();
    let handler = Arc::new(Doorkeeper(Mutex::new(sender)));
    (Running::with(config, handler), requests)
}

/// Decides about every request by its path, in a thread of its own, until the server is gone.
fn decide_all(requests: Receiver<Arc<Request>>) -> thread::JoinHandle<usize> {
    thread::spawn(move || {
        requests
            .iter()
            .map(|request| {
                let decision = match request.head().unwrap().path() {
                    "/refuse" => {
                        let mut fields = Fields::default();
                        fields.push("WWW-Authenticate", "Bearer").unwrap();
                        Decision::Refuse(Response::text(401, fields, "who?").unwrap())
                    }
                    "/fail" => Decision::Fail,
                    _ => {
                        let mut fields = Fields::default();
                        fields.push("Set-Cookie", "a=1").unwrap();
                        fields.push("Set-Cookie", "b=2").unwrap();
                        Decision::Accept {
                            fields,
                            subprotocol: None,
                        }
                    }
                };
                request.decide(decision).unwrap();
            })
            .count()
    })
}

#[test]
fn a_client_that_is_not_ours_understands_every_decision() {
    let (server, requests) = run(Config::default());
    let deciding = decide_all(requests);
    for _ in 0..20 {
        let (mut socket, response) = tungstenite::client::client(
            server.url(),
            std::net::TcpStream::connect(server.address()).unwrap(),
        )
        .unwrap();
        let cookies: Vec<_> = response.headers().get_all("Set-Cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        socket.send(Message::text("hello")).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text("hello"));
        for (path, status) in [("refuse", 401), ("fail", 500)] {
            let refused = tungstenite::client::client(
                server.url() + path,
                std::net::TcpStream::connect(server.address()).unwrap(),
            );
            let Err(tungstenite::HandshakeError::Failure(Error::Http(response))) = refused else {
                panic!("{path}: {refused:?}");
            };
            assert_eq!(response.status(), status);
            if status == 401 {
                assert_eq!(response.headers()["WWW-Authenticate"], "Bearer");
            }
        }
    }
    server.wait_for(|stats| stats.clients_closed == 20 && stats.handshakes_refused == 40);
    drop(server);
    assert_eq!(deciding.join().unwrap(), 60);
}

#[test]
fn refusals_of_the_server_come_before_the_question() {
    let (server, requests) = run(Config {
        origins: Some(vec![None]),
        ..Config::default()
    });
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 426),
        (REQUEST.replace("GET", "PUT") + "\r\n", 405),
        (REQUEST.replace("13", "8") + "\r\n", 426),
        (REQUEST.to_owned() + "Origin: http://a\r\n\r\n", 403),
    ] {
        let mut raw = Raw::connect(server.address());
        raw.send(request);
        let head = raw.read_head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    assert!(requests.try_recv().is_err());
}

#[test]
fn a_decision_wakes_a_worker_that_rests() {
    let (server, requests) = run(Config {
        workers: Some(1),
        ..Config::default()
    });
    let mut first = Raw::connect(server.address());
    first.send(format!("{REQUEST}\r\n"));
    first.send(frame(TEXT, "behind the request"));
    let request = requests.recv_timeout(limit()).unwrap();
    // Others are served meanwhile.
    let mut other = Raw::connect(server.address());
    other.send(format!("{REQUEST}\r\n"));
    let another = requests.recv_timeout(limit()).unwrap();
    another.decide(Decision::accept()).unwrap();
    assert!(other.read_head().starts_with("HTTP/1.1 101 "));
    other.echo(TEXT, b"x");
    assert!(request.is_waiting());
    request.decide(Decision::accept()).unwrap();
    assert!(first.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(first.read_frame(), Frame::new(TEXT, "behind the request"));
}

#[test]
fn the_end_of_the_server_leaves_no_request_waiting() {
    let (server, requests) = run(Config::default());
    let waiting: Vec<Raw> = (0..50)
        .map(|_| {
            let raw = Raw::connect(server.address());
            raw.send(format!("{REQUEST}\r\n"));
            raw
        })
        .collect();
    let asked: Vec<_> = waiting
        .iter()
        .map(|_| requests.recv_timeout(limit()).unwrap())
        .collect();
    // Decided about at the moment of the stop: some are heard and some are not, and both is well.
    let deciding = thread::spawn(move || {
        for request in asked {
            let decided = request.decide(Decision::accept());
            assert!(matches!(decided, Ok(()) | Err(Unheard::Gone)));
            assert!(!request.is_waiting());
        }
    });
    server.stop(Duration::ZERO);
    assert!(server.wait(Some(limit())));
    deciding.join().unwrap();
    for raw in waiting {
        raw.expect_any_end();
    }
}

#[test]
fn somebody_may_get_an_end_or_a_reset_instead_of_an_answer() {
    let (server, requests) = run(Config::default());
    for (decision, expected) in [
        (Decision::Silence, None),
        (Decision::Reset, Some(ErrorKind::ConnectionReset)),
    ] {
        let raw = Raw::connect(server.address());
        raw.send(format!("{REQUEST}\r\n"));
        let request = requests.recv_timeout(limit()).unwrap();
        request.decide(decision).unwrap();
        let mut byte = [0];
        let end = raw.stream().read(&mut byte).map_err(|error| error.kind());
        assert_eq!(end, expected.map_or(Ok(0), Err));
    }
}
