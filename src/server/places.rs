//! Where a server listens: a port, a Unix path, or sockets that others have made; and what is left there while it is down.

use super::listener::{Listener, SocketFile};
use super::ports;
#[cfg(unix)]
use super::unix;
use crate::config::Config;
use crate::error::Error;
use crate::sockets::Listed;
use socket2::Socket;
use std::io;

/// Listens wherever the options say.
///
/// # Errors
/// [`Error::Listen`] or [`Error::ListenUnix`] with the operating system's reason; [`Error::Start`] for want of descriptors.
pub(super) fn bind(config: &Config) -> Result<Vec<Listener>, Error> {
    if !config.sock.is_empty() {
        let listeners = config.sock.iter().map(|one| {
            let listener = Listener::of_others(one.socket())?;
            if listener.endpoint().socket_addr().is_some() {
                ports::limit_unsent(&listener.raw(), config)?;
            }
            if config.backlog.is_some() {
                // Once more, which changes nothing else.
                listener.raw().listen(ports::backlog(config))?;
            }
            Ok(listener)
        });
        let listeners: io::Result<_> = listeners.collect();
        return Ok(listeners?);
    }
    #[cfg(unix)]
    if let Some(path) = &config.uds {
        return Ok(vec![unix::bind(path, config)?]);
    }
    ports::bind(config)
}

/// What is left of the sockets of a server that is down.
#[derive(Debug)]
pub(super) enum Held {
    /// Sockets that are bound and do not listen.
    Ports(Vec<Listed<Socket>>),
    /// A file that nobody answers at.
    File(SocketFile),
}

/// Closes all `listeners`, and keeps their addresses: connects are refused.
///
/// # Errors
/// Somebody else has one. The listeners are left as they are, where that is possible.
pub(super) fn hold(listeners: &mut Vec<Listener>, config: &Config) -> io::Result<Held> {
    // One with a file is the only one.
    if let Some(file) = listeners.iter_mut().find_map(Listener::take_file) {
        listeners.clear();
        return Ok(Held::File(file));
    }
    ports::hold(listeners, config).map(Held::Ports)
}

/// Listens where it was held: at all addresses, or an error says why not, and they are held as before.
///
/// # Errors
/// The operating system's.
pub(super) fn listen(held: &mut Held, config: &Config) -> io::Result<Vec<Listener>> {
    match held {
        Held::Ports(ports) => ports::listen(ports, config),
        #[cfg(unix)]
        Held::File(file) => Ok(vec![unix::listen(file, config)?]),
        #[cfg(not(unix))]
        Held::File(never) => match *never {},
    }
}
