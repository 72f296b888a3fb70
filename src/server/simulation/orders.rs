//! Orders from elsewhere: the room that they take in a send queue, and what becomes of those that nobody wants.

use super::{BINARY, Config, NEVER, Simulation, TEXT, closed, frame, sent, settle};
use crate::order::Order;
use crate::protocol::message::Kind;
use std::sync::Arc;

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
