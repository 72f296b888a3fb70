//! TLS over the stream in memory, with rustls' buffered client at its other end: moods, errors at any point, waits.

use super::endings::conversation;
use super::stream::{self, Peer, Temper};
use super::{Config, Duration, Instant, Ipv4Addr, REQUEST, Simulation, settle};
use crate::protocol::frame::{self, Opcode};
use crate::server::opening::newcomer::Newcomer;
use crate::server::tls;
use crate::tls::Tls;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::spawn_local;

fn config() -> Config {
    Config {
        tls: Some(Tls::SelfSigned { names: Vec::new() }),
        ..Config::default()
    }
}

/// A client that speaks TLS.
struct TlsPeer {
    peer: Peer,
    tls: ClientConnection,
    received: Vec<u8>,
    /// Takes at most that many bytes at once from the wire, and then lets the server go on.
    sip: usize,
}

impl TlsPeer {
    fn new(
        simulation: &Simulation,
        temper: Temper,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        let anchor = CertificateDer::from(simulation.server.tls_anchors().unwrap());
        roots.add(anchor).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        tls.set_buffer_limit(None);
        Self {
            peer: connect(simulation, temper),
            tls,
            received: Vec::new(),
            sip: usize::MAX,
        }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tls.writer().write_all(bytes.as_ref()).unwrap();
    }

    /// One exchange with the server; `false` at the end, with or without `close_notify`.
    async fn step(&mut self) -> bool {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out).unwrap();
        }
        self.peer.send(out);
        self.peer.take_only(self.sip);
        let bytes = self.peer.read_any().await;
        if bytes.is_empty() {
            return false;
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).unwrap();
            self.tls.process_new_packets().unwrap();
            let read = self.tls.reader().read_to_end(&mut self.received);
            assert!(!read.is_err_and(|error| error.kind() != ErrorKind::WouldBlock));
        }
        true
    }

    async fn handshake(&mut self) {
        while self.tls.is_handshaking() {
            assert!(self.step().await, "ended in the handshake");
        }
        let mut out = Vec::new();
        self.tls.write_tls(&mut out).unwrap();
        self.peer.send(out);
    }
}

fn connect(simulation: &Simulation, temper: Temper) -> Peer {
    let (stream, peer) = stream::pair(temper);
    let shared = &simulation.server.shared;
    shared.workers[0].load.fetch_add(1, Ordering::Relaxed);
    let config = shared.tls.as_ref().unwrap().config();
    let address = (Ipv4Addr::LOCALHOST, 1).into();
    let newcomer = Newcomer::new(stream, address, simulation.desk.sit());
    spawn_local(tls::serve(newcomer, config));
    peer
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

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

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
            let mut out = Vec::new();
            client.tls.write_tls(&mut out).unwrap();
            client.peer.send(out);
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
        let frames = super::frame(super::BINARY, [1; 1000]).repeat(4000);
        client.send(&frames);
        let mut out = Vec::new();
        while client.tls.wants_write() {
            client.tls.write_tls(&mut out).unwrap();
        }
        client.peer.take_only(10);
        client.peer.send(out);
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
        assert_eq!(simulation.server.stats().memory_used, 0);
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
