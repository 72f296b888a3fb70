//! Integration tests: real sockets, raw bytes and a real client. Each server is on a port of its own, nothing sleeps, and
//! every wait ends by `support::limit`.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod admission;
mod echo;
mod endings;
mod handshake;
mod limits;
mod listening;
mod properties;
mod resources;
mod support;
mod violations;
