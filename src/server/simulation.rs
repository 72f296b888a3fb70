//! Connections over a stream in memory, in paused time: short reads, short writes, waits and errors wherever a seed
//! wants them, timeouts to the millisecond, and handlers that answer when it suits the test.
//!
//! The worker is a real one; only its sockets and its clock are not.
//!
//! The fuzzer uses it, too (`cfg(fuzzing)`), without the tests.

#![cfg_attr(
    not(test),
    allow(
        dead_code,
        unused_imports,
        reason = "the fuzzer needs less than the tests do"
    )
)]

#[cfg(test)]
mod advancing;
#[cfg(test)]
mod advancing_faults;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod closing;
mod codec;
#[cfg(test)]
mod compression;
#[cfg(test)]
pub(super) mod draining;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod faults_and_stops;
#[cfg(test)]
mod faults_at_ends;
#[cfg(test)]
mod faults_behind_the_101;
#[cfg(test)]
mod faults_by_chance;
#[cfg(test)]
mod faults_by_url;
#[cfg(test)]
mod faults_held_up;
#[cfg(test)]
mod faults_on_bytes;
#[cfg(test)]
mod faults_on_late_answers;
#[cfg(test)]
mod faults_on_late_ends;
#[cfg(test)]
mod faults_that_change;
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "it is for the fuzzer"))]
pub mod fuzz;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod lingering;
#[cfg(test)]
mod moments;
#[cfg(test)]
mod order;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod pausing;
#[cfg(test)]
mod proxied;
#[cfg(test)]
mod recording;
mod records;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod resetting;
mod stream;
#[cfg(test)]
mod summaries;
#[cfg(test)]
mod time;
#[cfg(test)]
mod tls;
mod tls_peer;
#[cfg(test)]
mod tls_records;
mod watch;

use super::clock::Clock;
use super::desk::Desk;
use super::linger::timer::GRAIN;
use super::opening::newcomer::Newcomer;
use super::shaped::Shaped;
use super::worker;
use super::{Server, opening};
use crate::client::{Client, Ends, Letter};
use crate::config::Config;
use crate::endpoint::{self, Endpoint};
use crate::handler::{Batch, Echo, Gate, Handler, Summary, Wants};
use crate::mailbox::Mailbox;
use crate::manual_clock::ManualClock;
use crate::order::{Close, Order, Replies};
use crate::protocol::close;
#[cfg(test)]
use crate::protocol::message::Kind;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::{NEVER, Peer, Stream, Temper};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{spawn_local, yield_now};
use tokio::time::{Instant, timeout};
use watch::Watched;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A client's frame.
fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const KEY: [u8; 4] = [0x91, 0x00, 0x3c, 0xff];
    let payload = payload.as_ref();
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

/// What the server sends, as the tests write it down.
fn sent(first: u8, payload: impl AsRef<[u8]>) -> (u8, Vec<u8>) {
    (first, payload.as_ref().to_vec())
}

fn closed(code: u16, reason: &str) -> (u8, Vec<u8>) {
    (CLOSE, close::payload(code, reason))
}

/// The order to close.
fn order_close(code: i64, reason: &str) -> Order {
    Order::Close(Close::new(code, reason).unwrap())
}

/// Workers without sockets; one, if the options do not say how many.
struct Simulation {
    server: Server,
    /// The first one's.
    desk: Rc<Desk>,
    desks: Vec<Rc<Desk>>,
}

impl Simulation {
    /// Runs `test` in time of its own; after it all is stopped, and nothing may be left.
    fn run(config: Config, handler: Arc<dyn Handler>, test: impl AsyncFnOnce(&Self)) {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build_local(LocalOptions::default())
            .unwrap();
        // It listens, but nobody will ask it to.
        let config = Config {
            port: 0,
            host: vec!["127.0.0.1".into()],
            workers: Some(config.workers.unwrap_or(1)),
            ..config
        };
        let server = Server::bind(config, handler).unwrap();
        let desk = |index| {
            let hand = server.config().clock.as_ref().map(ManualClock::join);
            Desk::new(server.shared.clone(), index, Clock::new(hand))
        };
        // In the time of the test.
        let desks = async { (0..server.shared.workers.len()).map(desk).collect() };
        let desks: Vec<_> = runtime.block_on(desks);
        let simulation = Self {
            server,
            desk: desks[0].clone(),
            desks,
        };
        runtime.block_on(async {
            let desks = simulation.desks.iter();
            let mains: Vec<_> = desks
                .map(|desk| spawn_local(worker::main(desk.clone(), Vec::new())))
                .collect();
            test(&simulation).await;
            simulation.server.stop(Duration::ZERO);
            for main in mains {
                timeout(NEVER, main).await.unwrap().unwrap();
            }
        });
        // Aborts what is left, as the end of a worker does.
        drop(runtime);
        // As the wait for threads does: an order that nobody takes keeps its client, whose way to the worker keeps it.
        for desk in &simulation.desks {
            desk.face().orders.close();
        }
        let stats = simulation.server.stats();
        if simulation.server.record().is_none() {
            assert_eq!(stats.memory_used, 0, "{stats:?}");
        }
        assert_eq!(stats.clients_opened, stats.clients_closed);
        assert_eq!(simulation.server.shared.open.load(Ordering::Relaxed), 0);
        assert!(simulation.server.clients().is_empty());
        let memory = simulation.server.shared.memory.clone();
        drop(simulation);
        assert_eq!(memory.used(), 0);
    }

    /// What is charged beside what the clients count for themselves.
    fn used(&self) -> u64 {
        let clients = self.server.clients();
        let charges = clients.iter().filter_map(Client::charge);
        let idle: usize = charges.map(|charge| charge.bytes()).sum();
        self.server.stats().memory_used - idle as u64
    }

    /// A native echo.
    fn echo(config: Config, test: impl AsyncFnOnce(&Self)) {
        Self::run(config, Arc::new(Echo), test);
    }

    /// Somebody who has connected, and the other end.
    fn newcomer(&self, temper: Temper) -> (Newcomer<Shaped<Stream>>, Peer) {
        Self::newcomer_at(&self.desk, temper)
    }

    /// The same, at that worker.
    fn newcomer_at(desk: &Rc<Desk>, temper: Temper) -> (Newcomer<Shaped<Stream>>, Peer) {
        let (stream, peer) = stream::pair(temper);
        let face = desk.face();
        face.load.fetch_add(1, Ordering::Relaxed);
        let address = (Ipv4Addr::LOCALHOST, 1).into();
        let ends = Ends {
            peer: endpoint::Peer::Ip(address),
            local: Endpoint::Ip(address),
        };
        let newcomer = Newcomer::new(Shaped::new(stream), ends, desk.sit());
        (newcomer, peer)
    }

    /// A TCP connection, whose task may not go round in circles.
    fn connect(&self, temper: Temper) -> Peer {
        Self::connect_at(&self.desk, temper)
    }

    fn connect_at(desk: &Rc<Desk>, temper: Temper) -> Peer {
        let (newcomer, peer) = Self::newcomer_at(desk, temper);
        let task = opening::serve(newcomer);
        spawn_local(Watched::new(task, peer.watcher()));
        peer
    }

    /// A client that is upgraded.
    async fn open(&self) -> (Peer, Arc<Client>) {
        let peer = self.connect(Temper::even());
        peer.send(REQUEST);
        assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
        let client = self.server.clients().pop().unwrap();
        (peer, client)
    }
}

/// Lets everything happen that can happen without the clock.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// A handler that takes what it is given and answers when it is told to.
#[derive(Debug)]
struct Recorder {
    wants: Wants,
    gate: Gate,
    batches: Mutex<Vec<(Arc<Client>, Batch)>>,
    /// What became of the clients that are gone.
    gone: Mutex<Vec<(u64, u16, String)>>,
    summaries: Mutex<Vec<(u64, Summary)>>,
    looks: AtomicUsize,
}

impl Recorder {
    fn new(wants: Wants) -> Arc<Self> {
        Self::gated(wants, Gate::Open)
    }

    fn gated(wants: Wants, gate: Gate) -> Arc<Self> {
        Arc::new(Self {
            wants,
            gate,
            batches: Mutex::default(),
            gone: Mutex::default(),
            summaries: Mutex::default(),
            looks: AtomicUsize::new(0),
        })
    }

    /// The messages that wait for an answer.
    fn waiting(&self) -> usize {
        let batches = self.batches.lock().unwrap();
        batches.iter().map(|(_, batch)| batch.messages.len()).sum()
    }

    /// Echoes the oldest batch, `size` messages to an order, each order from a thread of its own.
    fn echo_batch(&self, size: usize) {
        let (client, batch) = self.batches.lock().unwrap().remove(0);
        let ends: Vec<usize> = batch
            .messages
            .iter()
            .map(|(_, payload)| payload.end)
            .collect();
        let mut start = 0;
        for ends in ends.chunks(size) {
            let end = ends[ends.len() - 1];
            let replies = Replies {
                wire: batch.wire[start..end].to_vec(),
                ends: ends.iter().map(|end| end - start).collect(),
                answered: batch
                    .messages
                    .iter()
                    .filter(|(_, payload)| start < payload.end && payload.end <= end)
                    .map(|(_, payload)| payload.len())
                    .sum(),
                are_followed: false,
            };
            let client = client.clone();
            let order = move || client.order(Order::Replies(replies));
            std::thread::spawn(order).join().unwrap();
            start = end;
        }
    }

    fn gone(&self) -> Vec<(u64, u16, String)> {
        self.gone.lock().unwrap().clone()
    }
}

impl Handler for Recorder {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn on_open(&self, _client: &Arc<Client>) -> Gate {
        self.gate
    }

    fn on_messages(&self, client: &Arc<Client>, batch: Batch) {
        let mut batches = self.batches.lock().unwrap();
        batches.push((client.clone(), batch));
    }

    fn on_look(&self, _worker: &Arc<Mailbox<Letter>>) -> bool {
        self.looks.fetch_add(1, Ordering::Relaxed) < 2
    }

    fn on_summary(&self, client: &Arc<Client>, summary: &Summary) {
        let mut summaries = self.summaries.lock().unwrap();
        summaries.push((client.id, *summary));
    }

    fn on_close(&self, client: &Arc<Client>) {
        let (code, reason) = client.ended().unwrap().clone();
        self.gone.lock().unwrap().push((client.id, code, reason));
    }
}
