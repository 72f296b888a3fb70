//! Listening sockets: which addresses, which options, and what happens when accepting fails.

use super::stats::Counters;
use crate::client::Ends;
use crate::error::Error;
use crate::sockets::Listed;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Connects that may wait to be accepted. Beyond what a load test opens at once; the system cuts it to its maximum.
const BACKLOG: i32 = 4096;
/// Pause after an accept failed for want of resources, doubled at each further failure up to the second one.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// Attempts to find one free port for several addresses.
const PORT_ATTEMPTS: usize = 16;

/// Listens on every address of `host`, all on the same port; `None` is all interfaces.
///
/// # Errors
/// [`Error::Listen`] with the operating system's reason.
pub(super) fn bind(host: Option<&str>, port: u16) -> Result<Vec<Listed<StdListener>>, Error> {
    let listen = |source| Error::Listen {
        host: host.unwrap_or("*").to_owned(),
        port,
        source,
    };
    let Some(name) = host else {
        return any(port).map(|listener| vec![listener]).map_err(listen);
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in (name, port).to_socket_addrs().map_err(listen)? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let mut attempt = 0;
    loop {
        attempt += 1;
        match all(&addresses, port) {
            // Port 0 gave a port that is taken on another of the addresses.
            Err(error)
                if port == 0 && error.kind() == ErrorKind::AddrInUse && attempt < PORT_ATTEMPTS => {
            }
            result => return result.map_err(listen),
        }
    }
}

fn all(addresses: &[SocketAddr], mut port: u16) -> io::Result<Vec<Listed<StdListener>>> {
    let mut listeners: Vec<Listed<StdListener>> = Vec::with_capacity(addresses.len());
    for address in addresses {
        let mut address = *address;
        address.set_port(port);
        match one(address, true) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            // "localhost" names ::1 also where there is no IPv6.
            Err(error) if address.is_ipv6() && addresses.len() > 1 && is_no_ipv6(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() {
        Err(ErrorKind::AddrNotAvailable.into())
    } else {
        Ok(listeners)
    }
}

/// All interfaces: one dual-stack socket, or IPv4 alone where there is no IPv6.
fn any(port: u16) -> io::Result<Listed<StdListener>> {
    match one((Ipv6Addr::UNSPECIFIED, port).into(), false) {
        Err(error) if is_no_ipv6(&error) => one((Ipv4Addr::UNSPECIFIED, port).into(), false),
        result => result,
    }
}

fn is_no_ipv6(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable || error.kind() == ErrorKind::Unsupported || {
        #[cfg(unix)]
        const NO_FAMILY: i32 = if cfg!(target_os = "linux") { 97 } else { 47 };
        #[cfg(windows)]
        const NO_FAMILY: i32 = 10047;
        error.raw_os_error() == Some(NO_FAMILY)
    }
}

fn one(address: SocketAddr, only_v6: bool) -> io::Result<Listed<StdListener>> {
    Listed::listener(|| open(address, only_v6))
}

/// Bytes that the kernel takes of a client's output beyond what it can send. With more it would take megabytes at once,
/// and then nothing for seconds, although the client reads all the time: who reads 320 KiB in a second shows it every 0.4
/// seconds instead of 4.5.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 16 << 10;

fn open(address: SocketAddr, only_v6: bool) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // On Windows the option would let another program take the port over.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // Inherited by the connections.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Accepts until the task is aborted, and gives each connection to `place`. A failure never ends it.
pub(super) async fn accept(
    listener: Listed<TcpListener>,
    counters: &Counters,
    place: impl Fn(Listed<TcpStream>, Ends),
) {
    let bound = listener.local_addr();
    let mut pause = BACK_OFF.0;
    loop {
        match poll_fn(|cx| Listed::poll_accepted(|| listener.poll_accept(cx))).await {
            Ok((stream, peer)) => {
                pause = BACK_OFF.0;
                counters.connections_accepted.add(1);
                // One interface's connections all have its address: no need to ask for each.
                let local = match &bound {
                    Ok(bound) if !bound.ip().is_unspecified() => *bound,
                    // It fails only if the client is gone already.
                    _ => stream.local_addr().unwrap_or(peer),
                };
                let (peer, local) = (plain(peer), plain(local));
                place(stream, Ends { peer, local });
            }
            Err(error) => {
                counters.accept_errors.add(1);
                // Of one connection, which is gone: the next one may be fine.
                if !matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted
                        | ErrorKind::ConnectionReset
                        | ErrorKind::Interrupted
                ) {
                    // Want of descriptors or memory: the waiting connection stays in the backlog meanwhile.
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACK_OFF.1);
                }
            }
        }
    }
}

/// IPv4 on a dual-stack socket, as IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => v6
            .to_ipv4_mapped()
            .map_or(address, |v4| SocketAddr::new(v4.into(), address.port())),
        IpAddr::V4(_) => address,
    }
}
