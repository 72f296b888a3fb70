//! Listening sockets: which addresses, and which options.

use crate::error::Error;
use crate::sockets::Listed;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs};

/// Connects that may wait to be accepted. Beyond what a load test opens at once; the system cuts it to its maximum.
const BACKLOG: i32 = 4096;
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
