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
pub(super) enum Addresses {
    V4 {
        peer: SocketAddrV4,
        local: SocketAddrV4,
    },
    Other(Box<Ends>),
}

impl From<Ends> for Addresses {
    fn from(ends: Ends) -> Self {
        match (ends.peer, ends.local) {
            (SocketAddr::V4(peer), SocketAddr::V4(local)) => Self::V4 { peer, local },
            _ => Self::Other(Box::new(ends)),
        }
    }
}

impl Addresses {
    pub(super) fn ends(&self) -> Ends {
        match self {
            Self::V4 { peer, local } => Ends {
                peer: (*peer).into(),
                local: (*local).into(),
            },
            Self::Other(ends) => **ends,
        }
    }
}
