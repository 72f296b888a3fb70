//! HTTP on the port of the server: what those get who ask for no WebSocket, and those who are not let in.

use super::desk::Desk;
use super::metrics;
use crate::faults::url;
use crate::protocol::handshake::Plain;
use crate::protocol::head::Head;
use crate::protocol::http::{Refusal, refuse_response};
use crate::protocol::report::Report;
use crate::tungstenite::http::StatusCode;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// The report that a GET or HEAD asks for; `None` if there is none at its path.
pub(super) fn report(head: &[u8], request: &Plain, desk: &Desk) -> Option<Report> {
    let config = &desk.shared.config;
    let (status, content_type, body) = match Head::parse(head)?.path() {
        "/healthz" if config.health => health(desk),
        "/metrics" if config.metrics => (
            StatusCode::OK,
            metrics::CONTENT_TYPE,
            metrics::text(&desk.shared),
        ),
        _ => return None,
    };
    Some(Report {
        status,
        content_type,
        body,
        is_head: request.method_is_head,
        is_kept: request.is_kept,
    })
}

/// Whether clients may come.
fn health(desk: &Desk) -> (StatusCode, &'static str, String) {
    let shared = &desk.shared;
    let (status, text) = if !shared.serving.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if !shared.accepting.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "not accepting\n")
    } else {
        (StatusCode::OK, "accepting\n")
    };
    (status, "text/plain; charset=utf-8", text.to_owned())
}

/// What another GET or HEAD gets: how faults are asked for, where that is; else 426, with what this server is.
pub(super) fn plain(head: &[u8], request: &Plain, desk: &Desk) -> Refusal {
    let head = Head::parse(head).filter(|_| desk.shared.config.fault_urls);
    let plan = head.and_then(|head| url::plan(head.path(), head.query()));
    let answer = match plan {
        None => {
            let reason =
                "this is a WebSocket echo server: connect with a WebSocket client (ws://...)";
            Refusal::upgrade_required(reason)
        }
        Some(Ok(_)) => Refusal::new(StatusCode::OK, url::document()),
        Some(Err(wrong)) => Refusal::bad_request(wrong),
    };
    Refusal {
        head: request.method_is_head,
        ..answer
    }
}

/// The response as it is sent.
pub(super) fn write(refusal: &Refusal, desk: &Desk) -> Vec<u8> {
    let server_header = &desk.shared.config.server_header;
    refuse_response(refusal, server_header, SystemTime::now())
}

/// 408: no complete request came in time.
pub(super) fn late() -> Refusal {
    let reason = "no complete request arrived in time (open_timeout)";
    Refusal::new(StatusCode::REQUEST_TIMEOUT, reason)
}

/// 503: `limit` clients are connected already.
pub(super) fn full(limit: usize) -> Refusal {
    let reason =
        format!("the server has reached its limit of {limit} connections (max_connections)");
    Refusal {
        extra: &[("Retry-After", "5")],
        ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }
}

/// 503: there is no memory for another client.
pub(super) fn exhausted(desk: &Desk) -> Refusal {
    let memory_limit = desk.shared.config.memory_limit;
    let reason = format!("memory_limit of {memory_limit} bytes is used up, try again later");
    Refusal {
        extra: &[("Retry-After", "5")],
        ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }
}

/// 503: whoever was asked about the request has not answered.
pub(super) fn undecided() -> Refusal {
    let reason = "it was not decided in time whether to accept this request (open_timeout)";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason)
}

/// 503: the server stops before it is decided about the request.
pub(super) fn stopping() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
}

/// 500: whoever was asked about the request could not answer.
pub(super) fn failed() -> Refusal {
    let reason = "the application failed to decide about this request";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
}

/// 400: plain HTTP where TLS is spoken.
pub(super) fn needs_tls() -> Refusal {
    Refusal::bad_request(
        "this port speaks TLS: connect with wss:// or https://, not with ws:// or http://",
    )
}
