//! Orders from elsewhere: the room that they take in a send queue, and what becomes of those that nobody wants.

use super::{BINARY, Config, NEVER, Simulation, TEXT, closed, frame, sent, settle};
use crate::order::Order;
use crate::protocol::message::Kind;
use crate::server::shared::Command;
use std::sync::Arc;
use std::sync::mpsc::{TryRecvError, channel};

#[test]
fn a_send_queue_is_given_back_when_all_is_sent() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = simulation.open().await;
        peer.take_only(0);
        // Each message counts for 64 bytes more than its payload.
        client.send(Kind::Binary, vec![1; 600], 1128).unwrap();
        assert!(client.send(Kind::Binary, vec![1; 600], 1128).is_err());
        client.send(Kind::Binary, vec![2; 400], 1128).unwrap();
        settle().await;
        assert_eq!(client.queued(), 1128);
        peer.take_only(700);
        settle().await;
        assert_eq!(client.queued(), 464);
        peer.take_only(usize::MAX);
        assert_eq!(peer.read().await, sent(BINARY, [1; 600]));
        assert_eq!(peer.read().await, sent(BINARY, [2; 400]));
        settle().await;
        assert_eq!(client.queued(), 0);
        // A client that goes gives it back too.
        peer.take_only(0);
        client.send(Kind::Text, vec![b'x'; 10], 1000).unwrap();
        peer.reset();
        peer.expect_drop().await;
        assert!(client.flushed().wait(None));
    });
}

#[test]
fn many_orders_keep_nobody_waiting() {
    Simulation::echo(Config::default(), async |simulation| {
        let (_flooded, client) = simulation.open().await;
        let (other, _) = simulation.open().await;
        let mut letters: Vec<_> = (0..100_000)
            .map(|_| (client.clone(), Order::Admit))
            .collect();
        client.mailbox().post(&mut letters);
        other.send(frame(TEXT, "hello"));
        assert_eq!(other.read().await, sent(TEXT, "hello"));
        // Each order that is not delivered holds its client.
        assert!(Arc::strong_count(&client) > 10_000);
        // What was given before a stop comes first all the same.
        let (peer, last) = simulation.open().await;
        last.send(Kind::Text, "last", usize::MAX).unwrap();
        simulation.server.stop(NEVER);
        assert_eq!(peer.read().await, sent(TEXT, "last"));
        assert_eq!(peer.read().await, closed(1001, "the server is stopping"));
        assert!(Arc::strong_count(&client) < 10);
    });
}

#[test]
fn an_order_that_is_thrown_away_gives_its_room_back() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = simulation.open().await;
        let message = |len| client.message(Kind::Text, vec![b'x'; len], 1000).unwrap();
        let frame = simulation.server.frame(Kind::Text, b"to all").unwrap();
        let orders = [
            message(300),
            client.ping("?", 1000).unwrap(),
            client.share(&frame, 1000).unwrap(),
        ];
        assert!(client.queued() > 300 && !client.flushed().is_over());
        drop(orders);
        assert!(client.queued() == 0 && client.flushed().wait(None));
        // One for a client that is gone when it comes.
        let late = message(300);
        peer.reset();
        peer.expect_drop().await;
        client.order(late);
        settle().await;
        assert_eq!(client.queued(), 0);
        // And one that nobody takes any more.
        let (_peer, client) = simulation.open().await;
        let last = client.message(Kind::Text, "last", 1000).unwrap();
        client.mailbox().close();
        client.order(last);
        assert_eq!(client.queued(), 0);
    });
}

#[test]
fn what_was_ordered_before_an_end_goes_as_far_as_it_is_taken() {
    Simulation::echo(Config::default(), async |simulation| {
        for room in [usize::MAX, 5, 0] {
            for end in [|| Order::Abort, || Order::Reset] {
                let (peer, client) = simulation.open().await;
                peer.take_only(room);
                client.send(Kind::Text, "before", usize::MAX).unwrap();
                client.order(end());
                client.order(Order::Admit);
                peer.expect_drop().await;
                let all = b"\x81\x06before";
                assert_eq!(peer.take_received(), &all[..room.min(all.len())]);
                assert_eq!(client.ended().unwrap().0, 1006);
            }
        }
    });
}

#[test]
fn whoever_waits_for_orders_to_be_done_wakes_nobody_who_has_none() {
    let config = Config {
        record: Some(1 << 20),
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let obeyed = || {
            let (done, is_done) = channel();
            let commands = &simulation.desk.face().commands;
            commands.post_one(Command::Obey(done));
            is_done
        };
        let (_idle, _) = simulation.open().await;
        let (peer, client) = simulation.open().await;
        settle().await;
        let news = &simulation.server.record().unwrap().news;
        let before = news.count();
        let is_done = obeyed();
        settle().await;
        assert_eq!(is_done.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(news.count(), before);

        client.send(Kind::Text, "sent", usize::MAX).unwrap();
        let is_done = obeyed();
        assert_eq!(is_done.try_recv(), Err(TryRecvError::Empty));
        settle().await;
        assert_eq!(is_done.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(peer.read().await, sent(TEXT, "sent"));
        assert_eq!(news.count(), before + 1);
    });
}
