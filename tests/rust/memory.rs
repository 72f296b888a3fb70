//! What is allocated for clients is charged, within a factor of two, and comes back: counted by the allocator, and not
//! seen in resident memory. One test, since everything that is allocated in this process counts.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod kept;
#[expect(dead_code, reason = "the other tests need more of it")]
mod support;

use dhat::{Alloc, HeapStats, Profiler};
use echoserver::admission::Decision;
use echoserver::handler::Wants;
use echoserver::order::{Order, Replies};
use echoserver::protocol::message::Kind;
use kept::{Case, SLACK};
use std::io::{Read, Write};
use std::net::TcpStream;
use support::{BINARY, ENDS, GOES_ON, KEY, PING, REQUEST, Raw, TEXT, TEXT_BEGINS, frame, header};

#[global_allocator]
static ALLOCATOR: Alloc = Alloc;

/// Many empty messages behind one that a callback has.
fn held_echoes() {
    let mut case = Case::new("held echoes", Wants::TEXT);
    let wire = [frame(TEXT, "x"), frame(BINARY, "").repeat(80_000)].concat();
    let clients: Vec<Raw> = (0..5).map(|_| Raw::open(&case.server)).collect();
    case.begin();
    for client in &clients {
        client.stream().set_nonblocking(true).unwrap();
        // As much as the kernel takes; after a thousand of them no more is read.
        let _ = client.stream().write(&wire).unwrap();
    }
    for client in case.server.clients() {
        let is_full = || {
            case.keeper
                .kept
                .lock()
                .unwrap()
                .iter()
                .any(|(one, _)| one.id == client.id)
        };
        support::eventually(is_full, || "no message".to_owned());
    }
    case.wait_for(|stats| stats.binary_messages_received >= 5 * 1024);
    case.check(50_000);
    case.end(clients);
}

/// What somebody takes who has said nothing yet but its request, which is kept.
fn idle_clients() {
    const COUNT: usize = 256;
    const MOST: usize = 1040;
    let mut case = Case::new("idle clients", Wants::NOTHING);
    let address = case.server.address();
    let request = request(0);
    let mut clients = Vec::with_capacity(COUNT);
    case.begin();
    for _ in 0..COUNT {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        // Nothing is allocated for it here. It has its answer, so what the opening took is given back.
        let (mut answer, mut len) = ([0; 1024], 0);
        while !answer[..len].ends_with(b"\r\n\r\n") {
            len += client.read(&mut answer[len..]).unwrap();
        }
        clients.push(client);
    }
    let each = || case.allocated() / COUNT - request.len();
    support::eventually(|| each() <= MOST, || format!("{} bytes for each", each()));
    case.end(clients);
}

/// Messages of a batch that nobody answers.
fn batches() {
    for (name, payload) in [("empty messages", ""), ("short messages", "0123456789")] {
        let mut case = Case::new(name, Wants::TEXT);
        let wire = frame(TEXT, payload).repeat(1000);
        let clients: Vec<Raw> = (0..10).map(|_| Raw::open(&case.server)).collect();
        case.begin();
        for client in &clients {
            client.send(&wire);
        }
        case.wait_for(|stats| stats.text_messages_received == 10_000);
        case.check(200_000);
        case.end(clients);
    }
}

/// One message per read, each in a batch of its own.
fn single_messages() {
    let mut case = Case::new("a message at a time", Wants::TEXT);
    let client = Raw::open(&case.server);
    case.begin();
    for number in 1..=500 {
        client.send(frame(TEXT, "x".repeat(100)));
        case.wait_for(|stats| stats.text_messages_received == number);
    }
    case.check(50_000);
    case.end(client);
}

fn request(head: usize) -> String {
    format!("{REQUEST}X: {}\r\n\r\n", "x".repeat(head))
}

/// Those who have connected and are to send that.
fn newcomers(case: &mut Case, wire: &[u8]) -> Vec<TcpStream> {
    let address = case.server.address();
    let clients: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    case.wait_for(|stats| stats.connections_accepted == 51);
    case.begin();
    for mut client in &clients {
        client.write_all(wire).unwrap();
    }
    clients
}

/// Upgrade requests, which are kept as long as their clients are there.
fn heads() {
    let mut case = Case::new("heads", Wants::NOTHING);
    let clients = newcomers(&mut case, request(8000).as_bytes());
    case.wait_for(|stats| stats.clients_opened == 50);
    case.check(250_000);
    case.end(clients);
}

/// What `count` clients have sent is kept, each of them the same.
fn sent(name: &'static str, wants: Wants, count: usize, wire: &[u8], least: usize) {
    let mut case = Case::new(name, wants);
    let clients: Vec<Raw> = (0..count).map(|_| Raw::open(&case.server)).collect();
    let received = case.server.stats().bytes_received;
    case.begin();
    for client in &clients {
        client.send(wire);
    }
    let expected = received + (count * wire.len()) as u64;
    case.wait_for(|stats| stats.bytes_received == expected);
    case.check(least);
    case.end(clients);
}

/// Before a client is admitted, what it sends is kept.
fn early_bytes() {
    let wire = frame(TEXT, "x".repeat(12_000));
    sent("early bytes", Wants::OPEN, 50, &wire, 500_000);
}

/// Parts of a message of one byte each.
fn fragments() {
    let mut case = Case::new("fragments", Wants::NOTHING);
    let part = [frame(GOES_ON, "x"), frame(PING, "")].concat();
    let wire = [frame(TEXT_BEGINS, "x"), part.repeat(2000)].concat();
    let mut clients: Vec<Raw> = (0..10).map(|_| Raw::open(&case.server)).collect();
    case.begin();
    for client in &mut clients {
        client.send(&wire);
        for _ in 0..2000 {
            client.read_frame();
        }
    }
    case.check(20_000);
    for client in &mut clients {
        client.send(frame(ENDS, ""));
        assert_eq!(client.read_frame().payload.len(), 2001);
    }
    case.end(clients);
}

/// A long message of which half has come.
fn half_a_message() {
    let wire = [header(BINARY, 200_000, KEY), vec![0; 100_000]].concat();
    sent("half a message", Wants::NOTHING, 10, &wire, 1_000_000);
}

/// What the application sends to somebody who does not read.
fn queued_sends() {
    for (name, len, count) in [
        ("long sends", 4000, 5000),
        ("empty sends", 0, 4_000_000 / 64),
    ] {
        let mut case = Case::new(name, Wants::NOTHING);
        let client = Raw::open(&case.server);
        let known = case.server.clients().pop().unwrap();
        // What the kernel takes first.
        let limit = 1 << 30;
        for _ in 0..2000 {
            known.send(Kind::Binary, vec![0; 8000], limit).unwrap();
        }
        case.wait_for(|stats| stats.messages_sent == 2000);
        case.begin();
        for _ in 0..count {
            known.send(Kind::Binary, vec![0; len], limit).unwrap();
        }
        case.wait_for(|stats| stats.messages_sent == 2000 + count);
        case.check(1_000_000);
        drop(known);
        case.end(client);
    }
}

/// Replies to somebody who does not read.
fn replies() {
    let mut case = Case::new("replies", Wants::TEXT);
    let client = Raw::open(&case.server);
    case.begin();
    client.send(frame(TEXT, "").repeat(1000));
    // They are counted a moment before the handler has them.
    let count = || -> usize {
        let kept = case.keeper.kept.lock().unwrap();
        kept.iter().map(|(_, batch)| batch.messages.len()).sum()
    };
    support::eventually(|| count() == 1000, || "no messages".to_owned());
    let kept = std::mem::take(&mut *case.keeper.kept.lock().unwrap());
    for (known, batch) in &kept {
        for _ in &batch.messages {
            let mut wire = vec![0x82, 127];
            wire.extend(20_000_u64.to_be_bytes());
            wire.resize(wire.len() + 20_000, 0);
            let ends = vec![wire.len()];
            known.order(Order::Replies(Replies {
                wire,
                ends: ends.into(),
                ..Replies::default()
            }));
        }
    }
    case.wait_for(|stats| stats.messages_sent == 1000);
    drop(kept);
    case.check(1_000_000);
    case.end(client);
}

/// Clients that wait for a decision, and have sent more than their request.
fn undecided() {
    let mut case = Case::new("undecided", Wants::HANDSHAKE);
    let wire = [request(8000).into_bytes(), frame(TEXT, "x".repeat(8000))].concat();
    let clients = newcomers(&mut case, &wire);
    support::eventually(
        || case.keeper.requests.lock().unwrap().len() == 50,
        || "not all are asked about".to_owned(),
    );
    case.wait_for_charge(50 * wire.len());
    case.check(800_000);
    for request in case.keeper.requests.lock().unwrap().iter() {
        request.decide(Decision::accept()).unwrap();
    }
    case.wait_for(|stats| stats.clients_opened == 50);
    case.keeper.forget();
    case.end(clients);
}

/// Requests of which the end has not come.
fn half_a_request() {
    let mut case = Case::new("half a request", Wants::NOTHING);
    let wire = format!("{REQUEST}X: {}", "x".repeat(12_000));
    let clients = newcomers(&mut case, wire.as_bytes());
    case.wait_for_charge(50 * wire.len());
    case.check(600_000);
    case.end(clients);
}

#[test]
fn what_is_allocated_is_charged_and_comes_back() {
    let _profiler = Profiler::builder().testing().build();
    // What is made once for all.
    Case::new("nothing", Wants::NOTHING).end(());
    let before = HeapStats::get().curr_bytes;
    for case in [
        idle_clients,
        held_echoes,
        batches,
        single_messages,
        heads,
        early_bytes,
        fragments,
        half_a_message,
        queued_sends,
        replies,
        undecided,
        half_a_request,
    ] {
        case();
        let left = HeapStats::get().curr_bytes.saturating_sub(before);
        assert!(left <= SLACK, "{left} bytes are left");
    }
}
