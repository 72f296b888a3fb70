//! Addresses that are listed: one, those of a network, or all Unix sockets.

use crate::endpoint::{Peer, UNIX};
use std::net::IpAddr;
use std::str::FromStr;

/// Those who may be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Those whose first bits are these; one address has no others.
    Ip { address: IpAddr, bits: u8 },
    /// Whoever connects to a Unix socket: its file says who may.
    Unix,
}

impl Network {
    pub(crate) fn has(&self, peer: Peer) -> bool {
        match (self, peer.ip()) {
            (Self::Ip { address, bits }, Some(peer)) => {
                let differing = value(peer) ^ value(*address);
                peer.is_ipv4() == address.is_ipv4() && differing.leading_zeros() >= u32::from(*bits)
            }
            (Self::Unix, None) => true,
            _ => false,
        }
    }
}

/// Its bits, from the highest on.
fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Bits before those of an IPv4 address in IPv6 (RFC 4291 section 2.5.5.2).
const MAPPED: u8 = 96;

/// `192.0.2.1`, `10.0.0.0/8`, `fd00::/8`, `unix:`.
impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            "must be addresses or networks, such as 192.0.2.1, 10.0.0.0/8 or fd00::/8, or unix:";
        if text == UNIX {
            return Ok(Self::Unix);
        }
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().map_err(|_none| wrong)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => all,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let bits = bits.parse().ok();
                bits.filter(|bits| *bits <= all).ok_or(wrong)?
            }
            Some(_) => return Err(wrong),
        };
        // Peers are shown as IPv4, also where they come in by IPv6.
        let (address, bits) = match address {
            IpAddr::V6(v6) if bits >= MAPPED => match v6.to_ipv4_mapped() {
                Some(v4) => (IpAddr::V4(v4), bits - MAPPED),
                None => (address, bits),
            },
            _ => (address, bits),
        };
        // Beyond all bits there are none.
        match value(address).checked_shl(bits.into()) {
            None | Some(0) => Ok(Self::Ip { address, bits }),
            Some(_) => Err("has bits set beyond those of the network"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.0/31", "192.0.2.1", "192.0.2.2"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("::1", "::1", "::2"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("::/0", "ffff::", "0.0.0.0"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("::ffff:192.0.2.0/120", "192.0.2.255", "192.0.3.0"),
        ] {
            let network: Network = network.parse().unwrap();
            let peer = |address: &str| Peer::Ip((address.parse::<IpAddr>().unwrap(), 1).into());
            assert!(network.has(peer(inside)), "{network:?}");
            assert!(!network.has(peer(outside)), "{network:?}");
            assert!(!network.has(Peer::Unix), "{network:?}");
            assert!(!Network::Unix.has(peer(inside)));
        }
        assert!("unix:".parse::<Network>().unwrap().has(Peer::Unix));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "/",
            "localhost",
            "192.0.2",
            "192.0.2.1/",
            "192.0.2.1/33",
            "192.0.2.1/+8",
            "::1/129",
            "::1/-1",
            "192.0.2.1:80",
            "192.0.2.1/24",
            "fd00::1/8",
            " ::1",
            "unix",
            "unix:/run/balancer",
            "1.2.3.4/999",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
