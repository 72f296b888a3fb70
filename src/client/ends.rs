//! Both ends of a connection.

use crate::endpoint::{Endpoint, Peer};
use std::net::{SocketAddr, SocketAddrV4};

/// Both ends of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    pub(crate) peer: Peer,
    pub(crate) local: Endpoint,
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
    Proxied(Box<(Ends, Peer)>),
}

impl Addresses {
    pub(crate) fn new(ends: Ends, proxied_by: Option<Box<Peer>>) -> Self {
        match (proxied_by, &ends) {
            (
                None,
                &Ends {
                    peer: Peer::Ip(SocketAddr::V4(peer)),
                    local: Endpoint::Ip(SocketAddr::V4(local)),
                },
            ) => Self::V4 { peer, local },
            (None, _) => Self::Other(Box::new(ends)),
            (Some(by), _) => Self::Proxied(Box::new((ends, *by))),
        }
    }

    pub(super) fn proxied_by(&self) -> Option<Peer> {
        match self {
            Self::Proxied(proxied) => Some(proxied.1),
            Self::V4 { .. } | Self::Other(_) => None,
        }
    }

    pub(super) fn ends(&self) -> Ends {
        match self {
            Self::V4 { peer, local } => Ends {
                peer: Peer::Ip((*peer).into()),
                local: Endpoint::Ip((*local).into()),
            },
            Self::Other(ends) => (**ends).clone(),
            Self::Proxied(proxied) => proxied.0.clone(),
        }
    }
}
