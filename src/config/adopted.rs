//! Sockets that listen already, and are handed to a server.

use socket2::{Socket, Type};
use std::sync::Arc;

/// A socket that somebody else has made, and may have as well. The server never shuts it down, and closes only what it
/// was given.
///
/// ```
/// use echoserver::config::{Config, adopted::Adopted};
/// use echoserver::{handler::Echo, server::Server, tungstenite};
/// use std::{net::TcpListener, sync::Arc};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let sock = vec![Adopted::new(listener.try_clone()?)?];
/// let server = Server::bind(Config { sock, ..Config::default() }, Arc::new(Echo))?;
/// server.start()?;
/// tungstenite::connect(format!("ws://{}/", listener.local_addr()?))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Adopted(Arc<Socket>);

impl Adopted {
    /// Takes a standard library's listener, or what else has one's descriptor.
    ///
    /// # Errors
    /// Why it is none that a server can have.
    pub fn new(socket: impl Into<Socket>) -> Result<Self, &'static str> {
        let socket = socket.into();
        let is_known = socket.local_addr().is_ok_and(|address| {
            address.is_ipv4() || address.is_ipv6() || cfg!(unix) && address.is_unix()
        });
        if !is_known || socket.r#type().ok() != Some(Type::STREAM) {
            return Err("must be a stream socket of IPv4, IPv6 or a Unix path");
        }
        // Elsewhere it can't be asked.
        #[cfg(any(target_os = "android", target_os = "linux"))]
        if !socket.is_listener().unwrap_or(false) {
            return Err("must listen already: call its listen() first");
        }
        Ok(Self(Arc::new(socket)))
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.0
    }
}
