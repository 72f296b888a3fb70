//! Listening on a port: which addresses, and which options; and sockets that only hold an address.
//!
//! Strategy for a port on which connects are to be refused, and that is to be had again: a second socket is bound beside
//! the one that listens, which is closed then. There is no moment at which another user, or a socket without
//! `SO_REUSEPORT`, could take the port, and if it fails nothing has changed. Where there is no `SO_REUSEPORT` the first
//! is closed before.

use super::listener::Listener;
use crate::config::Config;
use crate::error::Error;
use crate::sockets::Listed;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Attempts to find one free port for several addresses.
const PORT_ATTEMPTS: usize = 16;

/// Listens on every address of each `host`, all on the same port; without one on all interfaces.
///
/// # Errors
/// [`Error::Listen`] with the operating system's reason.
pub(super) fn bind(config: &Config) -> Result<Vec<Listener>, Error> {
    let port = config.port;
    let listen = |host: &str, source| Error::Listen {
        host: host.to_owned(),
        port,
        source,
    };
    let settings = Settings::of(config);
    if config.host.is_empty() {
        return any(port, &settings)
            .map(|listener| vec![listener])
            .map_err(|source| listen("*", source));
    }
    // Each with the name that it comes from.
    let mut addresses: Vec<(&str, SocketAddr)> = Vec::new();
    for name in &config.host {
        let found = (&**name, port).to_socket_addrs();
        for address in found.map_err(|source| listen(name, source))? {
            if addresses.iter().all(|(_, known)| *known != address) {
                addresses.push((name, address));
            }
        }
    }
    let mut attempt = 0;
    loop {
        attempt += 1;
        match all(&addresses, port, &settings) {
            // Port 0 gave a port that is taken on another of the addresses.
            Err((_, error))
                if port == 0 && error.kind() == ErrorKind::AddrInUse && attempt < PORT_ATTEMPTS => {
            }
            result => return result.map_err(|(name, source)| listen(name, source)),
        }
    }
}

/// All hosts, as an error has them.
pub(super) fn named(hosts: &[String]) -> String {
    if hosts.is_empty() {
        "*".to_owned()
    } else {
        hosts.join(", ")
    }
}

/// Connects that may wait.
pub(super) fn backlog(config: &Config) -> i32 {
    // It was checked.
    config.own_backlog().try_into().unwrap_or(i32::MAX)
}

/// What all listening sockets of a server have in common.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// Connects that may wait.
    backlog: i32,
    /// Others may be bound there, too.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no SO_REUSEPORT"))]
    is_shared: bool,
    /// See [`unsent`].
    #[cfg_attr(
        not(any(target_os = "android", target_os = "linux")),
        expect(dead_code, reason = "it can't be set")
    )]
    unsent: u32,
}

impl Settings {
    fn of(config: &Config) -> Self {
        Self {
            backlog: backlog(config),
            is_shared: config.reuse_port,
            unsent: unsent(config.shortest_limit()),
        }
    }
}

/// All of them; an error with the name of that which is at fault.
fn all<'a>(
    addresses: &[(&'a str, SocketAddr)],
    mut port: u16,
    settings: &Settings,
) -> Result<Vec<Listener>, (&'a str, io::Error)> {
    let mut listeners: Vec<Listener> = Vec::with_capacity(addresses.len());
    for (name, address) in addresses {
        let mut address = *address;
        address.set_port(port);
        let opened = one(&Place {
            address,
            only_v6: true,
            settings: *settings,
        });
        match opened.map(|one| (one.endpoint().port(), one)) {
            Ok((bound, listener)) => {
                port = bound;
                listeners.push(listener);
            }
            // "localhost" names ::1 also where there is no IPv6.
            Err(error)
                if address.is_ipv6()
                    && is_no_ipv6(&error)
                    && addresses.iter().filter(|(other, _)| other == name).count() > 1 => {}
            Err(error) => return Err((name, error)),
        }
    }
    match addresses.first() {
        Some((name, _)) if listeners.is_empty() => Err((name, ErrorKind::AddrNotAvailable.into())),
        _ => Ok(listeners),
    }
}

/// All interfaces: one dual-stack socket, or IPv4 alone where there is no IPv6.
fn any(port: u16, settings: &Settings) -> io::Result<Listener> {
    let place = |address: IpAddr| Place {
        address: (address, port).into(),
        only_v6: false,
        settings: *settings,
    };
    match one(&place(Ipv6Addr::UNSPECIFIED.into())) {
        Err(error) if is_no_ipv6(&error) => one(&place(Ipv4Addr::UNSPECIFIED.into())),
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

fn one(place: &Place) -> io::Result<Listener> {
    Listener::own(|| open(place))
}

/// Where a socket is to be bound, and what its connections inherit.
struct Place {
    address: SocketAddr,
    only_v6: bool,
    settings: Settings,
}

/// Bytes that the kernel takes of a client's output beyond what it can send (`TCP_NOTSENT_LOWAT`). With more it would
/// take megabytes at once, and then nothing for seconds, although the client reads all the time. The less it takes, the
/// more calls a large message needs.
///
/// Progress is seen when half of it and a step of TCP's window, of at most 128 KiB, were taken. So who reads 256 KiB in
/// a second shows it within half of `limit`; where that is less than half a second, as soon as can be.
fn unsent(limit: Duration) -> u32 {
    const STEADY: u128 = 256 << 10;
    const LEAST: u128 = 16 << 10;
    /// With it the kernel takes a message of 1 MiB in one call mostly.
    const MOST: u32 = 1 << 20;
    let spare = limit.saturating_sub(Duration::from_secs(1));
    let bytes = (STEADY * spare.as_millis() / 1000).max(LEAST);
    u32::try_from(bytes).map_or(MOST, |bytes| bytes.min(MOST))
}

fn open(place: &Place) -> io::Result<Socket> {
    let socket = unbound(place)?;
    #[cfg(unix)]
    if place.settings.is_shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&SockAddr::from(place.address))?;
    socket.listen(place.settings.backlog)?;
    Ok(socket)
}

fn unbound(place: &Place) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(place.address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if place.address.is_ipv6() {
        socket.set_only_v6(place.only_v6)?;
    }
    // On Windows the option would let another program take the port over.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // Inherited by the connections.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_notsent_lowat(place.settings.unsent)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What connections inherit of a socket that somebody else has made.
pub(super) fn limit_unsent(socket: &SockRef<'_>, config: &Config) -> io::Result<()> {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_notsent_lowat(unsent(config.shortest_limit()))?;
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = (socket, config);
    Ok(())
}

/// Closes all `listeners`, and keeps their addresses: connects are refused.
///
/// # Errors
/// Somebody else has one. The listeners are left as they are, where that is possible.
pub(super) fn hold(
    listeners: &mut Vec<Listener>,
    config: &Config,
) -> io::Result<Vec<Listed<Socket>>> {
    let settings = Settings::of(config);
    let held = hold_all(listeners, settings);
    if held.is_err() {
        for listener in listeners {
            unshare(&listener.raw(), settings);
        }
    }
    held
}

fn hold_all(listeners: &mut Vec<Listener>, settings: Settings) -> io::Result<Vec<Listed<Socket>>> {
    let places = listeners.iter().map(|one| shared(&one.raw(), settings));
    let places: io::Result<Vec<_>> = places.collect();
    let places = places?;
    if cfg!(not(unix)) {
        listeners.clear();
    }
    let held = places
        .into_iter()
        .map(|place| Listed::listener(|| hold_one(&place)));
    let held: io::Result<Vec<_>> = held.collect();
    let held = held?;
    listeners.clear();
    Ok(held)
}

/// Where a socket is bound; it may be shared from now on.
fn shared(socket: &SockRef<'_>, settings: Settings) -> io::Result<Place> {
    let address = socket.local_addr()?.as_socket();
    let address = address.ok_or(ErrorKind::AddrNotAvailable)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    Ok(Place {
        address,
        only_v6: address.is_ipv6() && socket.only_v6()?,
        settings,
    })
}

/// Nobody is to be bound beside it any more, unless anybody may be.
fn unshare(socket: &SockRef<'_>, settings: Settings) {
    // It fails only where sharing did.
    #[cfg(unix)]
    let _ = socket.set_reuse_port(settings.is_shared);
    #[cfg(not(unix))]
    let _ = (socket, settings);
}

fn hold_one(place: &Place) -> io::Result<Socket> {
    let socket = unbound(place)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(place.address))?;
    // Only to be bound beside the first: from now on who does not ask for the same is refused.
    #[cfg(unix)]
    {
        unshare(&SockRef::from(&socket), place.settings);
        socket.set_reuse_address(false)?;
    }
    Ok(socket)
}

/// Listens at addresses that were held: at all of them, or an error says why not, and they are held as before.
///
/// # Errors
/// The operating system's.
pub(super) fn listen(held: &mut Vec<Listed<Socket>>, config: &Config) -> io::Result<Vec<Listener>> {
    let settings = Settings::of(config);
    let mut count = 0;
    let listened: io::Result<()> = held.iter().try_for_each(|socket| {
        // Connections of before have the address as well.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.listen(settings.backlog)?;
        count += 1;
        Ok(())
    });
    if listened.is_err() {
        // As long as it does not listen whoever asks for the same would get the address.
        #[cfg(unix)]
        let _ = held[count].set_reuse_address(false);
        for socket in &mut held[..count] {
            let again = shared(&SockRef::from(&**socket), settings)
                .and_then(|place| Listed::listener(|| hold_one(&place)));
            match again {
                Ok(again) => *socket = again,
                // As on Windows: who connects there waits until all can be listened on.
                Err(_) => unshare(&SockRef::from(&**socket), settings),
            }
        }
    }
    listened?;
    held.drain(..).map(Listener::of_port).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
