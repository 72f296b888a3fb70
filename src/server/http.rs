//! Plain HTTP on the port of the server: what those get who ask for no WebSocket.

use super::desk::Desk;
use crate::protocol::handshake::{Plain, Refusal, refuse_response};
use std::time::SystemTime;

/// The response to a GET or HEAD: what this server is.
pub(super) fn respond(request: &Plain, desk: &Desk) -> Vec<u8> {
    desk.counters().http_requests.add(1);
    let refusal = Refusal::plain(request);
    refuse_response(&refusal, &desk.shared.policy, SystemTime::now())
}
