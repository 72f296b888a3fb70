//! The PROXY protocol before a request: cut anywhere, with all else behind it in one piece.

use super::stream::Temper;
use super::{Config, Instant, REQUEST, Simulation, TEXT, frame, sent};
use crate::endpoint;
use crate::server::proxied;
use tokio::task::spawn_local;
use tokio::time::sleep_until;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\x02\x07\xc6\x33\x64\x01\x15\xb3\x01\xbb\x04\0\0";

#[test]
fn it_may_be_cut_anywhere_and_nothing_behind_it_is_lost() {
    Simulation::echo(Config::default(), async |simulation| {
        let mut id = 0;
        for header in [V1, V2] {
            let all = [header, REQUEST.as_bytes(), &frame(TEXT, "early")].concat();
            for cut in 0..=header.len() + 1 {
                let (newcomer, peer) = simulation.newcomer(Temper::even());
                spawn_local(proxied::serve(newcomer, None));
                peer.send(&all[..cut]);
                super::settle().await;
                peer.send(&all[cut..]);
                assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
                assert_eq!(peer.read().await, sent(TEXT, "early"), "cut at {cut}");
                let client = simulation.server.clients().pop().unwrap();
                id += 1;
                assert_eq!(client.id, id);
                assert_eq!(
                    client.peer(),
                    endpoint::Peer::Ip(([192, 0, 2, 7], 5555).into())
                );
                assert_eq!(
                    client.proxied_by(),
                    Some(endpoint::Peer::Ip(([127, 0, 0, 1], 1).into()))
                );
                peer.send_end();
                peer.expect_drop().await;
            }
        }
    });
}

#[test]
fn in_any_mood_of_the_stream() {
    Simulation::echo(Config::default(), async |simulation| {
        for seed in 0..60 {
            let (newcomer, peer) = simulation.newcomer(Temper::moody(seed));
            spawn_local(proxied::serve(newcomer, None));
            peer.send([V2, REQUEST.as_bytes(), &frame(TEXT, "early")].concat());
            assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
            assert_eq!(peer.read().await, sent(TEXT, "early"), "{seed}");
            peer.send_end();
            peer.expect_drop().await;
        }
    });
}

#[test]
fn a_stop_and_the_time_end_the_wait_for_it() {
    let config = Config::default();
    let open_timeout = config.open_timeout;
    Simulation::echo(config, async |simulation| {
        let begun = Instant::now();
        let (newcomer, late) = simulation.newcomer(Temper::even());
        spawn_local(proxied::serve(newcomer, None));
        late.send(&V1[..9]);
        late.expect_shut_down().await;
        assert_eq!(begun.elapsed(), open_timeout);
        late.send_end();
        late.expect_drop().await;
        let stats = simulation.server.stats();
        assert_eq!((stats.handshakes_refused, stats.clients_opened), (1, 0));
        let (newcomer, waiting) = simulation.newcomer(Temper::even());
        spawn_local(proxied::serve(newcomer, None));
        waiting.send(&V2[..9]);
        sleep_until(Instant::now() + open_timeout / 2).await;
        simulation.server.stop(open_timeout);
        waiting.expect_drop().await;
        assert_eq!(simulation.server.stats().handshakes_refused, 1);
    });
}

#[test]
fn what_has_no_room_is_refused() {
    let config = Config {
        memory_limit: 100,
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let (newcomer, peer) = simulation.newcomer(Temper::even());
        spawn_local(proxied::serve(newcomer, None));
        peer.send(V1);
        peer.send_end();
        peer.expect_drop().await;
        assert_eq!(simulation.server.stats().handshakes_refused, 1);
    });
}
