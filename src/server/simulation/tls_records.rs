//! Records of TLS as only an odd client sends them: cut anywhere, of nothing, bad, and what they cost.

use super::endings::conversation;
use super::stream::Temper;
use super::tls::{config, open, wire};
use super::tls_peer::{TlsPeer, VERSIONS, connect};
use super::{Config, Duration, Instant, REQUEST, Simulation, settle};

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
