//! permessage-deflate on whole connections: what goes back compressed, and in which order.

mod limits;

use super::codec::{COMPRESSED, Codec};
use super::order_close;
use super::{
    Arc, BINARY, CLOSE, Client, Config, Peer, REQUEST, Recorder, Simulation, TEXT, Temper, Wants,
    close, closed, frame, sent, settle,
};
use crate::order::{Order, Replies};
use crate::protocol::extensions::Deflate;
use crate::protocol::frame::{Opcode, server_frame};
use crate::protocol::message::Kind;
use std::fmt::Write as _;
use tokio::time::timeout;

fn config(deflate: Deflate) -> Config {
    Config {
        compression: Some(deflate),
        ..Config::default()
    }
}

impl Simulation {
    async fn offer(&self, temper: Temper, parameters: &str) -> (Peer, Arc<Client>) {
        let peer = self.connect(temper);
        let line = format!("Sec-WebSocket-Extensions: permessage-deflate{parameters}\r\n\r\n");
        peer.send(REQUEST.replace("\r\n\r\n", &format!("\r\n{line}")));
        let head = peer.read_head().await;
        let client = self.server.clients().pop().unwrap();
        let agreed = client.deflate.unwrap().to_string();
        assert!(head.contains(&format!("Sec-WebSocket-Extensions: {agreed}\r\n")));
        (peer, client)
    }
}

fn text(len: usize, seed: usize) -> String {
    let mut text = String::new();
    for i in 0..=len / 6 {
        write!(text, "{:05} ", (i * i + seed) % 7919).unwrap();
    }
    text.truncate(len);
    text
}

#[test]
fn what_is_not_agreed_is_refused() {
    Simulation::echo(Config::default(), async |simulation| {
        let peer = simulation.connect(Temper::even());
        let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        peer.send(REQUEST.replace("\r\n\r\n", offer));
        assert!(!peer.read_head().await.contains("Extensions"));
        peer.send(frame(TEXT | COMPRESSED, [0]));
        let (first, payload) = peer.read().await;
        assert_eq!(
            (first, &payload[..2]),
            (CLOSE, &close::PROTOCOL_ERROR.to_be_bytes()[..])
        );
    });
}

/// Kinds, lengths, handlers and moods of any kind: messages go back in order, compressed if they came so.
#[test]
fn messages_go_back_as_they_came() {
    for seed in 0..40 {
        let recorder = Recorder::new([Wants::NOTHING, Wants::TEXT][usize::from(seed % 2 == 1)]);
        let deflate = Deflate::default();
        Simulation::run(config(deflate), recorder.clone(), async |simulation| {
            let mut dice = Temper::moody(seed);
            let takeover = dice.below(2) == 0;
            let parameters = if takeover {
                ""
            } else {
                "; client_no_context_takeover; server_no_context_takeover"
            };
            let mut codec = Codec::new(takeover);
            let (peer, _) = simulation.offer(dice.clone(), parameters).await;
            let mut expected = Vec::new();
            for number in 0..12 {
                let len = [dice.below(40), dice.below(3000), dice.below(90_000), 0][dice.below(4)];
                let message = text(len, number);
                let first = [TEXT, BINARY][dice.below(2)];
                if dice.below(3) == 0 {
                    peer.send(frame(first, &message));
                    expected.push(sent(first, message));
                } else {
                    peer.send(codec.frame(first, &message));
                    expected.push(sent(first | COMPRESSED, message));
                }
                for _ in 0..dice.below(20) {
                    tokio::task::yield_now().await;
                }
            }
            for message in expected {
                let read = loop {
                    let second = std::time::Duration::from_secs(1);
                    let Ok(read) = timeout(second, peer.read()).await else {
                        recorder.echo_batch(1 + dice.below(3));
                        continue;
                    };
                    break codec.message(read);
                };
                assert!(
                    read == message,
                    "seed {seed}: {:x} {}",
                    read.0,
                    read.1.len()
                );
            }
            assert!(peer.is_silent());
            peer.send_end();
            peer.expect_drop().await;
            assert_eq!(simulation.used(), 0);
        });
    }
}

#[test]
fn contexts_are_made_at_the_first_compressed_message() {
    const INFLATING: u64 = 32 << 10;
    for (parameters, least) in [
        ("", INFLATING + (248 << 10)),
        ("; server_max_window_bits=9", INFLATING + (243 << 10)),
        ("; server_no_context_takeover", INFLATING),
        (
            "; server_no_context_takeover; client_no_context_takeover",
            0,
        ),
    ] {
        Simulation::echo(config(Deflate::default()), async |simulation| {
            let used = || simulation.used();
            let mut codec = Codec::new(!parameters.contains("client_no"));
            let (peer, _) = simulation.offer(Temper::even(), parameters).await;
            peer.send(frame(TEXT, "plain"));
            assert_eq!(peer.read().await, sent(TEXT, "plain"));
            assert_eq!(used(), 0);
            for _ in 0..3 {
                peer.send(codec.frame(BINARY, text(60_000, 0)));
                let (first, _) = peer.read().await;
                assert_eq!(first, BINARY | COMPRESSED);
                settle().await;
                let used = used();
                assert!((least..=least + (140 << 10)).contains(&used), "{used}");
                assert!(least > 0 || used == 0);
            }
        });
    }
}

#[test]
fn what_the_application_sends_is_compressed_from_the_threshold_on() {
    let deflate = Deflate {
        threshold: 100,
        ..Deflate::default()
    };
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(config(deflate), recorder.clone(), async |simulation| {
        let mut codec = Codec::new(true);
        let (peer, client) = simulation.offer(Temper::even(), "").await;
        for (len, bit) in [(99, 0), (100, COMPRESSED), (200_000, COMPRESSED), (5, 0)] {
            let message = text(len, 9);
            client
                .send(Kind::Text, message.clone().into_bytes(), 1 << 20)
                .unwrap();
            // An echo, and a reply of its own.
            peer.send(codec.frame(BINARY, &message));
            peer.send(codec.frame(TEXT, "a question"));
            let expected = [TEXT, BINARY, TEXT].map(|first| sent(first | bit, &message));
            for (index, expected) in expected.into_iter().enumerate() {
                if index == 2 {
                    let (_, batch) = recorder.batches.lock().unwrap().remove(0);
                    assert_eq!(&batch.wire[batch.messages[0].1.clone()], b"a question");
                    let wire = server_frame(Opcode::Text, message.as_bytes());
                    client.order(Order::Replies(Replies {
                        ends: vec![wire.len()].into(),
                        wire,
                        answered: 10,
                        are_followed: false,
                    }));
                }
                assert!(
                    codec.message(peer.read().await) == expected,
                    "{len} {index}"
                );
            }
        }
        assert_eq!(client.queued(), 0);
    });
}

#[test]
fn what_waits_to_be_compressed_goes_out_before_our_close_frame() {
    Simulation::echo(config(Deflate::default()), async |simulation| {
        let mut codec = Codec::new(true);
        let (peer, client) = simulation.offer(Temper::even(), "").await;
        let message = text(500_000, 1);
        for _ in 0..3 {
            let payload = message.clone().into_bytes();
            client.send(Kind::Text, payload, 1 << 24).unwrap();
        }
        client.order(order_close(1000, ""));
        for _ in 0..3 {
            let (first, payload) = codec.message(peer.read().await);
            assert_eq!(first & !COMPRESSED, TEXT);
            assert!(payload == message.as_bytes());
        }
        assert_eq!(peer.read().await.0, CLOSE);
        peer.send(frame(CLOSE, close::payload(close::NORMAL, "")));
        peer.expect_shut_down().await;
        assert_eq!(client.queued(), 0);
    });
}

#[test]
fn the_clients_close_waits_for_the_echoes_before_it() {
    Simulation::echo(config(Deflate::default()), async |simulation| {
        let mut codec = Codec::new(true);
        let (peer, _) = simulation.offer(Temper::even(), "").await;
        let messages = [text(300_000, 1), text(3, 2), text(70_000, 3)];
        let mut bytes = Vec::new();
        for message in &messages {
            bytes.extend(codec.frame(TEXT, message));
        }
        bytes.extend(frame(CLOSE, close::payload(close::NORMAL, "bye")));
        peer.send(bytes);
        for message in &messages {
            let echo = codec.message(peer.read().await);
            assert!(echo == sent(TEXT | COMPRESSED, message));
        }
        assert_eq!(peer.read().await, closed(close::NORMAL, "bye"));
        peer.expect_shut_down().await;
    });
}
