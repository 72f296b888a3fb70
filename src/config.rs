//! Every option of a server: its unit, its default and the reason for it. Checked once, in [`Config::check`].

pub mod adopted;
pub(crate) mod network;
mod place;

use self::adopted::Adopted;
use self::network::Network;
use crate::error::{Error, quoted};
use crate::faults::plan::Plan;
use crate::manual_clock::ManualClock;
use crate::protocol::extensions::Deflate;
use crate::protocol::handshake::Policy;
use crate::protocol::limit::Limit;
use crate::protocol::request::is_token;
use crate::protocol::sending::{Settings, Timeout};
use crate::protocol::terms::Terms;
use crate::tls::Tls;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

/// The options of a server. Names are those of the Python API.
///
/// ```
/// use echoserver::config::Config;
/// use std::time::Duration;
///
/// let config = Config {
///     port: 0,
///     max_message_size: 1 << 20,
///     idle_timeout: Some(Duration::from_secs(60)),
///     ..Config::default()
/// };
/// assert!(config.check().is_ok());
///
/// let config = Config { server_header: "a\nb".into(), ..config };
/// let error = config.check().unwrap_err().to_string();
/// assert!(error.starts_with(r"server_header='a\nb': "), "{error}");
/// ```
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Config {
    /// Port to listen on; 0 takes a free one. Default 1234, the port of Qt's example.
    pub port: u16,
    /// Names or addresses to listen on, all on the same port. Default none: all interfaces, IPv4 and IPv6.
    pub host: Vec<String>,
    /// Path of a Unix socket to listen on, in place of host and port. Default `None`: TCP, which has them.
    pub uds: Option<PathBuf>,
    /// Permissions of that socket's file, such as 0o660: who may write to it may connect. Default `None`: as the process's
    /// umask leaves them, mostly for its own user alone.
    pub uds_mode: Option<u32>,
    /// Sockets that listen already, in place of host and port. Default: none, the server makes its own.
    pub sock: Vec<Adopted>,
    /// Connects that may wait to be accepted, at each address; the system cuts it to its maximum. Default `None`: 4096,
    /// which is beyond what a load test opens at once, and at sockets of `sock` what their maker has chosen.
    pub backlog: Option<usize>,
    /// Whether others of the same user that ask for it, too, may listen on the same port (`SO_REUSEPORT`), so that the
    /// system spreads clients over them. Default: no, since a second server on a port is a mistake mostly.
    pub reuse_port: bool,
    /// Addresses and networks that connect for others, and say for whom by the PROXY protocol: balancers; `unix:` is
    /// whoever connects to a Unix socket. Default: none, since whoever may say who it is can be anybody.
    pub proxy_from: Vec<String>,
    /// Subprotocols that are supported; the client's first offer among them is chosen. Default: none.
    pub subprotocols: Vec<String>,
    /// Origins that are admitted, exact strings; a `None` among them admits a missing Origin. Default `None`: every one,
    /// since the header protects users of browsers, and an echo has nothing to protect.
    pub origins: Option<Vec<Option<String>>>,
    /// `permessage-deflate` (RFC 7692). Default `None`: what is offered is declined, since compression costs more time
    /// than everything else together, and hundreds of kilobytes for each client that uses it.
    pub compression: Option<Deflate>,
    /// Bytes of payload in one message. Default 64 MiB, which is tungstenite's; beyond it the client gets 1009.
    pub max_message_size: usize,
    /// Clients at the same time; one more gets 503. Default `None`: as many as the system has descriptors.
    pub max_connections: Option<usize>,
    /// Bytes that all connections together may keep: requests, partial messages, held messages, unsent output. Default
    /// 1 GiB: sixteen of the longest messages; a connection that needs more gets 1013, or 503 before the upgrade.
    pub memory_limit: usize,
    /// Bytes that may wait to be sent to one client by the application. Default 16 MiB.
    pub max_send_queue: usize,
    /// From the connection to the end of the upgrade request and the decision about it. Default 10 s, as Qt's.
    pub open_timeout: Duration,
    /// From our close frame to the end of the connection, and for the whole of an orderly stop. Default 5 s.
    pub close_timeout: Duration,
    /// For which clients still come in at a stop, though the health check says that they should not. Default 0: without a
    /// balancer that looks at it nobody is told anything by that.
    pub drain_delay: Duration,
    /// Over which clients are told of a stop, after that; then they have `close_timeout`. Default 0: all at once, since few
    /// clients are no stampede when they come back.
    pub drain_spread: Duration,
    /// Without a byte from the client; it gets 1001 after it. Default `None`: idle connections are left alone.
    pub idle_timeout: Option<Duration>,
    /// Between two keepalive pings. Default `None`: nothing is sent unprompted.
    pub ping_interval: Option<Duration>,
    /// From a keepalive ping to its pong; the client gets 1011 after it. Default 20 s.
    pub ping_timeout: Duration,
    /// What these five go by. Default `None`: the runtime's clock. A test may have one that it advances.
    pub clock: Option<Arc<ManualClock>>,
    /// Bytes that are kept of what clients do, for those who read it: requests, clients, messages. Default `None`: nothing
    /// is. 16 MiB are enough for the longest tests; at most half of `memory_limit` is used.
    pub record: Option<usize>,
    /// Faults that are set from the beginning, as [`grammar`](crate::faults::grammar) reads them. Default: none.
    pub faults: Plan,
    /// Whether clients may ask for faults on their own connection, by URL. Default: no, since an application that embeds a
    /// server has paths of its own.
    pub fault_urls: bool,
    /// Whether a GET of `/` gets a page that is a client for browsers. Default: no, for the same reason.
    pub page: bool,
    /// Whether a GET of `/healthz` says if clients may come. Default: no, for the same reason.
    pub health: bool,
    /// Whether a GET of `/metrics` has the counters, in `OpenMetrics`. Default: no, for the same reason.
    pub metrics: bool,
    /// What the chance of faults comes from: the same seed gives the same on each connection. Default `None`: any.
    pub seed: Option<u64>,
    /// Threads that serve connections. Default `None`: one per core, at most 4, which is beyond what loopback needs. With 0
    /// there is none: the thread that has the server's [`Driver`](crate::server::Driver) serves them.
    pub workers: Option<usize>,
    /// The `Server` header; empty leaves it out. Default `echoserver`.
    pub server_header: String,
    /// The server's certificate. Default `None`: clients connect without TLS.
    pub tls: Option<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 1234,
            host: Vec::new(),
            uds: None,
            uds_mode: None,
            sock: Vec::new(),
            backlog: None,
            reuse_port: false,
            proxy_from: Vec::new(),
            subprotocols: Vec::new(),
            origins: None,
            compression: None,
            max_message_size: 64 << 20,
            max_connections: None,
            memory_limit: 1 << 30,
            max_send_queue: 16 << 20,
            open_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            drain_delay: Duration::ZERO,
            drain_spread: Duration::ZERO,
            idle_timeout: None,
            ping_interval: None,
            ping_timeout: Duration::from_secs(20),
            clock: None,
            record: None,
            faults: Plan::default(),
            fault_urls: false,
            page: false,
            health: false,
            metrics: false,
            seed: None,
            workers: None,
            server_header: "echoserver".into(),
            tls: None,
        }
    }
}

/// More threads than this is a mistake in the call, not a machine.
const MAX_WORKERS: usize = 1024;
/// Connects that may wait, if nobody says how many.
const BACKLOG: usize = 4096;
/// What `listen` takes.
const MAX_BACKLOG: usize = i32::MAX as usize;
/// tokio's timers reach about two years; a longer timeout is meant as "never".
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 86_400);
/// The resolution of tokio's timers.
pub(crate) const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// Why a timeout below that is none.
pub(crate) const TOO_SHORT: &str = "must be at least 0.001, in seconds";
/// Why one beyond a year is none.
pub(crate) const TOO_LONG: &str = "must be at most a year, in seconds";

impl Config {
    /// Checks every option; after this nothing checks again.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the first option that can't have its value.
    pub fn check(&self) -> Result<(), Error> {
        for (option, value) in [
            ("max_message_size", self.max_message_size),
            ("memory_limit", self.memory_limit),
        ] {
            if value == 0 {
                return Err(invalid(option, &value, "must be positive"));
            }
        }
        if self.max_connections == Some(0) {
            return Err(invalid(
                "max_connections",
                &0,
                "must be positive, or None for no limit",
            ));
        }
        if let Some(workers) = self.workers.filter(|workers| *workers > MAX_WORKERS) {
            return Err(invalid("workers", &workers, "must be at most 1024"));
        }
        let timeouts = [
            ("open_timeout", Some(self.open_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("ping_interval", self.ping_interval),
            ("ping_timeout", Some(self.ping_timeout)),
        ];
        for (option, timeout) in timeouts {
            if let Some(timeout) = timeout.filter(|timeout| *timeout < MIN_TIMEOUT) {
                return Err(invalid(option, &timeout.as_secs_f64(), TOO_SHORT));
            }
        }
        for (option, timeout) in timeouts.into_iter().chain([
            ("close_timeout", Some(self.close_timeout)),
            ("drain_delay", Some(self.drain_delay)),
            ("drain_spread", Some(self.drain_spread)),
        ]) {
            if let Some(timeout) = timeout.filter(|timeout| *timeout > MAX_TIMEOUT) {
                return Err(invalid(option, &timeout.as_secs_f64(), TOO_LONG));
            }
        }
        if let (Some(seed), Some(_)) = (self.seed, self.faults.seed) {
            return Err(invalid("seed", &seed, "is given in faults, too"));
        }
        self.check_place()?;
        let wrong = |backlog: &usize| !(1..=MAX_BACKLOG).contains(backlog);
        if let Some(backlog) = self.backlog.filter(wrong) {
            let reason = "must be 1 to 2147483647, or None";
            return Err(invalid("backlog", &backlog, reason));
        }
        if self.reuse_port && cfg!(not(unix)) {
            let reason = "this system has no SO_REUSEPORT";
            return Err(invalid("reuse_port", &"True", reason));
        }
        for listed in &self.proxy_from {
            if let Err(reason) = listed.parse::<Network>() {
                return Err(invalid("proxy_from", &quoted(listed), reason));
            }
        }
        for name in &self.subprotocols {
            if !is_token(name.as_bytes()) {
                return Err(invalid(
                    "subprotocols",
                    &quoted(name),
                    "must be tokens (RFC 9110 section 5.6.2)",
                ));
            }
        }
        if let Some(Err((parameter, value, reason))) = self.compression.map(|one| one.check()) {
            let shown = format!("Deflate({parameter}={value})");
            return Err(invalid("compression", &shown, reason));
        }
        for origin in self.origins.iter().flatten().flatten() {
            if origin.is_empty() || !origin.bytes().all(is_visible) {
                return Err(invalid(
                    "origins",
                    &quoted(origin),
                    "must be visible ASCII without spaces",
                ));
            }
        }
        if !self
            .server_header
            .bytes()
            .all(|byte| is_visible(byte) || byte == b' ')
            || self.server_header.trim().len() != self.server_header.len()
        {
            return Err(invalid(
                "server_header",
                &quoted(&self.server_header),
                "must be printable ASCII without spaces around",
            ));
        }
        Ok(())
    }

    /// Those in `proxy_from`.
    pub(crate) fn proxies(&self) -> Vec<Network> {
        let listed = self.proxy_from.iter();
        // All are, as was checked.
        listed.filter_map(|listed| listed.parse().ok()).collect()
    }

    /// Connects that may wait at a socket of the server's own.
    pub(crate) fn own_backlog(&self) -> usize {
        self.backlog.unwrap_or(BACKLOG)
    }

    /// Workers, each with a part of the connections.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        let cores = || available_parallelism().map_or(1, NonZeroUsize::get);
        self.workers.unwrap_or_else(|| cores().min(4)).max(1)
    }

    /// Whether the only worker has no thread, and somebody drives it.
    #[must_use]
    pub const fn is_driven(&self) -> bool {
        matches!(self.workers, Some(0))
    }

    /// For which a stop lets clients be, before they have `close_timeout`.
    #[must_use]
    pub fn drain_time(&self) -> Duration {
        self.drain_delay + self.drain_spread
    }

    /// All that a stop may take, if it is given no other time.
    #[must_use]
    pub fn stop_timeout(&self) -> Duration {
        self.drain_time() + self.close_timeout
    }

    /// What clients may send.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms::new(Limit::new(&"max_message_size", self.max_message_size))
    }

    /// What the sending half of a connection needs to know.
    #[must_use]
    pub fn sending(&self) -> Settings {
        let named = |name, value| Timeout { name, value };
        Settings {
            idle_timeout: self.idle_timeout.map(|value| named("idle_timeout", value)),
            ping_interval: self.ping_interval,
            ping_timeout: named("ping_timeout", self.ping_timeout),
            close_timeout: self.close_timeout,
        }
    }

    /// The shortest time after which a client that takes nothing ends.
    #[must_use]
    pub fn shortest_limit(&self) -> Duration {
        let limits = [Some(self.ping_timeout), self.idle_timeout];
        let limits = limits.into_iter().flatten();
        limits.fold(self.close_timeout, Duration::min)
    }

    /// What the request check needs to know.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            subprotocols: self.subprotocols.clone(),
            origins: self.origins.clone(),
            compression: self.compression,
        }
    }
}

fn invalid(option: &'static str, value: &dyn Display, reason: &'static str) -> Error {
    Error::Invalid {
        option,
        value: value.to_string(),
        reason,
    }
}

const fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e)
}

#[cfg(test)]
mod tests;
