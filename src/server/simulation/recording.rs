//! What clients do is recorded, as far as there is room for it, and shows when its answer has its place.

use super::{
    BINARY, CLOSE, Config, NEVER, PING, PONG, Peer, REQUEST, Recorder, Simulation, TEXT, Temper,
    Wants, close, closed, frame, order_close, sent, settle,
};
use crate::client::Client;
use crate::protocol::message::Kind;
use crate::record::{Entry, Missing, Record, What, messages};
use std::sync::Arc;

const BOUND: usize = 1 << 20;

fn config(bound: usize) -> Config {
    Config {
        record: Some(bound),
        ..Config::default()
    }
}

fn record(simulation: &Simulation) -> &Arc<Record> {
    simulation.server.record().unwrap()
}

/// The messages of a client that nobody has taken.
fn taken(record: &Record, client: &Client) -> Vec<(Kind, Vec<u8>)> {
    std::iter::from_fn(|| record.take_message(client).unwrap().0).collect()
}

/// What has happened, in short.
fn story(record: &Record) -> Vec<String> {
    told(record.story(usize::MAX).first)
}

fn told(entries: Vec<Entry>) -> Vec<String> {
    let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
    let tell = |what: What| match what {
        What::Request(request) => {
            let target = request.head().unwrap().target().to_owned();
            format!("{target} {:?}", request.status())
        }
        What::Opened(client) => format!("{} opened", client.id),
        What::Messages(client, frames) => {
            let texts: Vec<_> = messages(&frames).map(|(_, one)| text(one)).collect();
            format!("{} {}", client.id, texts.join(","))
        }
        What::Pong(client, payload) => format!("{} pong {}", client.id, text(&payload)),
        What::Ended(client) => format!("{} ended {:?}", client.id, client.ended().unwrap()),
    };
    entries.into_iter().map(|entry| tell(entry.what)).collect()
}

async fn say_goodbye(peer: &Peer) {
    peer.send(frame(CLOSE, close::payload(1000, "bye")));
    assert_eq!(peer.read().await, closed(1000, "bye"));
    peer.send_end();
}

#[test]
fn what_is_echoed_natively_is_recorded_whole_and_in_order() {
    Simulation::run(config(BOUND), Arc::new(crate::handler::Echo), async |one| {
        let (peer, client) = one.open().await;
        let record = record(one);
        let long = "long ".repeat(60_000);
        let bytes = [
            frame(TEXT, "a"),
            frame(BINARY, [1, 2, 3]),
            frame(PING, "between"),
            frame(TEXT, "b".repeat(126)),
            frame(0x01, "in "),
            frame(0x80, "parts"),
            frame(TEXT, &long),
            frame(TEXT, ""),
            frame(PONG, "unasked"),
        ];
        peer.send(bytes.concat());
        for _ in 0..7 {
            peer.read().await;
        }
        let expected = [
            (Kind::Text, b"a".to_vec()),
            (Kind::Binary, vec![1, 2, 3]),
            (Kind::Text, b"b".repeat(126)),
            (Kind::Text, b"in parts".to_vec()),
            (Kind::Text, long.into_bytes()),
            (Kind::Text, vec![]),
        ];
        assert_eq!(taken(record, &client), expected);
        assert_eq!(record.take_message(&client), Ok((None, false)));
        settle().await;
        let pong = record.take_pong(&client).unwrap();
        assert_eq!(pong, (Some(b"unasked"[..].into()), false));
        say_goodbye(&peer).await;
        settle().await;
        assert_eq!(record.take_message(&client), Ok((None, true)));
        let taken = record.take_client(None).unwrap().unwrap();
        assert!(Arc::ptr_eq(&taken, &client));
        assert!(record.take_client(None).unwrap().is_none());
        let story = story(record);
        assert_eq!(story[..2], ["/ Some(101)", "1 opened"]);
        assert_eq!(story.last().unwrap(), r#"1 ended (1000, "bye")"#);
    });
}

#[test]
fn a_refused_request_is_recorded_with_its_status() {
    Simulation::run(config(BOUND), Arc::new(crate::handler::Echo), async |one| {
        for (request, status) in [
            (REQUEST.replace("GET / ", "GET /old "), 426),
            ("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 426),
        ] {
            let peer = one.connect(Temper::even());
            peer.send(request.replace("Version: 13", "Version: 8"));
            let head = peer.read_head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        }
        settle().await;
        assert_eq!(story(record(one)), ["/old Some(426)", "/plain Some(426)"]);
    });
}

#[test]
fn a_message_shows_when_its_answer_has_its_place() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(config(BOUND), recorder.clone(), async |one| {
        let (peer, client) = one.open().await;
        let record = record(one);
        peer.send([frame(BINARY, "0"), frame(TEXT, "1"), frame(BINARY, "2")].concat());
        assert_eq!(peer.read().await, sent(BINARY, "0"));
        settle().await;
        assert_eq!(taken(record, &client), [(Kind::Binary, b"0".to_vec())]);
        recorder.echo_batch(1);
        // Whoever has seen it comes after its answer, and after the one that had to wait for that.
        while record.take_message(&client).unwrap().0.is_none() {
            settle().await;
        }
        client.send(Kind::Text, b"after".to_vec(), 100).unwrap();
        assert_eq!(taken(record, &client), [(Kind::Binary, b"2".to_vec())]);
        for expected in [(TEXT, "1"), (BINARY, "2"), (TEXT, "after")] {
            assert_eq!(peer.read().await, sent(expected.0, expected.1));
        }
        // What will get no answer shows, too.
        peer.send(frame(TEXT, "3"));
        settle().await;
        assert_eq!(taken(record, &client), []);
        client.order(order_close(1000, ""));
        settle().await;
        assert_eq!(taken(record, &client), [(Kind::Text, b"3".to_vec())]);
        recorder.batches.lock().unwrap().clear();
    });
}

#[test]
fn beyond_its_bound_nothing_is_recorded_and_everything_echoed() {
    Simulation::run(config(8000), Arc::new(crate::handler::Echo), async |one| {
        let (peer, client) = one.open().await;
        let record = record(one);
        for text in ["x".repeat(100), "y".repeat(8000), "z".repeat(100)] {
            peer.send(frame(TEXT, &text));
            assert_eq!(peer.read().await, sent(TEXT, &text));
        }
        assert_eq!(
            record.take_message(&client).unwrap().0,
            Some((Kind::Text, vec![b'x'; 100]))
        );
        assert_eq!(record.take_message(&client), Err(Missing));
        assert_eq!(record.clients().unwrap_err(), Missing);
        one.server.clear_record();
        assert_eq!(record.take_message(&client), Ok((None, false)));
        peer.send(frame(TEXT, "again"));
        assert_eq!(peer.read().await, sent(TEXT, "again"));
        assert_eq!(taken(record, &client), [(Kind::Text, b"again".to_vec())]);
        // One that is forgotten is not given to anybody.
        assert!(record.take_client(None).unwrap().is_none());
        assert_eq!(record.clients().unwrap().len(), 1);
    });
}

#[test]
fn a_message_shows_with_its_own_answer_also_if_one_behind_it_is_lost() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(config(8000), recorder.clone(), async |one| {
        let (peer, client) = one.open().await;
        let record = record(one);
        for text in ["first", &"lost".repeat(2000), "last"] {
            peer.send(frame(TEXT, text));
            settle().await;
            if text.starts_with("lost") {
                one.server.clear_record();
            }
            assert_eq!(taken(record, &client), []);
        }
        for shown in [Some("first"), None, Some("last")] {
            recorder.echo_batch(1);
            settle().await;
            let shown = shown.map(|text| (Kind::Text, text.as_bytes().to_vec()));
            assert_eq!(taken(record, &client), Vec::from_iter(shown));
        }
    });
}

#[test]
fn a_story_has_its_beginning_and_its_end_in_so_many_lines() {
    Simulation::run(config(BOUND), Arc::new(crate::handler::Echo), async |one| {
        let (peer, _client) = one.open().await;
        peer.send([frame(TEXT, "a"), frame(TEXT, "b"), frame(TEXT, "c")].concat());
        for _ in 0..3 {
            peer.read().await;
        }
        peer.send(frame(PONG, "?"));
        settle().await;
        peer.send([frame(TEXT, "d"), frame(TEXT, "e")].concat());
        for _ in 0..2 {
            peer.read().await;
        }
        // Each line apart.
        let apart = |entries: Vec<Entry>| -> Vec<String> {
            let lines = told(entries).into_iter();
            let split = |line: String| line.split(',').map(str::to_owned).collect::<Vec<_>>();
            lines
                .flat_map(split)
                .map(|line| line.replacen("1 ", "", 1))
                .collect()
        };
        let all = ["/ Some(101)", "opened", "a", "b", "c", "pong ?", "d", "e"];
        for most in 0..=all.len() + 1 {
            let story = record(one).story(most);
            let (first, last) = (apart(story.first), apart(story.last));
            assert_eq!(first.len() + last.len(), most.min(all.len()));
            assert_eq!(first, all[..first.len()]);
            assert_eq!(last, all[all.len() - last.len()..]);
            assert_eq!(story.left_out, all.len().saturating_sub(most));
            assert!(first.len() >= last.len() && !story.is_cut);
        }
    });
}

#[test]
fn what_is_forgotten_is_given_back() {
    Simulation::run(config(BOUND), Arc::new(crate::handler::Echo), async |one| {
        let (peer, client) = one.open().await;
        let record = record(one);
        one.server.clear_record();
        let before = one.server.stats().memory_used;
        for _ in 0..3 {
            let (other, gone) = one.open().await;
            other.send([frame(TEXT, "text"), frame(PONG, "pong")].concat());
            assert_eq!(other.read().await, sent(TEXT, "text"));
            say_goodbye(&other).await;
            settle().await;
            assert!(gone.ended().is_some());
            assert!(record.knows(gone.id));
            one.server.clear_record();
            assert!(!record.knows(gone.id));
            // Whoever has it has only that.
            assert_eq!(record.take_message(&gone), Ok((None, true)));
            assert_eq!(record.take_pong(&gone), Ok((None, true)));
        }
        assert_eq!(one.server.stats().memory_used, before);
        let here = record.clients().unwrap();
        assert!(here.len() == 1 && Arc::ptr_eq(&here[0], &client));
        peer.send(frame(TEXT, "still"));
        peer.read().await;
        assert_eq!(taken(record, &client), [(Kind::Text, b"still".to_vec())]);
    });
}

#[test]
fn who_has_come_while_nothing_was_recorded_is_recorded_once_that_is_cleared() {
    Simulation::run(config(8000), Arc::new(crate::handler::Echo), async |one| {
        let (peer, first) = one.open().await;
        let record = record(one);
        peer.send(frame(TEXT, "x".repeat(8000)));
        peer.read().await;
        let (_other, second) = one.open().await;
        let (late, third) = one.open().await;
        assert_eq!(record.clients().unwrap_err(), Missing);
        one.server.clear_record();
        let ids: Vec<_> = record.clients().unwrap().iter().map(|one| one.id).collect();
        assert_eq!(ids, [first.id, second.id, third.id]);
        late.send([frame(TEXT, "text"), frame(PONG, "pong")].concat());
        late.read().await;
        settle().await;
        assert_eq!(taken(record, &third), [(Kind::Text, b"text".to_vec())]);
        assert_eq!(
            record.take_pong(&third).unwrap().0,
            Some(b"pong"[..].into())
        );
        assert!(record.take_client(None).unwrap().is_none());
    });
}

#[test]
fn what_is_recorded_is_charged() {
    let config = Config {
        memory_limit: 100_000,
        ..config(1 << 30)
    };
    Simulation::run(config, Arc::new(crate::handler::Echo), async |one| {
        let (peer, client) = one.open().await;
        let record = record(one);
        let before = one.server.stats().memory_used;
        for count in 1..=20 {
            peer.send(frame(BINARY, [7; 10_000]));
            assert!(peer.read().await == sent(BINARY, [7; 10_000]));
            let used = one.server.stats().memory_used - before;
            assert!(used >= 10_000 * count.min(4), "{used}");
        }
        assert!(taken_until_missing(record, &client) == 4);
        one.server.clear_record();
        assert!(one.server.stats().memory_used <= before);
    });
}

fn taken_until_missing(record: &Record, client: &Client) -> usize {
    std::iter::from_fn(|| record.take_message(client).ok()?.0).count()
}

#[test]
fn who_waits_hears_of_it() {
    Simulation::run(config(BOUND), Arc::new(crate::handler::Echo), async |one| {
        let (peer, _client) = one.open().await;
        let record = record(one).clone();
        let mut heard = record.news.heard(record.news.count());
        let heard = std::future::poll_fn(move |cx| heard.poll(cx));
        peer.send(frame(TEXT, "news"));
        tokio::time::timeout(NEVER, heard).await.unwrap();
        let since = record.news.count();
        let thread = std::thread::spawn({
            let record = record.clone();
            move || record.news.wait(since, None)
        });
        peer.send(frame(TEXT, "more"));
        assert_eq!(peer.read().await, sent(TEXT, "news"));
        assert_eq!(peer.read().await, sent(TEXT, "more"));
        assert!(thread.join().unwrap());
        assert!(
            !record
                .news
                .wait(record.news.count(), Some(std::time::Instant::now()))
        );
    });
}
