//! Both ends of a connection.

use std::net::{SocketAddr, SocketAddrV4};

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// The same in a quarter of the room, if they are of IPv4, as most are.
#[derive(Debug)]
pub(crate) enum Addresses {
    V4 {
        peer: SocketAddrV4,
        local: SocketAddrV4,
    },
    Other(Box<Ends>),
    /// With who has connected for the client.
    Proxied(Box<(Ends, SocketAddr)>),
}

impl Addresses {
    pub(crate) fn new(ends: Ends, proxied_by: Option<Box<SocketAddr>>) -> Self {
        match (proxied_by, ends.peer, ends.local) {
            (Some(by), ..) => Self::Proxied(Box::new((ends, *by))),
            (None, SocketAddr::V4(peer), SocketAddr::V4(local)) => Self::V4 { peer, local },
            _ => Self::Other(Box::new(ends)),
        }
    }

    pub(super) fn proxied_by(&self) -> Option<SocketAddr> {
        match self {
            Self::Proxied(proxied) => Some(proxied.1),
            Self::V4 { .. } | Self::Other(_) => None,
        }
    }

    pub(super) fn ends(&self) -> Ends {
        match self {
            Self::V4 { peer, local } => Ends {
                peer: (*peer).into(),
                local: (*local).into(),
            },
            Self::Other(ends) => **ends,
            Self::Proxied(proxied) => proxied.0,
        }
    }
}
