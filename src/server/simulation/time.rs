//! Every timeout, to the millisecond, in a time that only moves when nothing else does.

use super::order_close;
use super::{
    BINARY, CLOSE, Config, Duration, Instant, NEVER, PING, PONG, REQUEST, Recorder, Simulation,
    TEXT, Temper, Wants, close, closed, frame, sent, settle,
};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// Checks that `since` lies `expected` back; tokio's clock moves in milliseconds.
fn expect(since: Instant, expected: Duration) {
    let elapsed = since.elapsed();
    let is_so = elapsed >= expected && elapsed < expected + Duration::from_millis(5);
    assert!(is_so, "{elapsed:?} for {expected:?}");
}

#[test]
fn a_request_has_open_timeout() {
    Simulation::echo(Config::default(), async |simulation| {
        let begun = Instant::now();
        let silent = simulation.connect(Temper::even());
        let slow = simulation.connect(Temper::even());
        // A byte now and then buys nothing.
        for byte in REQUEST.bytes().take(9) {
            slow.send([byte]);
            sleep(SECOND).await;
            assert!(silent.is_silent() && slow.is_silent());
        }
        for peer in [silent, slow] {
            assert!(peer.read_head().await.starts_with("HTTP/1.1 408 "));
            expect(begun, Duration::from_secs(10));
            peer.take_received();
            peer.expect_shut_down().await;
            peer.send_end();
            peer.expect_drop().await;
            expect(begun, Duration::from_secs(10));
        }
    });
}

#[test]
fn a_refused_client_that_stays_is_left_after_close_timeout() {
    Simulation::echo(Config::default(), async |simulation| {
        let peer = simulation.connect(Temper::even());
        peer.send("HELO there\r\n");
        assert!(peer.read_head().await.starts_with("HTTP/1.1 400 "));
        let begun = Instant::now();
        peer.expect_drop().await;
        expect(begun, Duration::from_secs(5));
    });
}

#[test]
fn a_refused_client_that_reads_nothing_is_left_after_close_timeout() {
    Simulation::echo(Config::default(), async |simulation| {
        let peer = simulation.connect(Temper::even());
        peer.take_only(7);
        let begun = Instant::now();
        peer.send("HELO there\r\n");
        peer.expect_drop().await;
        expect(begun, Duration::from_secs(5));
    });
}

#[test]
fn a_client_that_answers_no_close_is_dropped_after_close_timeout() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = simulation.open().await;
        client.order(order_close(4001, "enough"));
        assert_eq!(peer.read().await, closed(4001, "enough"));
        let begun = Instant::now();
        // Messages are no answer.
        for _ in 0..4 {
            sleep(SECOND).await;
            peer.send(frame(TEXT, "still talking"));
        }
        peer.expect_drop().await;
        expect(begun, Duration::from_secs(5));
        assert!(peer.take_received().is_empty());
    });
}

#[test]
fn a_client_that_keeps_tcp_open_is_dropped_after_close_timeout() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, _) = simulation.open().await;
        peer.send(frame(CLOSE, close::payload(1000, "")));
        assert_eq!(peer.read().await, closed(1000, ""));
        let begun = Instant::now();
        peer.expect_shut_down().await;
        expect(begun, Duration::ZERO);
        peer.expect_drop().await;
        expect(begun, Duration::from_secs(5));
    });
}

#[test]
fn a_failed_client_that_reads_nothing_is_dropped_after_close_timeout() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, client) = simulation.open().await;
        peer.take_only(3);
        let begun = Instant::now();
        peer.send([frame(TEXT, "not read"), vec![0xff]].concat());
        peer.expect_drop().await;
        expect(begun, Duration::from_secs(5));
        assert_eq!(client.ended().unwrap().0, close::PROTOCOL_ERROR);
    });
}

#[test]
fn a_silent_client_has_idle_timeout() {
    let config = Config {
        idle_timeout: Some(Duration::from_secs(60)),
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let (peer, client) = simulation.open().await;
        // Any byte counts, even one of a message that is not whole.
        for byte in frame(TEXT, "slowly").into_iter().chain([0x81]) {
            sleep(Duration::from_secs(59)).await;
            peer.send([byte]);
        }
        assert_eq!(peer.read().await, sent(TEXT, "slowly"));
        let begun = Instant::now();
        let (first, payload) = peer.read().await;
        expect(begun, Duration::from_secs(60));
        let said = close::parse(&payload).unwrap().unwrap();
        assert_eq!((first, said.0), (CLOSE, 1001));
        assert!(said.1.contains("idle_timeout of 60s"), "{}", said.1);
        peer.expect_drop().await;
        expect(begun, Duration::from_secs(65));
        assert_eq!(client.ended().unwrap().0, 1001);
    });
}

#[test]
fn a_client_that_takes_its_time_to_read_is_not_silent_by_its_own_will() {
    let config = Config {
        idle_timeout: Some(Duration::from_secs(60)),
        ..Config::default()
    };
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(config, recorder.clone(), async |simulation| {
        let (peer, _) = simulation.open().await;
        // While the handler is behind, nothing is read, so silence is no sign.
        peer.send(frame(TEXT, "x").repeat(2000));
        settle().await;
        assert_eq!(recorder.waiting(), 2000);
        sleep(Duration::from_secs(200)).await;
        assert!(peer.is_silent());
        recorder.echo_batch(2000);
        for _ in 0..2000 {
            assert_eq!(peer.read().await, sent(TEXT, "x"));
        }
        let begun = Instant::now();
        let (_, payload) = peer.read().await;
        assert_eq!(close::parse(&payload).unwrap().unwrap().0, 1001);
        assert!(begun.elapsed() <= Duration::from_secs(61));
    });
}

fn keepalive() -> Config {
    Config {
        ping_interval: Some(Duration::from_secs(30)),
        ping_timeout: Duration::from_secs(20),
        ..Config::default()
    }
}

#[test]
fn pings_keep_a_connection_alive() {
    Simulation::echo(keepalive(), async |simulation| {
        let (peer, client) = simulation.open().await;
        assert_eq!(client.rtt(), None);
        for count in 0..10_u64 {
            let begun = Instant::now();
            let ping = peer.read().await;
            expect(begun, if count == 0 { 30 * SECOND } else { 11 * SECOND });
            assert_eq!(ping.0, PING);
            // A pong that nobody asked for does not count.
            peer.send(frame(PONG, "unasked"));
            sleep(19 * SECOND).await;
            peer.send(frame(PONG, ping.1));
            settle().await;
            assert!(client.rtt().unwrap().abs_diff(19 * SECOND) < Duration::from_millis(5));
        }
        peer.send(frame(TEXT, "hello"));
        assert_eq!(peer.read().await, sent(TEXT, "hello"));
    });
}

#[test]
fn a_missing_pong_ends_a_connection() {
    Simulation::echo(keepalive(), async |simulation| {
        let (peer, client) = simulation.open().await;
        let begun = Instant::now();
        assert_eq!(peer.read().await.0, PING);
        expect(begun, 30 * SECOND);
        // Whoever talks is there, but has not answered.
        sleep(19 * SECOND).await;
        peer.send(frame(PONG, "unasked"));
        peer.send(frame(BINARY, "talk"));
        assert_eq!(peer.read().await, sent(BINARY, "talk"));
        let (first, payload) = peer.read().await;
        expect(begun, 69 * SECOND);
        let said = close::parse(&payload).unwrap().unwrap();
        assert_eq!((first, said.0), (CLOSE, 1011));
        assert!(said.1.contains("ping_timeout of 20s"), "{}", said.1);
        peer.send(frame(CLOSE, payload));
        peer.expect_shut_down().await;
        expect(begun, 69 * SECOND);
        assert_eq!(client.ended().unwrap().0, 1011);
    });
}

#[test]
fn who_has_ended_its_half_can_not_answer_a_ping_and_gets_its_answer() {
    let recorder = Recorder::new(Wants::TEXT);
    Simulation::run(keepalive(), recorder.clone(), async |simulation| {
        let (peer, client) = simulation.open().await;
        peer.send(frame(TEXT, "slow"));
        peer.send_end();
        settle().await;
        sleep(500 * SECOND).await;
        recorder.echo_batch(1);
        let mut answer = peer.read().await;
        while answer.0 == PING {
            answer = peer.read().await;
        }
        assert_eq!(answer, sent(TEXT, "slow"));
        peer.expect_drop().await;
        assert_eq!(client.ended().unwrap().0, 1006);

        // One that takes nothing of it is gone, as far as anybody can tell.
        let (peer, client) = simulation.open().await;
        let begun = Instant::now();
        peer.take_only(10);
        peer.send(frame(BINARY, vec![7; 1000]));
        peer.send_end();
        peer.expect_drop().await;
        expect(begun, 55 * SECOND);
        assert_eq!(client.ended().unwrap().0, 1011);
    });
}

#[test]
fn pings_of_the_application_do_not_hide_the_pong() {
    Simulation::echo(keepalive(), async |simulation| {
        let (peer, client) = simulation.open().await;
        let ping = peer.read().await;
        for count in 0..40_u8 {
            client.order(client.ping(vec![count], usize::MAX).unwrap());
            assert_eq!(peer.read().await, sent(PING, [count]));
        }
        peer.send(frame(PONG, ping.1));
        sleep(25 * SECOND).await;
        assert!(peer.is_silent());
    });
}

#[test]
fn nothing_is_sent_unprompted() {
    Simulation::echo(Config::default(), async |simulation| {
        let (peer, _) = simulation.open().await;
        sleep(NEVER / 2).await;
        assert!(peer.is_silent());
        peer.send(frame(TEXT, "hello"));
        assert_eq!(peer.read().await, sent(TEXT, "hello"));
    });
}
