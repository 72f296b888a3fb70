//! What a newcomer gets.

use crate::client::Client;
use crate::protocol::http::{Refusal, Response};
use crate::protocol::report::{Report, report_response};
use crate::server::connection::Upgraded;
use crate::server::desk::Desk;
use crate::server::http;
use crate::server::label::Refused;
use crate::tungstenite::http::StatusCode;
use std::sync::Arc;
use std::time::SystemTime;

/// What a newcomer gets.
#[derive(Debug)]
pub(super) enum Answer {
    /// 101, and then this client is served.
    Switch(Arc<Client>, Upgraded),
    /// This response, and then the end of the connection.
    Http {
        status: u16,
        response: Vec<u8>,
        /// What is sent after that, and is nobody's memory.
        body: &'static [u8],
        /// Why, if it refuses what was asked for. Boxed: an answer has to be small.
        refusal: Option<Box<(Refused, String)>>,
        /// What came behind the request, if the connection goes on.
        rest: Option<Vec<u8>>,
    },
    /// The end, without a word.
    Silence,
    /// The same, and not in order.
    Reset,
}

/// A response, and what came behind its request: the connection goes on.
#[derive(Debug)]
pub(super) struct GoesOn {
    pub(super) response: Vec<u8>,
    pub(super) rest: Vec<u8>,
}

impl Answer {
    /// What is to be sent if the connection goes on; else the answer.
    pub(super) fn goes_on(self) -> Result<GoesOn, Self> {
        match self {
            Self::Http {
                response,
                rest: Some(rest),
                ..
            } => Ok(GoesOn { response, rest }),
            other => Err(other),
        }
    }

    /// A report, and what came behind the request.
    pub(super) fn report(report: &Report, rest: Vec<u8>, desk: &Desk) -> Self {
        let server_header = &desk.shared.config.server_header;
        Self::Http {
            status: report.status.as_u16(),
            response: report_response(report, server_header, SystemTime::now()),
            body: &[],
            refusal: None,
            rest: report.is_kept.then_some(rest),
        }
    }

    /// What other plain HTTP gets.
    pub(super) fn plain(response: &Refusal, desk: &Desk) -> Self {
        Self::http(response.status.as_u16(), http::write(response, desk), None)
    }

    /// The page.
    pub(super) fn page((response, body): (Vec<u8>, &'static [u8])) -> Self {
        Self::Http {
            status: StatusCode::OK.as_u16(),
            response,
            body,
            refusal: None,
            rest: None,
        }
    }

    /// A refusal of the server's own.
    pub(super) fn refusal(why: Refused, refusal: &Refusal, desk: &Desk) -> Self {
        let reason = format!("{}, {}", refusal.status, refusal.reason);
        let response = http::write(refusal, desk);
        Self::http(refusal.status.as_u16(), response, Some((why, reason)))
    }

    /// For want of memory.
    pub(super) fn exhausted(desk: &Desk) -> Self {
        Self::refusal(Refused::Memory, &http::exhausted(desk), desk)
    }

    /// A refusal of the handler's.
    pub(super) fn told(response: &Response, desk: &Desk) -> Self {
        let server_header = &desk.shared.config.server_header;
        let reason = format!("{} of on_handshake", response.status());
        let bytes = response.to_bytes(server_header, SystemTime::now());
        Self::http(
            response.status(),
            bytes,
            Some((Refused::Application, reason)),
        )
    }

    /// All of a response, after which the connection ends.
    fn http(status: u16, response: Vec<u8>, refusal: Option<(Refused, String)>) -> Self {
        Self::Http {
            status,
            response,
            body: &[],
            refusal: refusal.map(Box::new),
            rest: None,
        }
    }
}
