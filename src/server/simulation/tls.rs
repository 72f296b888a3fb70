//! TLS over the stream in memory, with rustls' buffered client at its other end: moods, errors at any point, waits.

use super::endings::conversation;
use super::stream::Temper;
use super::tls_peer::{TlsPeer, VERSIONS, connect};
use super::{Config, Duration, Instant, REQUEST, Simulation, settle};
use crate::protocol::frame::{self, Opcode};
use crate::tls::Tls;
use std::io::Read;

fn config() -> Config {
    Config {
        tls: Some(Tls::SelfSigned { names: Vec::new() }),
        ..Config::default()
    }
}

/// The frames as the server writes them.
fn wire(answers: &[(u8, Vec<u8>)]) -> Vec<u8> {
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

/// A record in the clear.
fn record(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[22, 3, 1][..], &len, payload].concat()
}

#[test]
fn half_a_handshake_message_waits_for_the_rest() {
    const HELLO: [u8; 6] = [1, 0, 1, 0, 3, 3];
    let config = Config {
        open_timeout: Duration::from_secs(10),
        ..config()
    };
    Simulation::echo(config, async |simulation| {
        for len in 1..HELLO.len() {
            let begun = Instant::now();
            let silent = connect(simulation, Temper::even());
            silent.send(record(&HELLO[..len]));
            settle().await;
            assert!(silent.is_silent());
            silent.expect_drop().await;
            assert_eq!(begun.elapsed().as_secs(), 10);

            let left = connect(simulation, Temper::even());
            left.send(record(&HELLO[..len]));
            settle().await;
            left.send_end();
            left.expect_drop().await;
            assert_eq!(begun.elapsed().as_secs(), 10);
        }
        let stopped = connect(simulation, Temper::even());
        stopped.send(record(&HELLO));
        settle().await;
        simulation.server.stop(Duration::from_secs(5));
        stopped.expect_drop().await;
    });
}

#[test]
fn a_handshake_message_in_small_records_is_charged_and_bounded() {
    // The longest that there can be; at the end it is no client hello.
    let mut message = vec![1, 0, 0xff, 0xff];
    message.resize(4 + 0xffff, 0);
    let records: Vec<u8> = message.iter().flat_map(|&byte| record(&[byte])).collect();
    Simulation::echo(config(), async |simulation| {
        let client = connect(simulation, Temper::even());
        client.send(&records[..records.len() - 6]);
        settle().await;
        assert!(client.is_silent());
        let used = simulation.server.stats().memory_used;
        assert!((300_000..500_000).contains(&used), "{used}");
        client.send(&records[records.len() - 6..]);
        let alert = client.read_any().await;
        assert_eq!(alert[..6], [21, 3, 3, 0, 2, 2]);
        client.send_end();
        client.expect_drop().await;
        assert_eq!(simulation.server.stats().memory_used, 0);
    });
    let config = Config {
        memory_limit: 100_000,
        ..config()
    };
    Simulation::echo(config, async |simulation| {
        let client = connect(simulation, Temper::even());
        client.send(&records[..120_000]);
        client.expect_shut_down().await;
        let stats = simulation.server.stats();
        assert_eq!((stats.tls_failures, stats.memory_used), (1, 0));
        client.send_end();
        client.expect_drop().await;
    });
}

#[test]
fn a_conversation_in_records_of_any_size_gives_the_same_answers() {
    let (bytes, answers) = conversation();
    let expected = wire(&answers);
    Simulation::echo(config(), async |simulation| {
        for size in [1, 2, 3, 4, 5, 16, 100, 512, 5000] {
            for version in VERSIONS {
                let temper = if size % 2 == 0 {
                    Temper::even()
                } else {
                    Temper::moody(7)
                };
                let mut client = TlsPeer::certified(simulation, temper, version);
                client.cut(size);
                client.handshake().await;
                client.send(&bytes);
                while client.step().await {}
                assert!(client.received.ends_with(&expected), "{size}");
                client.peer.send_end();
                client.peer.expect_drop().await;
            }
        }
        assert_eq!(simulation.server.stats().tls_failures, 0);
    });
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// A client that is upgraded, with nothing unread.
async fn open(simulation: &Simulation, version: usize) -> TlsPeer {
    let mut client = TlsPeer::new(simulation, Temper::even(), VERSIONS[version]);
    client.handshake().await;
    client.send(REQUEST);
    while !client.received.ends_with(b"\r\n\r\n") {
        client.step().await;
    }
    client.received.clear();
    client
}

/// The server still echoes for it.
async fn echoes(client: &mut TlsPeer) {
    client.send(super::frame(super::TEXT, "hello"));
    while client.received.len() < 7 {
        assert!(client.step().await);
    }
    assert_eq!(client.received, b"\x81\x05hello");
    client.received.clear();
}

#[test]
fn a_key_update_may_be_in_two_records() {
    Simulation::echo(config(), async |simulation| {
        for first in 1..5 {
            let mut client = open(simulation, 1).await;
            // Asked to, the server changes its keys, too.
            client.tls.refresh_traffic_keys().unwrap();
            let whole = client.written();
            client.peer.send(whole);
            echoes(&mut client).await;

            client.cut(first);
            client.tls.refresh_traffic_keys().unwrap();
            let pieces = client.written();
            client.cut(0);
            let end = 5 + usize::from(u16::from_be_bytes([pieces[3], pieces[4]]));
            client.peer.send(&pieces[..end]);
            settle().await;
            assert!(client.peer.is_silent());
            client.peer.send(&pieces[end..]);
            echoes(&mut client).await;
            client.peer.send_end();
            client.peer.expect_drop().await;
        }
    });
}

#[test]
fn half_a_message_after_the_handshake_waits_for_the_rest() {
    let config = Config {
        idle_timeout: Some(Duration::from_secs(10)),
        ..config()
    };
    Simulation::echo(config, async |simulation| {
        for version in [0, 1] {
            let mut client = open(simulation, version).await;
            let begun = Instant::now();
            let half = client.records.lock().unwrap().make(HANDSHAKE, &[1]);
            client.peer.send(half);
            settle().await;
            assert!(client.peer.is_silent());
            client.step().await;
            assert_eq!(begun.elapsed().as_secs(), 10);
            // 1001, as to anybody who is idle.
            assert_eq!(client.received[..1], [super::CLOSE]);
            assert_eq!(client.received[2..4], 1001u16.to_be_bytes());
            client.peer.send_end();
            client.peer.expect_drop().await;

            let client = open(simulation, version).await;
            let half = client.records.lock().unwrap().make(HANDSHAKE, &[1]);
            client.peer.send(half);
            client.peer.send_end();
            client.peer.expect_drop().await;
        }
    });
}

#[test]
fn a_message_that_never_ends_meets_a_limit() {
    Simulation::echo(config(), async |simulation| {
        let client = open(simulation, 1).await;
        let mut records = client
            .records
            .lock()
            .unwrap()
            .make(HANDSHAKE, &[24, 0, 0xff, 0xff]);
        // As long as rustls does not object: not too many records of nothing in a row.
        while records.len() < 1_700_000 {
            for payload in [&[][..]; 30] {
                records.extend(client.records.lock().unwrap().make(HANDSHAKE, payload));
            }
            records.extend(client.records.lock().unwrap().make(HANDSHAKE, &[0]));
        }
        let (most, rest) = records.split_at(1_500_000);
        client.peer.send(most);
        settle().await;
        assert_eq!(client.peer.unread(), 0);
        let used = simulation.server.stats().memory_used;
        assert!((1_400_000..1_600_000).contains(&used), "{used}");
        assert!(client.peer.is_silent());
        client.peer.send(rest);
        client.peer.expect_drop().await;
        let stats = simulation.server.stats();
        assert_eq!((stats.tls_failures, stats.memory_used), (1, 0));
    });
}

#[test]
fn what_no_client_may_send_ends_its_connection() {
    Simulation::echo(config(), async |simulation| {
        let mut count = 0;
        for version in [0, 1] {
            for (kind, payloads) in [
                // Data within a handshake message, and an alert in two records (RFC 8446 section 5.1).
                (HANDSHAKE, [&[1][..], &[]]),
                (ALERT, [&[1][..], &[0]]),
            ] {
                let mut client = open(simulation, version).await;
                for payload in payloads {
                    let record = client.records.lock().unwrap().make(kind, payload);
                    client.peer.send(record);
                }
                client.send("x");
                client.flush();
                client.peer.expect_drop().await;
                count += 1;
                assert_eq!(simulation.server.stats().tls_failures, count);
            }
        }
    });
}

#[test]
fn records_of_nothing_cost_nothing_or_are_bounded() {
    let config = Config {
        memory_limit: 40_000,
        ..config()
    };
    Simulation::echo(config, async |simulation| {
        for version in [0, 1] {
            let mut client = open(simulation, version).await;
            let idle = simulation.server.stats().memory_used;
            for _ in 0..100 {
                let record = client.records.lock().unwrap().make(DATA, &[]);
                client.peer.send(record);
                echoes(&mut client).await;
            }
            assert_eq!(simulation.server.stats().memory_used, idle);
            // Of these rustls does not let go before the next handshake message.
            let mut used = Vec::new();
            while !client.peer.is_over() {
                let record = client.records.lock().unwrap().make(HANDSHAKE, &[]);
                client.peer.send(record);
                client.send(super::frame(super::TEXT, "hello"));
                client.flush();
                settle().await;
                used.push(simulation.server.stats().memory_used);
            }
            assert!(used.iter().all(|&used| used <= 40_000));
            assert!(used.len() > 1000, "{}", used.len());
            client.peer.send_end();
            client.peer.expect_drop().await;
        }
        assert_eq!(simulation.server.stats().tls_failures, 2);
    });
}

#[test]
fn many_records_of_nothing_in_a_row_are_refused() {
    Simulation::echo(config(), async |simulation| {
        for version in [0, 1] {
            let client = open(simulation, version).await;
            let mut records = Vec::new();
            for _ in 0..40 {
                records.extend(client.records.lock().unwrap().make(DATA, &[]));
            }
            client.peer.send(records);
            settle().await;
            // None of them would end the stream's own loop, which reads until it has something.
            assert!(client.peer.is_over());
            client.peer.send_end();
            client.peer.expect_drop().await;
        }
        assert_eq!(simulation.server.stats().tls_failures, 2);
    });
}

#[test]
fn after_a_bad_record_tcp_ends_in_order() {
    Simulation::echo(config(), async |simulation| {
        for (index, version) in VERSIONS.into_iter().enumerate() {
            for (is_open, is_blocked) in [(true, false), (true, true), (false, false)] {
                let mut client = if is_open {
                    open(simulation, index).await
                } else {
                    let mut client = TlsPeer::new(simulation, Temper::even(), version);
                    client.handshake().await;
                    client
                };
                let mut bytes = vec![DATA, 3, 3, 0, 50];
                bytes.resize(bytes.len() + 50, 0);
                if is_blocked {
                    client.peer.take_only(3);
                }
                client.peer.send(bytes);
                // Not read any more.
                client.peer.send("more of it");
                settle().await;
                client.peer.take_only(usize::MAX);
                settle().await;
                let received = client.peer.take_received();
                assert!(client.take(&received).is_err(), "no alert: {version:?}");
                assert!(client.peer.is_over() && !client.peer.is_dropped());
                assert_eq!(client.peer.unread(), 0, "{version:?}");
                assert_eq!(simulation.server.stats().memory_used, 0);
                client.peer.send_end();
                client.peer.expect_drop().await;
            }
        }
    });
}

#[test]
fn who_only_lingers_has_given_back_what_it_held() {
    Simulation::echo(config(), async |simulation| {
        for version in [0, 1] {
            let mut client = open(simulation, version).await;
            client.send(super::frame(super::CLOSE, 1000_u16.to_be_bytes()));
            let mut bytes = client.written();
            // Half a record behind it.
            bytes.extend([DATA, 3, 3, 0x40, 0]);
            bytes.resize(bytes.len() + 5000, 0);
            client.peer.send(bytes);
            settle().await;
            assert!(client.peer.is_over() && !client.peer.is_dropped());
            assert_eq!(simulation.server.stats().memory_used, 0);
            client.peer.send_end();
            client.peer.expect_drop().await;
        }
    });
}

#[test]
fn a_bad_record_that_waits_for_room_is_refused_with_an_alert() {
    Simulation::echo(config(), async |simulation| {
        for version in VERSIONS {
            let failed = simulation.server.stats().tls_failures;
            let mut client = TlsPeer::new(simulation, Temper::even(), version);
            client.handshake().await;
            client.send(REQUEST);
            let mut bytes = client.written();
            // What is read of it is more than there is room for beside a request.
            bytes.extend([DATA, 3, 3, 0x10, 0]);
            bytes.resize(bytes.len() + 0x1000, 0);
            client.peer.send(bytes);
            client.peer.send("more of it");
            let mut refused = false;
            loop {
                let received = client.peer.read_any().await;
                refused |= client.take(&received).is_err();
                if received.is_empty() || refused {
                    break;
                }
            }
            assert!(refused, "no alert");
            client.peer.expect_shut_down().await;
            assert!(!client.peer.is_dropped() && client.peer.unread() == 0);
            assert_eq!(simulation.server.stats().tls_failures, failed + 1);
        }
    });
}
