//! The protocol module alone, without sockets: what a frame, a check of UTF-8, a handshake and a control frame cost.
//! `frames::echo_in_place`, which checks nothing, stands beside the frames as the limit.
//!
//! `cargo bench --manifest-path tests/bench/Cargo.toml [-- FILTER]`

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use echoserver::protocol::account::{Account, Memory};
use echoserver::protocol::frame::{Opcode, server_frame, server_header_len, write_server_header};
use echoserver::protocol::handshake::{Policy, Verdict, check};
use echoserver::protocol::http::{Fields, accept_response};
use echoserver::protocol::limit::Limit;
use echoserver::protocol::message::Kind;
use echoserver::protocol::receiving::{Event, Receiver};
use echoserver::protocol::terms::Terms;
use echoserver::protocol::window::Window;
use echoserver::protocol::{close, utf8::Utf8};
use peers::frames::echo_in_place;
use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

const LIMIT: usize = 64 << 20;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame as a client sends it.
fn client_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = server_frame(opcode, payload);
    let header = frame.len() - payload.len();
    frame[1] |= 0x80;
    for (byte, key) in frame[header..].iter_mut().zip(KEY.iter().cycle()) {
        *byte ^= key;
    }
    frame.splice(header..header, KEY);
    frame
}

/// Echoes every message that lies in `wire` in place, as a connection does; returns the length of the output and the
/// number of other frames.
fn echo(receiver: &mut Receiver, wire: &mut [u8], account: &mut Account) -> (usize, usize) {
    let mut window = Window::new(wire);
    let mut others = 0;
    loop {
        receiver
            .echo_short(&mut window, |_, _| {})
            .expect("a valid frame");
        match receiver
            .next(&mut window, &mut 0, account)
            .expect("a valid frame")
        {
            None => return (window.write, others),
            Some(Event::Message { kind, payload, .. }) => {
                let room = &mut window.bytes[window.write..];
                let len = payload.len();
                window.write += write_server_header(room, true, kind.opcode(), len) + len;
            }
            Some(Event::Ping(control)) => {
                black_box(server_frame(Opcode::Pong, control.payload()));
                others += 1;
            }
            Some(Event::Pong(_)) => others += 1,
            Some(Event::Inflated { .. }) => unreachable!("nothing is compressed"),
            Some(Event::Close(control)) => {
                let (code, reason) = close::parse(control.payload())
                    .expect("a valid close frame")
                    .unwrap_or((close::NO_STATUS, ""));
                black_box(server_frame(Opcode::Close, &close::payload(code, reason)));
                return (window.write, others + 1);
            }
        }
    }
}

/// Measures an echo of `frames` copies of one frame.
fn measure(c: &mut Criterion, group: &str, name: &str, frame: &[u8], frames: usize) {
    let wire = frame.repeat(frames);
    let mut account = Account::new(Memory::new(Limit::new(&"memory_limit", LIMIT)));
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements(frames as u64));
    let size = if wire.len() < 64 << 10 {
        BatchSize::SmallInput
    } else {
        BatchSize::LargeInput
    };
    group.bench_function(BenchmarkId::from_parameter(name), |b| {
        b.iter_batched_ref(
            || {
                (
                    Receiver::new(Terms::new(Limit::new(&"max_message_size", LIMIT))),
                    wire.clone(),
                )
            },
            |(receiver, wire)| echo(receiver, wire, &mut account),
            size,
        );
    });
    group.finish();
}

/// Parsing, unmasking and the header of the reply.
fn frames(c: &mut Criterion) {
    for (name, len, count) in [
        ("125 B", 125, 64),
        ("16 KiB", 16 << 10, 1),
        ("1 MiB", 1 << 20, 1),
    ] {
        let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let frame = client_frame(Opcode::Binary, &payload);
        let mut wire = frame.repeat(count);
        let mut account = Account::new(Memory::new(Limit::new(&"memory_limit", LIMIT)));
        let (written, _) = echo(
            &mut Receiver::new(Terms::new(Limit::new(&"max_message_size", LIMIT))),
            &mut wire,
            &mut account,
        );
        let reply = server_frame(Kind::Binary.opcode(), &payload);
        assert_eq!(reply.len(), server_header_len(len) + len);
        assert_eq!(wire[..written], reply.repeat(count));
        measure(c, "frame", name, &frame, count);

        let wire = frame.repeat(count);
        let mut group = c.benchmark_group("frame, nothing checked");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_batched_ref(
                || wire.clone(),
                |wire| echo_in_place(wire).expect("valid frames").out,
                BatchSize::LargeInput,
            );
        });
        group.finish();
    }
}

/// 16 KiB of text, as one piece.
fn utf8(c: &mut Criterion) {
    let mut group = c.benchmark_group("UTF-8, 16 KiB");
    for (name, unit) in [
        ("ASCII", "a line of plain text. "),
        ("mixed", "Zürich κόσμε 世界 🦀 and "),
    ] {
        let mut text = unit.repeat((16 << 10) / unit.len());
        text.push_str(&".".repeat((16 << 10) - text.len()));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut state = Utf8::NEW;
                state.push(black_box(text.as_bytes())).expect("UTF-8");
                state.finish()
            });
        });
    }
    group.finish();
}

/// The check of a request, and the 101 response to it.
fn handshake(c: &mut Criterion) {
    let least = "GET / HTTP/1.1\r\nHost: localhost:1234\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Safari/537.36\r\n\
                   Origin: http://localhost:8000\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
                   Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n\
                   Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                   Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n";
    let policy = Policy::default();
    let fields = Fields::default();
    let mut group = c.benchmark_group("handshake");
    for (name, request) in [
        ("of a library", format!("{least}\r\n")),
        ("of a browser", format!("{least}{browser}\r\n")),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let Verdict::Upgrade(upgrade) = check(black_box(request.as_bytes()), &policy)
                else {
                    panic!("a good request was refused");
                };
                accept_response(&upgrade.agreement(), "echoserver", UNIX_EPOCH, &fields)
            });
        });
    }
    group.finish();
}

/// A ping with its pong, a pong, a close frame with its answer.
fn control(c: &mut Criterion) {
    let going = close::payload(close::GOING_AWAY, "the page is left");
    let ping = client_frame(Opcode::Ping, b"01234567");
    measure(c, "control", "ping", &ping, 64);
    let pong = client_frame(Opcode::Pong, b"01234567");
    measure(c, "control", "pong", &pong, 64);
    measure(
        c,
        "control",
        "close",
        &client_frame(Opcode::Close, &going),
        1,
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = frames, utf8, handshake, control
}
criterion_main!(benches);
