//! A socket that listens: of a port, of a Unix path, or one that somebody else has made. What accepts from it need not
//! know which.

#[cfg(unix)]
pub(super) mod file;

#[cfg(unix)]
pub(super) use self::file::SocketFile;
use crate::client::Ends;
use crate::endpoint::{Endpoint, Peer};
use crate::sockets::{self, Listed, ShutDown};
use socket2::{SockAddr, SockRef, Socket};
#[cfg(not(unix))]
pub(super) use std::convert::Infallible as SocketFile;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, TcpStream};

/// One that listens; `S` is [`Quiet`] while nobody accepts from it, and [`Awake`] while somebody does.
#[derive(Debug)]
pub(super) struct Listener<S: sockets::Socket = Quiet> {
    /// That of a path. Dropped before the socket: as long as that answers nobody takes the file for one that was left.
    file: Option<SocketFile>,
    socket: Listed<S>,
    endpoint: Endpoint,
}

/// A socket, and whether others have it as well.
#[derive(Debug)]
pub(super) struct Quiet {
    socket: Socket,
    is_adopted: bool,
}

/// The same on the event queue of a worker.
#[derive(Debug)]
pub(super) struct Awake {
    acceptor: Acceptor,
    is_adopted: bool,
}

#[derive(Debug)]
enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

const fn shut_down(is_adopted: bool) -> ShutDown {
    if is_adopted {
        ShutDown::Never
    } else {
        ShutDown::Always
    }
}

impl sockets::Socket for Quiet {
    fn raw(&self) -> SockRef<'_> {
        (&self.socket).into()
    }

    fn shut_down(&self) -> ShutDown {
        shut_down(self.is_adopted)
    }
}

impl sockets::Socket for Awake {
    fn raw(&self) -> SockRef<'_> {
        match &self.acceptor {
            Acceptor::Tcp(listener) => listener.into(),
            #[cfg(unix)]
            Acceptor::Unix(listener) => listener.into(),
        }
    }

    fn shut_down(&self) -> ShutDown {
        shut_down(self.is_adopted)
    }
}

impl Listener {
    /// One that `open` opens, and nobody else has.
    pub(super) fn own(open: impl FnOnce() -> io::Result<Socket>) -> io::Result<Self> {
        let own = |socket| Quiet {
            socket,
            is_adopted: false,
        };
        Self::new(Listed::listener(|| open().map(own))?)
    }

    /// One that does not only hold its port any more.
    pub(super) fn of_port(held: Listed<Socket>) -> io::Result<Self> {
        let own = |socket| {
            Ok(Quiet {
                socket,
                is_adopted: false,
            })
        };
        Self::new(held.try_map(own)?)
    }

    /// A copy of one that others have, too.
    pub(super) fn of_others(socket: &Socket) -> io::Result<Self> {
        Self::new(Listed::listener(|| {
            let socket = socket.try_clone()?;
            // Also for the others: it is the same socket.
            socket.set_nonblocking(true)?;
            Ok(Quiet {
                socket,
                is_adopted: true,
            })
        })?)
    }

    fn new(socket: Listed<Quiet>) -> io::Result<Self> {
        let address = socket.socket.local_addr()?;
        let endpoint = match address.as_socket() {
            Some(address) => Endpoint::Ip(address),
            None => Endpoint::Unix(unix_name(&address)),
        };
        Ok(Self {
            file: None,
            socket,
            endpoint,
        })
    }

    /// The same, and its end is that of the file, too.
    #[cfg(unix)]
    pub(super) fn with(self, file: SocketFile) -> Self {
        Self {
            endpoint: Endpoint::Unix(file.path().clone()),
            file: Some(file),
            ..self
        }
    }

    /// Its file, if it has one, which then is not removed with it.
    pub(super) const fn take_file(&mut self) -> Option<SocketFile> {
        self.file.take()
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// One who has connected already, if anybody has.
    pub(super) fn poll_waiting(&self) -> Poll<io::Result<(Listed<TcpStream>, Ends)>> {
        let accepted = Listed::poll_accepted(|| {
            let accepted = self.socket.socket.accept();
            Poll::Ready(accepted.and_then(|(socket, peer)| {
                socket.set_nonblocking(true)?;
                Ok((stream(socket)?, peer_of(&peer)))
            }))
        });
        accepted.map_ok(|(stream, peer)| self.ends(stream, peer))
    }

    /// Has the event queue of this thread watch it.
    pub(super) fn wake(self) -> io::Result<Listener<Awake>> {
        let Self {
            file,
            socket,
            endpoint,
        } = self;
        let is_ip = endpoint.socket_addr().is_some();
        let socket = socket.try_map(|Quiet { socket, is_adopted }| {
            let acceptor = Acceptor::new(socket, is_ip)?;
            Ok(Awake {
                acceptor,
                is_adopted,
            })
        })?;
        Ok(Listener {
            file,
            socket,
            endpoint,
        })
    }
}

impl Listener<Awake> {
    /// Who has connected.
    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Listed<TcpStream>, Ends)>> {
        if self.is_adopted() {
            // Whoever has it, too, may have changed that, and this thread would wait in the call.
            self.raw().set_nonblocking(true)?;
        }
        let accepted = Listed::poll_accepted(|| self.socket.acceptor.poll_accept(cx));
        accepted.map_ok(|(stream, peer)| self.ends(stream, peer))
    }

    /// Whether others have it, too.
    pub(super) fn is_adopted(&self) -> bool {
        self.socket.is_adopted
    }

    /// Takes it from the event queue.
    pub(super) fn quiet(self) -> io::Result<Listener> {
        let Self {
            file,
            socket,
            endpoint,
        } = self;
        let socket = socket.try_map(|awake| {
            Ok(Quiet {
                socket: awake.acceptor.into_socket()?,
                is_adopted: awake.is_adopted,
            })
        })?;
        Ok(Listener {
            file,
            socket,
            endpoint,
        })
    }
}

impl<S: sockets::Socket> Listener<S> {
    /// For its options.
    pub(super) fn raw(&self) -> SockRef<'_> {
        self.socket.raw()
    }

    /// A connection, with both of its ends.
    fn ends(&self, stream: Listed<TcpStream>, peer: Peer) -> (Listed<TcpStream>, Ends) {
        let local = match &self.endpoint {
            // Of all interfaces; it fails only if the client is gone already.
            Endpoint::Ip(bound) if bound.ip().is_unspecified() => {
                Endpoint::Ip(plain(stream.local_addr().unwrap_or(*bound)))
            }
            // No need to ask for each.
            Endpoint::Ip(bound) => Endpoint::Ip(plain(*bound)),
            Endpoint::Unix(_) => self.endpoint.clone(),
        };
        (stream, Ends { peer, local })
    }
}

impl Acceptor {
    fn new(socket: Socket, is_ip: bool) -> io::Result<Self> {
        if is_ip {
            return TcpListener::from_std(socket.into()).map(Self::Tcp);
        }
        #[cfg(unix)]
        return UnixListener::from_std(socket.into()).map(Self::Unix);
        #[cfg(not(unix))]
        return Err(io::ErrorKind::Unsupported.into());
    }

    fn into_socket(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => listener.into_std().map(Socket::from),
            #[cfg(unix)]
            Self::Unix(listener) => listener.into_std().map(Socket::from),
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, Peer)>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (stream, Peer::Ip(plain(peer)))),
            #[cfg(unix)]
            Self::Unix(listener) => listener.poll_accept(cx).map(|accepted| {
                let (unix, _) = accepted?;
                Ok((stream(unix.into_std()?.into())?, Peer::Unix))
            }),
        }
    }
}

/// A connection for this thread's event queue. Of whatever kind its socket is: std's and tokio's type for TCP reads and
/// writes as theirs for Unix sockets does, so all that is served is of one type.
fn stream(socket: Socket) -> io::Result<TcpStream> {
    TcpStream::from_std(StdStream::from(socket))
}

fn peer_of(address: &SockAddr) -> Peer {
    let ip = address.as_socket();
    ip.map_or(Peer::Unix, |address| Peer::Ip(plain(address)))
}

/// IPv4 on a dual-stack socket, as IPv4.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => v6
            .to_ipv4_mapped()
            .map_or(address, |v4| SocketAddr::new(v4.into(), address.port())),
        IpAddr::V4(_) => address,
    }
}

/// As [`Endpoint::Unix`] has it.
fn unix_name(address: &SockAddr) -> Arc<Path> {
    #[cfg(unix)]
    {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        if let Some(path) = address.as_pathname() {
            return path.into();
        }
        if let Some(name) = address.as_abstract_namespace() {
            let name = [b"@", name].concat();
            return Path::new(OsStr::from_bytes(&name)).into();
        }
    }
    #[cfg(not(unix))]
    let _ = address;
    Path::new("").into()
}
