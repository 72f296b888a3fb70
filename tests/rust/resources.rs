//! What can be seen of the process only from inside it: resident memory and descriptors. Linux tells them.
#![cfg(target_os = "linux")]

use crate::support::{BINARY, Raw, Running, TEXT, eventually, header, is_alone, limit};
use echoserver::config::Config;
use echoserver::error::Error;
use echoserver::handler::Handler;
use echoserver::server::Server;
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Resident bytes of this process.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Sends messages of `len` bytes, 256 MiB in all, until the server takes no more; reads nothing.
fn flood(server: &Running, len: usize) -> Raw {
    let raw = Raw::open(server);
    let piece = vec![0; 1 << 16];
    let patience = Duration::from_millis(500);
    raw.stream().set_write_timeout(Some(patience)).unwrap();
    let mut stream = raw.stream();
    for _ in 0..(256 << 20) / len {
        stream
            .write_all(&header(BINARY, len as u64, [0; 4]))
            .unwrap();
        for _ in 0..len / piece.len() {
            if stream.write_all(&piece).is_err() {
                return raw;
            }
        }
    }
    panic!("the server has taken 256 MiB");
}

#[test]
fn a_client_that_reads_nothing_costs_one_message() {
    if !is_alone(
        "resources::a_client_that_reads_nothing_costs_one_message",
        200,
    ) {
        return;
    }
    for len in [16 << 20, 1 << 16] {
        let limit = 16 << 20;
        let server = Running::new(Config {
            max_message_size: limit,
            ..Config::default()
        });
        Raw::open(&server).echo(TEXT, b"warm");
        let before = resident();
        let client = flood(&server, len);
        let used = usize::try_from(server.stats().memory_used).unwrap();
        let grown = resident().saturating_sub(before);
        assert!(used > 0);
        assert!(used <= limit + (1 << 20), "{used} bytes for {len}");
        assert!(
            grown <= limit + (1 << 20),
            "{grown} bytes resident for {len}"
        );
        drop(client);
        server.wait_for(|stats| stats.memory_used == 0);
    }
}

#[test]
fn accepting_survives_the_want_of_descriptors() {
    if !is_alone("resources::accepting_survives_the_want_of_descriptors", 64) {
        return;
    }
    let server = Running::new(Config {
        workers: Some(1),
        ..Config::default()
    });
    let mut client = Raw::open(&server);
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    // For the client's end of a connection; the server's finds none.
    hoard.pop();
    let mut late = Raw::connect(server.address());
    server.wait_for(|stats| stats.accept_errors > 0);
    client.echo(TEXT, b"still here");
    drop(hoard);
    late.send(format!("{}\r\n", crate::support::REQUEST));
    assert!(late.read_head().starts_with("HTTP/1.1 101 "));
    late.echo(TEXT, b"here at last");
}

#[test]
fn a_stopped_server_leaves_no_thread_and_no_descriptor() {
    if !is_alone(
        "resources::a_stopped_server_leaves_no_thread_and_no_descriptor",
        200,
    ) {
        return;
    }
    let count = |folder: &str| fs::read_dir(folder).unwrap().count();
    let counts = || (count("/proc/self/task"), count("/proc/self/fd"));
    let before = counts();
    for _ in 0..50 {
        let server = Running::new(Config {
            workers: Some(2),
            ..Config::default()
        });
        let _silent = Raw::connect(server.address());
        let mut client = Raw::open(&server);
        client.echo(TEXT, b"hello");
        server.stop(Duration::ZERO);
        assert!(server.wait(Some(limit())));
    }
    // A thread that was joined may be in the kernel's books for a moment.
    let is_as_before = || counts() == before;
    eventually(is_as_before, || {
        format!("{:?}, before it {before:?}", counts())
    });
}

/// Counts the last calls.
#[derive(Debug, Default)]
struct Closings(AtomicUsize);

impl Handler for Closings {
    fn on_closed(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_start_that_fails_is_as_if_it_had_not_been_asked() {
    if !is_alone(
        "resources::a_start_that_fails_is_as_if_it_had_not_been_asked",
        64,
    ) {
        return;
    }
    let closings = Arc::new(Closings::default());
    let config = Config {
        host: vec!["127.0.0.1".into()],
        port: 0,
        workers: Some(4),
        ..Config::default()
    };
    let server = Server::bind(config, closings.clone()).unwrap();
    let early = TcpStream::connect(server.address().socket_addr().unwrap()).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    // Some of the workers find what they need, and not all.
    for _ in 0..8 {
        let error = server.start().unwrap_err();
        assert!(matches!(error, Error::Start { .. }), "{error}");
        assert!(!server.is_serving() && !server.wait(None));
        hoard.pop();
    }
    drop(hoard);
    assert_eq!(closings.0.load(Ordering::SeqCst), 0);
    server.start().unwrap();
    assert!(matches!(server.start(), Err(Error::State(_))));
    // Who came before is served now.
    let mut raw = Raw::on(early);
    raw.send(format!("{}\r\n", crate::support::REQUEST));
    raw.read_head();
    raw.echo(TEXT, b"hello");
    server.stop(Duration::ZERO);
    assert!(server.wait(Some(limit())));
    assert_eq!(closings.0.load(Ordering::SeqCst), 1);
}
