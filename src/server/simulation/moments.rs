//! What those who wait are told of is whole: who looks at the moment of being told finds all of it, or nothing.

use super::{CLOSE, Config, Echo, PING, PONG, Simulation, TEXT, close, frame, sent, settle};
use crate::client::Client;
use crate::protocol::message::Kind;
use crate::record::What;
use crate::record::news::Heard;
use crate::server::shared::Shared;
use crate::server::stats::Stats;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Looks whenever it is told of something.
struct Witness {
    shared: Arc<Shared>,
    client: Arc<Client>,
    /// Parts of what may have happened.
    look: fn(&Stats, &Client, &[What]) -> Vec<bool>,
    seen: Mutex<Vec<Vec<bool>>>,
    heard: Mutex<Option<Heard>>,
}

impl Witness {
    fn new(
        one: &Simulation,
        client: &Arc<Client>,
        look: fn(&Stats, &Client, &[What]) -> Vec<bool>,
    ) -> Arc<Self> {
        let witness = Arc::new(Self {
            shared: one.server.shared.clone(),
            client: client.clone(),
            look,
            seen: Mutex::default(),
            heard: Mutex::default(),
        });
        witness.clone().wake();
        witness
    }

    /// What it has seen, each time that it was told.
    fn end(&self) -> Vec<Vec<bool>> {
        drop(self.heard.lock().unwrap().take());
        mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        let record = self.shared.record.as_ref().unwrap();
        let mut stats = Stats::default();
        stats.add(&self.shared.workers[0].counters);
        let story = record.story(usize::MAX).first.into_iter();
        let entries: Vec<_> = story.map(|entry| entry.what).collect();
        let seen = (self.look)(&stats, &self.client, &entries);
        self.seen.lock().unwrap().push(seen);
        let mut heard = record.news.heard(record.news.count());
        let waker = Waker::from(self.clone());
        assert_eq!(heard.poll(&Context::from_waker(&waker)), Poll::Pending);
        let before = self.heard.lock().unwrap().replace(heard);
        drop(before);
    }
}

/// Nothing first, all of it then, and nothing between.
fn expect_one_moment(seen: &[Vec<bool>]) {
    let is_whole = |parts: &Vec<bool>| parts.iter().all(|part| *part == parts[0]);
    assert!(seen.iter().all(is_whole), "{seen:?}");
    assert_eq!(seen.first().map(|parts| parts[0]), Some(false), "{seen:?}");
    assert_eq!(seen.last().map(|parts| parts[0]), Some(true), "{seen:?}");
}

fn config() -> Config {
    Config {
        record: Some(1 << 20),
        ..Config::default()
    }
}

#[test]
fn a_message_is_told_with_all_that_is_counted_of_it_and_its_echo() {
    Simulation::run(config(), Arc::new(Echo), async |one| {
        let (peer, client) = one.open().await;
        let witness = Witness::new(one, &client, |stats, _, entries| {
            vec![
                entries.iter().any(|one| matches!(one, What::Messages(..))),
                stats.text_messages_received == 1,
                stats.bytes_received == 7,
                stats.messages_sent == 1,
                stats.bytes_sent == 3,
            ]
        });
        peer.send(frame(TEXT, "x"));
        assert_eq!(peer.read().await, sent(TEXT, "x"));
        settle().await;
        expect_one_moment(&witness.end());
    });
}

#[test]
fn a_pong_is_told_with_its_round_trip_and_what_came_before_it() {
    Simulation::run(config(), Arc::new(Echo), async |one| {
        let (peer, client) = one.open().await;
        let ping = client.ping("p", 100).unwrap();
        client.order(ping);
        assert_eq!(peer.read().await, sent(PING, "p"));
        settle().await;
        let witness = Witness::new(one, &client, |stats, client, entries| {
            vec![
                matches!(
                    entries.last_chunk(),
                    Some([What::Messages(..), What::Pong(..)])
                ),
                client.rtt().is_some(),
                stats.pongs_received == 1,
                stats.text_messages_received == 1,
            ]
        });
        peer.send([frame(TEXT, "before"), frame(PONG, "p")].concat());
        assert_eq!(peer.read().await, sent(TEXT, "before"));
        settle().await;
        expect_one_moment(&witness.end());
    });
}

#[test]
fn what_is_sent_is_told_with_what_is_counted_of_it() {
    Simulation::run(config(), Arc::new(Echo), async |one| {
        let (peer, client) = one.open().await;
        let witness = Witness::new(one, &client, |stats, _, _| {
            vec![stats.messages_sent == 1, stats.bytes_sent == 6]
        });
        client.send(Kind::Text, b"sent".to_vec(), 100).unwrap();
        assert_eq!(peer.read().await, sent(TEXT, "sent"));
        settle().await;
        expect_one_moment(&witness.end());
    });
}

#[test]
fn an_end_is_told_with_all_that_ends() {
    Simulation::run(config(), Arc::new(Echo), async |one| {
        let (peer, client) = one.open().await;
        let witness = Witness::new(one, &client, |stats, client, entries| {
            vec![
                matches!(entries.last(), Some(What::Ended(_))),
                client.ended().is_some(),
                stats.clients_closed == 1,
            ]
        });
        peer.send(frame(CLOSE, close::payload(1000, "")));
        peer.send_end();
        settle().await;
        expect_one_moment(&witness.end());
    });
}
