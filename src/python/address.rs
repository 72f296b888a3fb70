//! Addresses as Python has them: host and port, or what stands for them.

use crate::endpoint::{Endpoint, Peer};
use pyo3::intern;
use pyo3::prelude::*;
use std::ffi::OsString;
use std::net::SocketAddr;

/// `unix:` and 0 for one who has no address.
pub(super) fn peer(py: Python<'_>, peer: Peer) -> (String, u16) {
    match peer {
        Peer::Ip(address) => pair(py, address),
        Peer::Unix => (peer.to_string(), 0),
    }
}

/// Path and 0 of a Unix socket.
pub(super) fn endpoint(py: Python<'_>, endpoint: &Endpoint) -> (OsString, u16) {
    match endpoint {
        Endpoint::Ip(address) => {
            let (host, port) = pair(py, *address);
            (host.into(), port)
        }
        Endpoint::Unix(path) => (path.as_os_str().to_owned(), 0),
    }
}

/// Host and port. A link-local IPv6 address keeps its zone, without which nobody can connect to it: `fe80::1%eth0`
/// (RFC 4007 section 11).
fn pair(py: Python<'_>, address: SocketAddr) -> (String, u16) {
    let host = match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            format!("{}%{}", v6.ip(), zone(py, v6.scope_id()))
        }
        _ => address.ip().to_string(),
    };
    (host, address.port())
}

/// The interface's name; its number, which is as good, where that has none any more.
fn zone(py: Python<'_>, index: u32) -> String {
    py.import(intern!(py, "_socket"))
        .and_then(|socket| socket.call_method1(intern!(py, "if_indextoname"), (index,)))
        .and_then(|name| name.extract())
        .unwrap_or_else(|_| index.to_string())
}
