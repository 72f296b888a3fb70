//! `echoserver`: a strict, fast WebSocket echo server, made to be embedded in Python.
//!
//! `docs/design.md` has the map: what is where, and in which direction imports run. For a program or a test in Rust,
//! which needs no Python, [`Server`](server::Server) is the beginning, [`Config`](config::Config) has the options, and a
//! [`Handler`](handler::Handler) answers instead of the echo:
//!
//! ```
//! use echoserver::{config::Config, handler::Echo, server::Server, tungstenite};
//! use std::{sync::Arc, time::Duration};
//!
//! let config = Config {
//!     host: vec!["127.0.0.1".into()],
//!     port: 0,
//!     ..Config::default()
//! };
//! let server = Server::bind(config, Arc::new(Echo))?;
//! server.start()?;
//! let (mut client, _) = tungstenite::connect(format!("ws://{}/", server.address()))?;
//! client.send("hello".into())?;
//! assert_eq!(client.read()?, "hello".into());
//! server.stop(Duration::ZERO);
//! assert!(server.wait(None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test that can't go on has failed")
)]

pub mod admission;
pub mod client;
mod condition;
pub mod config;
pub mod endpoint;
pub mod error;
pub mod faults;
mod fork_lock;
pub mod handler;
#[cfg(feature = "load")]
pub mod load;
pub mod mailbox;
pub mod manual_clock;
pub mod order;
pub mod protocol;
#[cfg(feature = "python")]
mod python;
pub mod queue;
pub mod record;
pub mod server;
pub mod sockets;
pub mod stamp;
pub mod tls;
mod wakers;

pub use tokio_tungstenite::tungstenite;

/// The page about this crate: its programs are tested as those here are.
#[cfg(doctest)]
#[doc = include_str!("../docs/rust.md")]
struct Page;
