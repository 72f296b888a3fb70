//! Where a server listens, and who has connected: addresses of IP, or of Unix sockets, which have a path or no name at all.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// Where a server listens, or has accepted a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// TCP.
    Ip(SocketAddr),
    /// The path of a Unix socket. The name of one that has no file (Linux's abstract namespace) is behind an `@`; one
    /// without a name has an empty path.
    Unix(Arc<Path>),
}

impl Endpoint {
    /// Address and port; `None` for a Unix socket.
    #[must_use]
    pub const fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The port; 0 for a Unix socket, which has none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Unix(_) => 0,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// How one is written who has no address: as nginx has it.
pub(crate) const UNIX: &str = "unix:";

/// Who has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// By TCP; IPv4 on a dual-stack socket is shown as IPv4.
    Ip(SocketAddr),
    /// By a Unix socket. Clients of those have no address; `unix:` stands for all of them.
    Unix,
}

impl Peer {
    /// Its address, if it has one.
    pub(crate) const fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => UNIX.fmt(f),
        }
    }
}
