//! TLS over the stream in memory, with rustls' buffered client at its other end: moods, errors at any point, waits.

use super::endings::conversation;
use super::stream::Temper;
use super::tls_peer::{TlsPeer, VERSIONS, connect};
use super::{Config, Duration, Instant, REQUEST, Simulation, settle};
use crate::protocol::frame::{self, Opcode};
use crate::tls::Tls;
use std::io::Read;

pub(super) fn config() -> Config {
    Config {
        tls: Some(Tls::SelfSigned {
            names: Vec::new(),
            flaw: None,
        }),
        ..Config::default()
    }
}

/// The frames as the server writes them.
pub(super) fn wire(answers: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (first, payload) in answers {
        let opcode = match first & 0xf {
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            _ => Opcode::Pong,
        };
        wire.extend(frame::server_frame(opcode, payload));
    }
    wire
}

#[test]
fn any_mood_of_the_stream_gives_the_same_answers() {
    let (bytes, answers) = conversation();
    let expected = wire(&answers);
    Simulation::echo(config(), async |simulation| {
        for seed in 0..40 {
            let version = VERSIONS[usize::from(seed % 2 == 0)];
            let mut client = TlsPeer::new(simulation, Temper::moody(seed), version);
            client.sip = if seed % 3 == 0 { 700 } else { usize::MAX };
            client.send(&bytes);
            while client.step().await {}
            assert!(client.received.ends_with(&expected), "seed {seed}");
            assert!(client.received.starts_with(b"HTTP/1.1 101 "), "seed {seed}");
            // The end was told: `close_notify` is not missing.
            assert_eq!(client.tls.reader().read(&mut [0]).unwrap(), 0, "{seed}");
            client.peer.send_end();
            client.peer.expect_drop().await;
        }
    });
}

#[test]
fn an_error_at_any_point_ends_only_its_connection() {
    let (bytes, _) = conversation();
    Simulation::echo(config(), async |simulation| {
        for patience in 0..120 {
            let temper = Temper::moody(patience as u64).failing_after(patience);
            let version = VERSIONS[patience % 2];
            let mut client = TlsPeer::new(simulation, temper, version);
            client.send(&bytes);
            while client.step().await {}
            client.peer.send_end();
            client.peer.expect_drop().await;
        }
        let mut client = TlsPeer::new(simulation, Temper::even(), VERSIONS[1]);
        client.send(&bytes);
        while client.step().await {}
        assert!(client.received.len() > 70_000);
        client.peer.send_end();
        client.peer.expect_drop().await;
    });
}

#[test]
fn many_frames_come_back_in_one_record() {
    Simulation::echo(config(), async |simulation| {
        for version in VERSIONS {
            let mut client = TlsPeer::new(simulation, Temper::even(), version);
            client.handshake().await;
            client.send(REQUEST);
            while !client.received.ends_with(b"\r\n\r\n") {
                client.step().await;
            }
            client.received.clear();
            client.send(super::frame(super::TEXT, "one of many").repeat(500));
            client.flush();
            settle().await;
            let mut records = &client.peer.take_received()[..];
            let mut count = 0;
            while let [_, _, _, high, low, rest @ ..] = records {
                count += 1;
                records = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
            }
            assert_eq!(count, 1);
        }
    });
}

#[test]
fn what_a_client_does_not_take_is_charged_and_bounded() {
    Simulation::echo(config(), async |simulation| {
        let mut client = TlsPeer::new(simulation, Temper::even(), VERSIONS[1]);
        client.handshake().await;
        client.send(REQUEST);
        while !client.received.ends_with(b"\r\n\r\n") {
            client.step().await;
        }
        let idle = simulation.server.stats().memory_used;
        let frames = super::frame(super::BINARY, [1; 1000]).repeat(4000);
        client.send(&frames);
        client.peer.take_only(10);
        client.flush();
        settle().await;
        let used = simulation.server.stats().memory_used;
        // Two buffers of ciphertext, and the output of one read.
        assert!((100_000..700_000).contains(&used), "{used}");
        assert!(client.peer.unread() > 3_000_000);
        let expected = super::sent(super::BINARY, [1; 1000]);
        let len = wire(&[expected]).len() * 4000;
        client.received.clear();
        while client.received.len() < len {
            assert!(client.step().await);
        }
        assert_eq!(client.received.len(), len);
        assert_eq!(simulation.server.stats().memory_used, idle);
    });
}

#[test]
fn handshake_and_request_together_have_open_timeout() {
    let config = Config {
        open_timeout: Duration::from_secs(10),
        ..config()
    };
    Simulation::echo(config, async |simulation| {
        let begun = Instant::now();
        let silent = connect(simulation, Temper::even());
        silent.expect_drop().await;
        assert_eq!(begun.elapsed().as_secs(), 10);

        let begun = Instant::now();
        let mut client = TlsPeer::new(simulation, Temper::even(), VERSIONS[1]);
        tokio::time::sleep(Duration::from_secs(6)).await;
        client.handshake().await;
        assert_eq!(begun.elapsed().as_secs(), 6);
        client.send("GET / HTTP/1.1\r\n");
        while client.step().await {}
        assert_eq!(begun.elapsed().as_secs(), 10);
        assert!(client.received.starts_with(b"HTTP/1.1 408 "));
        assert_eq!(simulation.server.stats().tls_failures, 1);
    });
}

#[test]
fn plain_http_is_told_and_a_stop_ends_a_handshake() {
    Simulation::echo(config(), async |simulation| {
        let plain = connect(simulation, Temper::even());
        plain.send(REQUEST);
        assert!(plain.read_head().await.starts_with("HTTP/1.1 400 "));
        let half = connect(simulation, Temper::even());
        half.send([22, 3, 1, 0, 200]);
        settle().await;
        assert!(half.is_silent());
        simulation.server.stop(Duration::from_secs(5));
        half.expect_drop().await;
        assert_eq!(simulation.server.stats().tls_failures, 1);
    });
}

/// Takes 32 KiB in a second until there is nothing for a while.
async fn sip(client: &mut TlsPeer) {
    let mut pause = 0;
    while pause < 4 {
        client.peer.take_only(16 << 10);
        settle().await;
        let received = client.peer.take_received();
        pause = if received.is_empty() { pause + 1 } else { 0 };
        client.take(&received).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[test]
fn a_steady_slow_reader_is_alive_and_has_its_time_for_the_close() {
    let second = Duration::from_secs(1);
    let config = Config {
        idle_timeout: Some(3 * second),
        ping_interval: Some(second),
        ping_timeout: 2 * second,
        // In which 96 KiB are taken.
        close_timeout: 3 * second,
        ..config()
    };
    Simulation::echo(config, async |simulation| {
        for version in [0, 1] {
            for is_closed in [false, true] {
                let mut client = open(simulation, version).await;
                client.send(super::frame(super::BINARY, vec![1; 600_000]));
                client.flush();
                client.peer.take_only(10);
                settle().await;
                if is_closed {
                    let client = simulation.server.clients().pop().unwrap();
                    client.order(super::order_close(1000, ""));
                }
                sip(&mut client).await;
                let expected = wire(&[super::sent(super::BINARY, vec![1; 600_000])]);
                assert!(client.received.starts_with(&expected));
                if is_closed {
                    let close = super::closed(1000, "");
                    assert!(client.received.ends_with(&wire(&[close])));
                }
                client.peer.send_end();
                client.peer.expect_drop().await;
            }
        }
    });
}

/// A client that is upgraded, with nothing unread.
pub(super) async fn open(simulation: &Simulation, version: usize) -> TlsPeer {
    let mut client = TlsPeer::new(simulation, Temper::even(), VERSIONS[version]);
    client.handshake().await;
    client.send(REQUEST);
    while !client.received.ends_with(b"\r\n\r\n") {
        client.step().await;
    }
    client.received.clear();
    client
}
