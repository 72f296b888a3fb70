//! `echoserver`: a strict, fast WebSocket echo server, made to be embedded in Python.
//!
//! A map of the crate, from the ground up; imports run one way only, from the bottom of this list to its top:
//!
//! - [`config`], [`tls`], [`error`], [`sockets`]: what can be set, what can fail, what a fork copies.
//! - [`protocol`]: RFC 6455 and RFC 7692 without I/O: bytes in, events and bytes out, and what may be kept meanwhile.
//! - [`admission`], [`queue`], [`order`], [`mailbox`], [`client`], [`handler`]: an upgrade request and a client as
//!   others see them, what its connection can be asked for and the way there from any thread, and the port to whoever
//!   answers.
//! - [`server`]: tokio: sockets, threads, time.
//! - `python`: the binding, behind the feature of that name.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test that can't go on has failed")
)]

pub mod admission;
pub mod client;
pub mod config;
pub mod error;
pub mod handler;
pub mod mailbox;
pub mod order;
pub mod protocol;
#[cfg(feature = "python")]
mod python;
pub mod queue;
pub mod server;
pub mod sockets;
pub mod tls;

pub use tokio_tungstenite::tungstenite;
