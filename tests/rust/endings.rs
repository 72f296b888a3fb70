//! How connections and servers end: the closing handshake from both sides, half-closed and rude peers, and `stop`.

use crate::support::{
    BINARY, BINARY_BEGINS, CLOSE, ENDS, Frame, PING, PONG, REQUEST, Raw, Running, TEXT,
    close_payload, frame, is_alone, limit, within,
};
use echoserver::client::Letter;
use echoserver::config::Config;
use echoserver::handler::Handler;
use echoserver::mailbox::Mailbox;
use socket2::SockRef;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn a_close_is_answered_with_the_same_code_and_reason() {
    let server = Running::new(Config::default());
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ] {
        for reason in ["", "au revoir à tous", &"x".repeat(123)] {
            let mut raw = Raw::open(&server);
            raw.send(frame(CLOSE, close_payload(code, reason)));
            assert_eq!(raw.read_frame(), Frame::close(code, reason));
            raw.expect_end();
        }
    }
    assert_eq!(server.stats().violations, 0);
}

#[test]
fn an_empty_close_is_answered_by_1000() {
    let server = Running::new(Config::default());
    let mut raw = Raw::open(&server);
    raw.send(frame(CLOSE, ""));
    assert_eq!(raw.read_frame(), Frame::close(1000, ""));
    raw.expect_end();
}

#[test]
fn what_came_before_a_close_is_answered_and_what_follows_is_not() {
    let server = Running::new(Config::default());
    let mut raw = Raw::open(&server);
    let long = vec![9; 400_000];
    let bytes = [
        frame(BINARY, &long),
        frame(PING, "p"),
        frame(TEXT, "last"),
        frame(CLOSE, close_payload(4000, "done")),
        frame(TEXT, "after"),
        vec![0xff; 10_000],
    ];
    raw.send(bytes.concat());
    assert_eq!(raw.read_frame(), Frame::new(BINARY, &long[..]));
    assert_eq!(raw.read_frame(), Frame::new(PONG, "p"));
    assert_eq!(raw.read_frame(), Frame::new(TEXT, "last"));
    assert_eq!(raw.read_frame(), Frame::close(4000, "done"));
    raw.expect_end();
}

#[test]
fn a_close_inside_a_fragmented_message_ends_it() {
    let server = Running::new(Config::default());
    let mut raw = Raw::open(&server);
    raw.send(frame(BINARY_BEGINS, "never ended"));
    raw.send(frame(CLOSE, close_payload(1001, "")));
    assert_eq!(raw.read_frame(), Frame::close(1001, ""));
    raw.expect_end();
}

#[test]
fn a_half_closed_client_gets_its_echo() {
    let server = Running::new(Config::default());
    for len in [0, 5, 70_000, 3_000_000] {
        let payload = vec![0xa5; len];
        let mut raw = Raw::open(&server);
        raw.send([frame(TEXT, "first"), frame(BINARY, &payload)].concat());
        raw.send_end();
        assert_eq!(raw.read_frame(), Frame::new(TEXT, "first"));
        assert_eq!(raw.read_frame(), Frame::new(BINARY, payload));
        raw.expect_end();
    }
    // The end right after the upgrade request and its first frame.
    let mut raw = Raw::connect(server.address());
    raw.send([format!("{REQUEST}\r\n").into_bytes(), frame(TEXT, "x")].concat());
    raw.send_end();
    raw.read_head();
    assert_eq!(raw.read_frame(), Frame::new(TEXT, "x"));
    raw.expect_end();
}

#[test]
fn a_client_may_go_at_any_moment() {
    let server = Running::new(Config::default());
    let mut other = Raw::open(&server);
    let bytes = [
        format!("{REQUEST}\r\n").into_bytes(),
        frame(TEXT, "a message"),
        frame(BINARY_BEGINS, "half of"),
        frame(ENDS, "another"),
    ]
    .concat();
    for end in (0..=bytes.len()).step_by(3) {
        for is_rude in [false, true] {
            let raw = Raw::connect(server.address());
            raw.send(&bytes[..end]);
            if is_rude {
                // The close resets the connection.
                SockRef::from(raw.stream())
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            }
        }
    }
    other.echo(TEXT, b"still here");
    drop(other);
    server.wait_for(|stats| stats.clients_opened == stats.clients_closed && stats.memory_used == 0);
}

#[test]
fn a_client_that_goes_with_output_under_way_leaves_nothing() {
    let server = Running::new(Config::default());
    for is_rude in [false, true] {
        let raw = Raw::open(&server);
        let message = frame(BINARY, vec![1; 1 << 20]);
        // What neither side's buffers take has to wait in the server.
        raw.stream()
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        while std::io::Write::write_all(&mut raw.stream(), &message).is_ok() {}
        server.wait_for(|stats| stats.memory_used > 0);
        if is_rude {
            SockRef::from(raw.stream())
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
        drop(raw);
        server.wait_for(|stats| {
            stats.clients_opened == stats.clients_closed && stats.memory_used == 0
        });
    }
}

#[test]
fn a_client_that_does_not_end_tcp_is_left_after_close_timeout() {
    let server = Running::new(Config {
        close_timeout: Duration::from_millis(50),
        ..Config::default()
    });
    let mut raw = Raw::open(&server);
    raw.send(frame(CLOSE, ""));
    assert_eq!(raw.read_frame(), Frame::close(1000, ""));
    // This side stays open. A stop has nobody to wait for.
    server.wait_for(|stats| stats.clients_closed == 1);
    server.stop(limit());
    assert!(server.wait(Some(limit() / 2)));
}

#[test]
fn a_silent_client_is_told_1001_and_one_without_pongs_1011() {
    let server = Running::new(Config {
        idle_timeout: Some(Duration::from_millis(50)),
        ..Config::default()
    });
    let mut raw = Raw::open(&server);
    let frame = raw.read_frame();
    assert!(matches!(frame.code(), (1001, why) if why.contains("idle_timeout")));

    let server = Running::new(Config {
        ping_interval: Some(Duration::from_millis(20)),
        ping_timeout: Duration::from_millis(50),
        ..Config::default()
    });
    let mut raw = Raw::open(&server);
    assert_eq!(raw.read_frame().first, PING);
    let frame = raw.read_frame();
    assert!(matches!(frame.code(), (1011, why) if why.contains("ping_timeout")));
}

#[test]
fn pongs_keep_a_connection() {
    let server = Running::new(Config {
        ping_interval: Some(Duration::from_millis(5)),
        ping_timeout: limit(),
        ..Config::default()
    });
    let mut raw = Raw::open(&server);
    for _ in 0..5 {
        let ping = raw.read_frame();
        assert_eq!(ping.first, PING);
        raw.send(frame(PONG, &ping.payload));
    }
    server.wait_for(|stats| stats.pongs_received == 5);
    assert!(server.clients()[0].rtt().is_some());
}

#[test]
fn a_stop_tells_every_client_1001() {
    let server = Running::new(Config::default());
    let mut open: Vec<Raw> = (0..20).map(|_| Raw::open(&server)).collect();
    for (index, raw) in open.iter_mut().enumerate() {
        raw.echo(TEXT, index.to_string().as_bytes());
    }
    // Neither of them holds the stop: no request yet, half a request.
    let silent = Raw::connect(server.address());
    let begun = Raw::connect(server.address());
    begun.send("GET / HTTP/1.1\r\n");
    server.wait_for(|stats| stats.connections_accepted == 22);
    server.stop(limit());
    assert!(!server.is_serving());
    for mut raw in open {
        let told = raw.read_frame();
        assert!(matches!(told.code(), (1001, why) if why.contains("stopping")));
        raw.send(frame(CLOSE, &told.payload));
        raw.expect_end();
    }
    assert!(server.wait(Some(limit())));
    silent.expect_any_end();
    begun.expect_any_end();
    assert!(std::net::TcpStream::connect(server.address()).is_err());
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let server = Running::new(Config::default());
    let mut deaf = Raw::open(&server);
    let stopped = Instant::now();
    server.stop(Duration::from_millis(100));
    assert!(server.wait(Some(limit())));
    assert!(stopped.elapsed() < within(Duration::from_secs(4)));
    assert_eq!(deaf.read_frame().code().0, 1001);
    deaf.expect_any_end();
}

/// Its last call takes until it is told.
#[derive(Debug)]
struct Slow(Mutex<(Sender<()>, Receiver<()>)>);

impl Handler for Slow {
    fn on_closed(&self) {
        let slow = self.0.lock().unwrap();
        slow.0.send(()).unwrap();
        // Its end is as good as a word.
        let _ = slow.1.recv_timeout(limit());
    }
}

#[test]
fn the_end_comes_after_the_last_call_and_who_looks_for_it_does_not_wait() {
    let (called, calls) = channel();
    let (finish, finished) = channel();
    let handler = Slow(Mutex::new((called, finished)));
    let server = Running::with(Config::default(), Arc::new(handler));
    server.stop(Duration::ZERO);
    calls.recv_timeout(limit()).unwrap();
    assert!(!server.wait(Some(Duration::ZERO)) && !server.is_serving());
    finish.send(()).unwrap();
    assert!(server.wait(Some(limit())));
    assert!(calls.try_recv().is_err());
}

#[test]
fn a_second_stop_brings_the_end_forward() {
    let server = Running::new(Config::default());
    let _deaf = Raw::open(&server);
    server.stop(Duration::from_secs(3600));
    assert!(!server.wait(Some(Duration::from_millis(20))));
    server.stop(Duration::ZERO);
    assert!(server.wait(Some(limit())));
}

#[test]
fn a_thousand_clients_are_told_1001() {
    if !is_alone("endings::a_thousand_clients_are_told_1001", 4000) {
        return;
    }
    let server = Running::new(Config {
        workers: Some(2),
        ..Config::default()
    });
    let mut clients: Vec<Raw> = (0..1000).map(|_| Raw::open(&server)).collect();
    server.stop(limit());
    for raw in &mut clients {
        let told = raw.read_frame();
        assert_eq!(told.code().0, 1001);
        raw.send(frame(CLOSE, &told.payload));
    }
    for raw in clients {
        raw.expect_end();
    }
    assert!(server.wait(Some(limit())));
}

#[test]
fn binary_zeros_after_the_end_are_nobodys_business() {
    let server = Running::new(Config {
        close_timeout: limit(),
        ..Config::default()
    });
    let mut raw = Raw::open(&server);
    raw.send(frame(CLOSE, ""));
    raw.read_frame();
    // The server reads on until this side ends, so that nothing is reset; more than 1 MiB it does not read.
    raw.send(vec![BINARY; 1 << 19]);
    raw.expect_end();
}

/// Counts looks, and is asked for none before the end.
#[derive(Debug, Default)]
struct Looked(AtomicUsize);

impl Handler for Looked {
    fn on_look(&self, _worker: &Arc<Mailbox<Letter>>) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }
}

#[test]
fn each_worker_looks_for_replies_once_more_at_its_end() {
    let looked = Arc::new(Looked::default());
    let config = Config {
        workers: Some(3),
        ..Config::default()
    };
    let server = Running::with(config, looked.clone());
    Raw::open(&server).echo(TEXT, b"x");
    assert_eq!(looked.0.load(Ordering::Relaxed), 0);
    server.stop(limit());
    assert!(server.wait(Some(limit())));
    assert_eq!(looked.0.load(Ordering::Relaxed), 3);
}
