//! `echoserver`: a strict, fast WebSocket echo server, made to be embedded in Python.
//!
//! `docs/design.md` has the map: what is where, and in which direction imports run.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test that can't go on has failed")
)]

pub mod admission;
pub mod client;
mod condition;
pub mod config;
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
