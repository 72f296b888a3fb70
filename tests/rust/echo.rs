//! The echo over real sockets, with tokio-tungstenite as the client and with raw bytes.

use crate::support::{
    BINARY, BINARY_BEGINS, ENDS, Frame, GOES_ON, PING, PONG, Raw, Running, TEXT, TEXT_BEGINS,
    frame, header, limit,
};
use echoserver::config::Config;
use echoserver::endpoint::Peer;
use echoserver::handler::Echo;
use echoserver::tungstenite::{Bytes, Message};
use futures_util::{SinkExt, StreamExt};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use tokio::time::timeout;

#[tokio::test]
async fn messages_come_back_unchanged() {
    let server = Running::new(Config::default());
    let echo = async {
        let (mut client, _) = tokio_tungstenite::connect_async(server.url())
            .await
            .unwrap();
        for len in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 5_000_000] {
            for message in [
                Message::binary(vec![7; len]),
                Message::text("é".repeat(len / 2)),
            ] {
                client.send(message.clone()).await.unwrap();
                assert_eq!(client.next().await.unwrap().unwrap(), message);
            }
        }
        client.close(None).await.unwrap();
        while client.next().await.is_some() {}
    };
    timeout(limit(), echo).await.unwrap();
}

#[tokio::test]
async fn pipelined_messages_keep_their_order() {
    let server = Running::new(Config::default());
    let echo = async {
        let (client, _) = tokio_tungstenite::connect_async(server.url())
            .await
            .unwrap();
        let (mut sink, mut stream) = client.split();
        let messages = |i: usize| match i % 3 {
            0 => Message::text(format!("number {i}")),
            1 => Message::binary(vec![0xfe; i]),
            _ => Message::Ping(Bytes::from(i.to_string())),
        };
        let sending = async {
            for i in 0..2000 {
                sink.feed(messages(i)).await.unwrap();
            }
            sink.flush().await.unwrap();
        };
        let receiving = async {
            for i in 0..2000 {
                let expected = match messages(i) {
                    Message::Ping(payload) => Message::Pong(payload),
                    message => message,
                };
                assert_eq!(stream.next().await.unwrap().unwrap(), expected);
            }
        };
        tokio::join!(sending, receiving);
    };
    timeout(limit(), echo).await.unwrap();
}

#[test]
fn fragments_come_back_as_one_message() {
    let server = Running::new(Config::default());
    let mut raw = Raw::open(&server);
    for text in ["", "a", "\u{feff}\u{0}", &"κόσμε 🦀 ".repeat(20_000)] {
        for size in [1, 3, 125, 4096, 70_000] {
            if text.len() / size > 5000 {
                continue;
            }
            let mut bytes = frame(TEXT_BEGINS, "");
            for piece in text.as_bytes().chunks(size) {
                bytes.extend(frame(GOES_ON, piece));
            }
            bytes.extend(frame(PING, "in between"));
            bytes.extend(frame(ENDS, ""));
            raw.send(bytes);
            assert_eq!(raw.read_frame(), Frame::new(PONG, "in between"));
            assert_eq!(raw.read_frame(), Frame::new(TEXT, text));
        }
    }
}

/// The length of a message that needs most of the default limit, whole and in parts, as text and as bytes.
#[test]
fn sixty_mebibytes_come_back() {
    let server = Running::new(Config::default());
    let text = "\u{feff}sixty mebibytes \u{0}".repeat(3 << 20);
    let payload = &text.as_bytes()[..60 << 20];
    let zero = [0; 4];
    let (head, tail) = payload.split_at(20 << 20);
    let binary = |first, payload: &[u8]| {
        [header(first, payload.len() as u64, zero), payload.to_vec()].concat()
    };
    let whole = binary(TEXT, payload);
    let parts = [binary(BINARY_BEGINS, head), binary(ENDS, tail)].concat();
    let mut raw = Raw::open(&server);
    for (first, bytes) in [(TEXT, whole), (BINARY, parts)] {
        let mut sender = raw.stream().try_clone().unwrap();
        let sending = thread::spawn(move || sender.write_all(&bytes).unwrap());
        let back = raw.read_frame();
        sending.join().unwrap();
        assert_eq!(back.first, first);
        assert!(back.payload == payload);
    }
}

#[test]
fn pings_are_answered_and_pongs_are_not() {
    let server = Running::new(Config::default());
    let mut raw = Raw::open(&server);
    for payload in [&b""[..], b"x", &[0xff; 125]] {
        raw.send(frame(PONG, payload));
        raw.send(frame(PING, payload));
        assert_eq!(raw.read_frame(), Frame::new(PONG, payload));
    }
    let stats = server.stats();
    assert_eq!((stats.pings_received, stats.pongs_received), (3, 3));
}

#[test]
fn several_workers_share_the_clients() {
    let server = Running::new(Config {
        workers: Some(4),
        ..Config::default()
    });
    let clients: Vec<_> = (0..32)
        .map(|i: u8| {
            let mut raw = Raw::open(&server);
            thread::spawn(move || {
                for len in 0..50 {
                    raw.echo(BINARY, &vec![i; len * usize::from(i)]);
                }
                raw
            })
        })
        .collect();
    let clients: Vec<Raw> = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    let known = server.clients();
    assert_eq!(known.len(), 32);
    assert!(known.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(server.stats().binary_messages_received, 32 * 50);
    assert_eq!(server.stats().messages_sent, 32 * 50);
    drop(clients);
    server.wait_for(|stats| stats.clients_closed == 32);
}

#[test]
fn all_interfaces_are_ipv4_and_ipv6() {
    let server = Running::listening(Config::default(), Arc::new(Echo));
    let port = server.address().port();
    let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
    let mut addresses = vec![loopback];
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        addresses.push(Ipv6Addr::LOCALHOST.into());
    }
    for address in addresses {
        let mut raw = Raw::connect(SocketAddr::new(address, port));
        raw.send(format!("{}\r\n", crate::support::REQUEST));
        raw.read_head();
        raw.echo(TEXT, address.to_string().as_bytes());
        // An IPv4 client of the dual-stack socket is shown as IPv4.
        let client = server.clients().pop().unwrap();
        let address = raw.stream().local_addr().unwrap();
        assert_eq!(client.peer(), Peer::Ip(address));
    }
}

#[test]
fn a_name_with_several_addresses_listens_on_all_of_them() {
    let server = Running::listening(
        Config {
            host: vec!["localhost".into()],
            ..Config::default()
        },
        Arc::new(Echo),
    );
    let mut raw = Raw::open(&server);
    raw.echo(TEXT, b"hello");
    let mut ipv4 = Raw::connect(SocketAddr::new(
        Ipv4Addr::LOCALHOST.into(),
        server.address().port(),
    ));
    ipv4.send(format!("{}\r\n", crate::support::REQUEST));
    ipv4.read_head();
    ipv4.echo(TEXT, b"hello");
}
