//! What one client may cost: memory, and the attention that others get.

use crate::support::{
    BINARY, BINARY_BEGINS, Frame, GOES_ON, KEY, REQUEST, Raw, Running, TEXT, frame, header,
    is_alone, limit, within,
};
use echoserver::config::Config;
use std::io::Write;
use std::time::{Duration, Instant};

/// A frame whose masking key is zero, so that neither side has to work for it.
fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64, [0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn a_message_that_does_not_fit_into_memory_is_1013() {
    let server = Running::new(Config {
        memory_limit: 2 << 20,
        ..Config::default()
    });
    let mut other = Raw::open(&server);
    let mut raw = Raw::open(&server);
    raw.echo(TEXT, b"before");
    raw.send(header(BINARY, 16 << 20, KEY));
    let piece = vec![0; 1 << 16];
    // Until the server has had enough: it reads and throws away a little after its close frame.
    for _ in 0..40 {
        raw.send(&piece);
    }
    let told = raw.read_frame();
    assert!(
        matches!(told.code(), (1013, why) if why.contains("memory_limit of 2097152 bytes")),
        "{told:?}"
    );
    raw.expect_end();
    other.echo(BINARY, &vec![3; 200_000]);
    drop(other);
    server.wait_for(|stats| stats.memory_used == 0 && stats.violations == 1);
}

#[test]
fn many_parts_of_a_message_are_1013_too() {
    let server = Running::new(Config {
        memory_limit: 100_000,
        ..Config::default()
    });
    let mut raw = Raw::open(&server);
    let part = frame(GOES_ON, [1; 1000]);
    raw.send(frame(BINARY_BEGINS, ""));
    for _ in 0..150 {
        raw.send(&part);
    }
    assert_eq!(raw.read_frame().code().0, 1013);
    raw.expect_end();
}

/// The promise of a header costs nothing; only what has come does.
#[test]
fn declared_messages_do_not_cost_others_their_echo() {
    let server = Running::new(Config {
        memory_limit: 64 << 20,
        ..Config::default()
    });
    let mut other = Raw::open(&server);
    let greedy: Vec<Raw> = (0..20)
        .map(|_| {
            let raw = Raw::open(&server);
            raw.send([header(BINARY, 60 << 20, KEY), vec![1]].concat());
            raw
        })
        .collect();
    server.wait_for(|stats| stats.bytes_received == 20 * 15);
    assert!(server.stats().memory_used < 20 * 1024);
    let message: Vec<u8> = (0..1u32 << 20).map(|i| i.to_le_bytes()[0]).collect();
    other.send(frame(BINARY, &message));
    assert_eq!(other.read_frame(), Frame::new(BINARY, message));
    drop((greedy, other));
    server.wait_for(|stats| stats.memory_used == 0 && stats.clients_closed == 21);
}

#[test]
fn one_flood_starves_nobody() {
    let server = Running::new(Config {
        workers: Some(1),
        ..Config::default()
    });
    let flood = Raw::open(&server);
    let sender = flood.stream().try_clone().unwrap();
    let message = plain(BINARY, &[7; 1000]).repeat(100);
    // Its own reading keeps the flood going, until the socket is closed.
    let sending = std::thread::spawn(move || while (&sender).write_all(&message).is_ok() {});
    let mut reader = flood.stream().try_clone().unwrap();
    let reading =
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).is_ok());
    server.wait_for(|stats| stats.binary_messages_received > 1000);
    let mut other = Raw::open(&server);
    let before = server.stats().binary_messages_received;
    let asked = Instant::now();
    for _ in 0..50 {
        other.echo(TEXT, b"me too");
    }
    let taken = asked.elapsed();
    assert!(taken < limit(), "{taken:?}");
    server.wait_for(|stats| stats.binary_messages_received > before);
    flood.stream().shutdown(std::net::Shutdown::Both).unwrap();
    sending.join().unwrap();
    reading.join().unwrap();
}

#[test]
fn a_thousand_slow_requests_are_closed_in_time() {
    if !is_alone("limits::a_thousand_slow_requests_are_closed_in_time", 4000) {
        return;
    }
    let open_timeout = within(Duration::from_secs(2));
    let server = Running::new(Config {
        open_timeout,
        ..Config::default()
    });
    let mut other = Raw::open(&server);
    let begun = Instant::now();
    let mut slow: Vec<Raw> = (0..1000).map(|_| Raw::connect(server.address())).collect();
    let mut worst = Duration::ZERO;
    let mut bytes = REQUEST.bytes();
    // One byte each and an echo for somebody else, over and over, until the first of them is due.
    while begun.elapsed() < open_timeout.mul_f64(0.75) {
        let byte = bytes.next().unwrap();
        for raw in &slow {
            raw.send([byte]);
        }
        let asked = Instant::now();
        other.echo(TEXT, b"meanwhile");
        worst = worst.max(asked.elapsed());
    }
    for raw in &mut slow {
        assert!(raw.read_head().starts_with("HTTP/1.1 408 "));
        raw.read_rest();
    }
    drop(slow);
    other.echo(TEXT, b"after");
    assert!(worst < limit() / 20, "{worst:?}");
    assert!(begun.elapsed() < open_timeout + limit() / 2);
    assert_eq!(server.stats().handshakes_refused, 1000);
}
