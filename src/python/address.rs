//! Addresses as Python has them: host and port.

use pyo3::intern;
use pyo3::prelude::*;
use std::net::SocketAddr;

/// Host and port. A link-local IPv6 address keeps its zone, without which nobody can connect to it: `fe80::1%eth0`
/// (RFC 4007 section 11).
pub(super) fn pair(py: Python<'_>, address: SocketAddr) -> (String, u16) {
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
