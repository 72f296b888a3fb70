//! Whoever may name a client by the PROXY protocol says anything, in any cuts. What has to come of it is read a second
//! time from the same bytes, here without a parser of others, and by what the specification says.

use super::Script;
use crate::endpoint::Peer;
use crate::server::proxied;
use crate::server::simulation::stream::Temper;
use crate::server::simulation::watch::Watched;
use crate::server::simulation::{Config, REQUEST, Simulation, TEXT, frame, sent, settle};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::task::spawn_local;

/// Of one script.
const MAX_CUTS: usize = 12;

/// Plays a script: flags, where to cut, and what is said. Behind a good header there is a request, and a message.
///
/// # Panics
/// With a finding.
pub fn proxied(script: &[u8]) {
    let mut script = Script(script);
    let flags = script.size();
    let cuts = script.bytes();
    let said = script.0;
    let told = told(said);
    let temper = match flags & 1 {
        0 => Temper::even(),
        _ => Temper::moody(flags as u64),
    };
    let all = match told {
        Some((len, _)) => [&said[..len], REQUEST.as_bytes(), &frame(TEXT, "early")].concat(),
        None => said.to_vec(),
    };
    Simulation::echo(Config::default(), async |simulation| {
        let (newcomer, peer) = simulation.newcomer(temper);
        let task = proxied::serve(newcomer, None);
        spawn_local(Watched::new(task, peer.watcher()));
        let mut rest = &all[..];
        for cut in cuts.iter().take(MAX_CUTS) {
            let (now, later) = rest.split_at(rest.len().min((*cut).into()));
            peer.send(now);
            settle().await;
            rest = later;
        }
        peer.send(rest);
        if let Some((_, client)) = told {
            assert!(peer.read_head().await.starts_with("HTTP/1.1 101 "));
            assert_eq!(peer.read().await, sent(TEXT, "early"));
            let seen = simulation.server.clients().pop().unwrap();
            let balancer = Peer::Ip((Ipv4Addr::LOCALHOST, 1).into());
            let expected = match client {
                Some(client) => (Peer::Ip(client), Some(balancer)),
                None => (balancer, None),
            };
            assert_eq!((seen.peer(), seen.proxied_by()), expected);
            peer.send_end();
            peer.expect_drop().await;
            return;
        }
        let is_late = flags & 2 != 0;
        if is_late {
            peer.expect_shut_down().await;
        }
        peer.send_end();
        peer.expect_drop().await;
        assert!(peer.take_received().is_empty(), "an answer");
        let stats = simulation.server.stats();
        // Who says nothing and leaves is no refusal.
        let refused = u64::from(is_late || !said.is_empty());
        assert_eq!(
            (stats.handshakes_refused, stats.clients_opened),
            (refused, 0)
        );
    });
}

/// How long a header is, and whom it names.
type Told = (usize, Option<SocketAddr>);

/// `None`: there is no good one, or not all of it.
fn told(said: &[u8]) -> Option<Told> {
    if let Some(line) = said.strip_prefix(b"PROXY ") {
        let end = line.windows(2).position(|pair| pair == b"\r\n")?;
        let len = b"PROXY \r\n".len() + end;
        return version_1(len, &line[..end]).filter(|_| len <= 107);
    }
    let rest = said.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")?;
    let [command, family, high, low] = *rest.first_chunk()?;
    let len = 16 + usize::from(u16::from_be_bytes([high, low]));
    let block = said.get(16..len)?;
    version_2(len, [command, family], block).filter(|_| len <= 4096)
}

fn version_1(len: usize, line: &[u8]) -> Option<Told> {
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some((len, None));
    }
    let words: Vec<&str> = str::from_utf8(line).ok()?.split(' ').collect();
    let [kind, source, destination, port, other] = words[..] else {
        return None;
    };
    let (source, destination): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
    let is_it = match kind {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    let number = |text: &str| {
        let number = text.parse().ok();
        number.filter(|port: &u16| port.to_string() == text)
    };
    number(other)?;
    let client = (source.to_canonical(), number(port)?).into();
    is_it.then_some((len, Some(client)))
}

fn version_2(len: usize, kind: [u8; 2], block: &[u8]) -> Option<Told> {
    let (ip, port, rest) = match kind {
        // LOCAL, and UNSPEC.
        [0x20, _] | [0x21, 0x00..=0x02] => return Some((len, None)),
        [0x21, 0x11] => {
            let (ends, rest) = block.split_first_chunk::<12>()?;
            let ip: [u8; 4] = *ends.first_chunk()?;
            (IpAddr::from(ip), [ends[8], ends[9]], rest)
        }
        [0x21, 0x21] => {
            let (ends, rest) = block.split_first_chunk::<36>()?;
            let ip: [u8; 16] = *ends.first_chunk()?;
            (IpAddr::from(ip).to_canonical(), [ends[32], ends[33]], rest)
        }
        // No connection of TCP; but the block has to have room for its addresses.
        [0x21, 0x10 | 0x12] => return (block.len() >= 12).then_some((len, None)),
        [0x21, 0x20 | 0x22] => return (block.len() >= 36).then_some((len, None)),
        [0x21, 0x30..=0x32] => return (block.len() >= 216).then_some((len, None)),
        _ => return None,
    };
    let client = (ip, u16::from_be_bytes(port)).into();
    has_whole_parts(rest).then_some((len, Some(client)))
}

/// What stands behind the addresses: a type, a length, and so many bytes, again and again.
fn has_whole_parts(mut rest: &[u8]) -> bool {
    while let Some(([_, high, low], behind)) = rest.split_first_chunk() {
        match behind.get(u16::from_be_bytes([*high, *low]).into()..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What the fuzzer begins with, and the same with a few bytes that are others.
    #[test]
    fn seeds_and_what_is_near_them_find_nothing_in_a_header() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/proxied");
        let mut temper = Temper::moody(13);
        let mut count = 0;
        for seed in fs::read_dir(seeds).unwrap() {
            let seed = fs::read(seed.unwrap().path()).unwrap();
            proxied(&seed);
            count += 1;
            for _ in 0..40 {
                let mut script = seed.clone();
                for _ in 0..=temper.below(3) {
                    let at = temper.below(script.len());
                    script[at] = u8::try_from(temper.below(256)).unwrap();
                }
                proxied(&script);
            }
        }
        assert!(count >= 15, "{count} seeds");
    }
}
