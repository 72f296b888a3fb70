//! How a server listens while it runs: it accepts, lets clients wait, or has them refused, and is there again.

use crate::support::{REQUEST, Raw, Running, TEXT, eventually, frame, limit};
use echoserver::config::Config;
use echoserver::error::Error;
use echoserver::server::{Change, Pending};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

fn done(pending: Result<Pending<Result<(), Error>>, Error>) {
    let answer = pending.unwrap().wait(Instant::now() + limit());
    answer.expect("in time").expect("an answer").unwrap();
}

#[test]
fn who_is_in_the_backlog_is_not_lost() {
    let server = Running::new(Config::default());
    for _ in 0..20 {
        done(server.change(Change::Pause));
        let mut waiting: Vec<_> = (0..8).map(|_| Raw::connect(server.address())).collect();
        // Together, so that nobody is accepted between them.
        let changes = [Change::Resume, Change::Down(1)].map(|change| server.change(change));
        changes.into_iter().for_each(done);
        assert!(TcpStream::connect(server.address()).is_err());
        for raw in &mut waiting {
            raw.send(format!("{REQUEST}\r\n"));
            assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
        }
        done(server.change(Change::Up(1)));
    }
    assert_eq!(server.stats().connections_accepted, 160);
}

#[test]
fn connects_are_refused_and_the_port_stays_the_same() {
    let server = Running::new(Config::default());
    let mut kept = Raw::open(&server);
    for _ in 0..50 {
        done(server.change(Change::Down(1)));
        let refused = TcpStream::connect(server.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        #[cfg(target_os = "linux")]
        assert_eq!(
            TcpListener::bind(server.address()).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        kept.send(frame(TEXT, "x"));
        assert_eq!(kept.read_frame().payload, b"x");
        done(server.change(Change::Up(1)));
        drop(Raw::open(&server));
    }
}

#[test]
fn a_change_is_refused_as_soon_as_the_server_stops() {
    let server = Running::new(Config {
        workers: Some(2),
        ..Config::default()
    });
    // They do not answer, so that it goes on for them.
    let clients = [(); 2].map(|()| Raw::open(&server));
    server.stop(limit());
    for change in [Change::Pause, Change::Resume, Change::Down(1)] {
        let refused = server.change(change).unwrap_err();
        assert_eq!(refused.to_string(), "the server has stopped");
    }
    drop(clients);
}

#[test]
fn a_change_ends_with_the_server() {
    let server = Running::new(Config::default());
    server.stop(limit());
    assert!(server.wait(Some(limit())));
    assert!(server.change(Change::Down(1)).is_err());
    let reset = server.reset();
    eventually(
        || reset.wait(Instant::now()).is_some(),
        || "somebody waits for a server that has ended".into(),
    );
}
