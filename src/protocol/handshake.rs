//! The opening handshake of RFC 6455 section 4, the server's side: request bytes in, a verdict out. What is answered is written by `http`.
//!
//! Knows nothing of sockets and clocks: whoever reads the socket calls [`check`] after each read until the verdict is
//! not [`Verdict::Incomplete`]. `httparse` reads the header lines; what it lets pass and we do not (bare LF above all),
//! and the request line, is read in `request`.
//!
//! Of several faults in one request, the first in this order is answered:
//!
//! 1. bytes that cannot belong to a request, in the order they arrive: 400 at the byte, 505 at the end of the request
//!    line, 431 at the line or byte that is one too many;
//! 2. without an `Upgrade` line that names websocket: 405 for other methods than GET and HEAD, else
//!    [`Verdict::Plain`], whatever the rest says. An offer of another protocol may be ignored (RFC 9110 section 7.8);
//! 3. HTTP/1.0: 505; the method: 405;
//! 4. target, `Host`, a body, `Connection`: 400;
//! 5. `Sec-WebSocket-Version`: 426. Before the key, because a client of another version may have another kind of key;
//! 6. `Sec-WebSocket-Key`, `Sec-WebSocket-Protocol`, `Sec-WebSocket-Extensions`, a repeated `Origin`: 400;
//! 7. an `Origin` that is not admitted: 403. Last, as a matter of policy and not of form.

use super::extensions::{Agreed, Deflate, Negotiation};
use super::http::{Agreement, Refusal};
use super::request::{self, RequestLine, Sole, Version, is_token};
use httparse::{Header, Status};
use tungstenite::handshake::derive_accept_key;
use tungstenite::http::StatusCode;

/// Bytes of request line and header lines together, at most. Browsers with large cookies stay under 8 KiB, which is
/// also what most servers allow for one line; beyond: 431.
pub const MAX_HEAD: usize = 16 * 1024;

/// Header lines in a request, at most: several times what browsers behind proxies send; beyond: 431.
pub const MAX_FIELDS: usize = 100;

/// So many are read at first: to have room for all of them would cost most requests more than to read theirs.
const FEW_FIELDS: usize = 24;

/// What the server admits; fixed at its start. The default admits every client and names nothing.
///
/// The texts are written into responses as they are; `Config` has found them fit for it.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Subprotocols that are spoken. The client's first offer among them is chosen; none: the offer is ignored.
    pub subprotocols: Vec<String>,
    /// Origins that are admitted, compared exactly; a `None` among them admits a request without `Origin`. No list:
    /// all are.
    pub origins: Option<Vec<Option<String>>>,
    /// What may be agreed of `permessage-deflate`; `None`: the offer is ignored.
    pub compression: Option<Deflate>,
}

/// The verdict on the bytes received so far.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing wrong so far, and the head is not complete: call again with more.
    Incomplete,
    /// A good upgrade request: send `http::accept_response`, then speak WebSocket.
    Upgrade(Upgrade),
    /// Anything that gets an HTTP answer and then the end of the connection: send `http::refuse_response`.
    Refuse(Refusal),
    /// A GET or HEAD that asks for no WebSocket: an ordinary HTTP request.
    Plain(Plain),
}

/// A good upgrade request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// Bytes of the request; what was received after them is WebSocket frames.
    pub head_len: usize,
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// The subprotocol that was chosen.
    pub subprotocol: Option<String>,
    /// The compression that was agreed.
    pub deflate: Option<Agreed>,
}

impl Upgrade {
    /// What the 101 says of it.
    #[must_use]
    pub fn agreement(&self) -> Agreement<'_> {
        Agreement {
            accept: &self.accept,
            subprotocol: self.subprotocol.as_deref(),
            deflate: self.deflate,
        }
    }
}

/// An ordinary HTTP request, GET or HEAD, of version 1.0 or 1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// Bytes of the request head.
    pub head_len: usize,
    /// HEAD: the answer must have no body.
    pub method_is_head: bool,
    /// Another request may follow on the same connection (RFC 9112 section 9.3), since this one has no body.
    pub is_kept: bool,
}

/// Judges what was received, from the first byte of the connection on. Called again with more bytes while
/// [`Verdict::Incomplete`]; any other verdict stays the same whatever follows.
///
/// Decides at the first byte that settles it, and never needs more than [`MAX_HEAD`] bytes.
#[must_use]
pub fn check(received: &[u8], policy: &Policy) -> Verdict {
    let is_full = received.len() >= MAX_HEAD;
    match judge(&received[..received.len().min(MAX_HEAD)], policy) {
        Verdict::Incomplete if is_full => Verdict::Refuse(Refusal::too_large(format!(
            "request line and headers are longer than {MAX_HEAD} bytes"
        ))),
        verdict => verdict,
    }
}

/// `check` without the limit of length.
fn judge(received: &[u8], policy: &Policy) -> Verdict {
    let line = match request::request_line(received) {
        Ok(None) => return Verdict::Incomplete,
        Ok(Some(line)) => line,
        Err(flaw) => return Verdict::Refuse(Refusal::bad_request(flaw)),
    };
    let is_head = line.method == "HEAD";
    judge_fields(&line, &received[line.len..], policy).unwrap_or_else(|refusal| {
        Verdict::Refuse(Refusal {
            head: is_head,
            ..refusal
        })
    })
}

fn judge_fields(line: &RequestLine<'_>, bytes: &[u8], policy: &Policy) -> Result<Verdict, Refusal> {
    if line.version == Version::Other {
        return Err(Refusal::version());
    }
    let mut few = [httparse::EMPTY_HEADER; FEW_FIELDS];
    let mut many;
    let mut parsed = httparse::parse_headers(bytes, &mut few);
    if let Err(httparse::Error::TooManyHeaders) = parsed {
        many = [httparse::EMPTY_HEADER; MAX_FIELDS];
        parsed = httparse::parse_headers(bytes, &mut many);
    }
    match parsed {
        Ok(Status::Complete((len, fields))) if !request::has_bare_lf(&bytes[..len]) => {
            judge_request(
                line,
                &Fields::collect(fields, policy),
                line.len + len,
                policy,
            )
        }
        // One line more than may be is looked at: a fault in a later one was not known when the count was found too
        // high.
        outcome => match (request::flaw_in_fields(bytes, MAX_FIELDS + 1), outcome) {
            (Some(flaw), _) => Err(Refusal::bad_request(flaw)),
            (None, Ok(_)) => Ok(Verdict::Incomplete),
            (None, Err(httparse::Error::TooManyHeaders)) => Err(Refusal::too_large(format!(
                "more than {MAX_FIELDS} header lines"
            ))),
            (None, Err(error)) => Err(Refusal::bad_request(error.to_string())),
        },
    }
}

/// What the handshake needs of the header lines, gathered in one pass; lists that came in several lines are joined by
/// it.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is about another line; no state is made of them"
)]
struct Fields<'a> {
    host: Sole<'a>,
    key: Sole<'a>,
    version: Sole<'a>,
    origin: Sole<'a>,
    names_websocket: bool,
    connection_upgrade: bool,
    connection_close: bool,
    connection_keep_alive: bool,
    has_body: bool,
    has_bad_subprotocol: bool,
    subprotocol: Option<&'a [u8]>,
    extensions: Negotiation,
}

impl<'a> Fields<'a> {
    fn collect(headers: &[Header<'a>], policy: &Policy) -> Self {
        let mut fields = Self::default();
        for header in headers {
            fields.add(header.name, header.value, policy);
        }
        fields
    }

    fn add(&mut self, name: &str, value: &'a [u8], policy: &Policy) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let has =
            |token: &[u8]| request::list(value).any(|element| element.eq_ignore_ascii_case(token));
        // By length first: most lines of a browser's request are none of ours and are passed over without a comparison.
        match name.len() {
            4 if is("Host") => self.host.add(value),
            6 if is("Origin") => self.origin.add(value),
            7 if is("Upgrade") => self.names_websocket |= has(b"websocket"),
            10 if is("Connection") => {
                self.connection_upgrade |= has(b"upgrade");
                self.connection_close |= has(b"close");
                self.connection_keep_alive |= has(b"keep-alive");
            }
            14 if is("Content-Length") => self.has_body |= !is_nothing(value),
            17 if is("Sec-WebSocket-Key") => self.key.add(value),
            17 if is("Transfer-Encoding") => self.has_body = true,
            21 if is("Sec-WebSocket-Version") => self.version.add(value),
            22 if is("Sec-WebSocket-Protocol") => self.offer(value, policy),
            24 if is("Sec-WebSocket-Extensions") => {
                self.extensions.add(value, policy.compression.as_ref());
            }
            _ => {}
        }
    }

    /// Whether the connection goes on after an ordinary request.
    fn is_kept(&self, version: Version) -> bool {
        let is_wanted = version == Version::OneOne || self.connection_keep_alive;
        is_wanted && !self.connection_close && !self.has_body
    }

    /// Takes one line of subprotocols, which are in the client's order of preference over all its lines.
    fn offer(&mut self, value: &'a [u8], policy: &Policy) {
        for offer in request::list(value) {
            self.has_bad_subprotocol |= !is_token(offer);
            if self.subprotocol.is_none()
                && policy
                    .subprotocols
                    .iter()
                    .any(|ours| ours.as_bytes() == offer)
            {
                self.subprotocol = Some(offer);
            }
        }
    }
}

/// Whether a `Content-Length` is that of no body. A length may have zeros before it, and stand in a list with itself,
/// if a proxy has joined two such lines (RFC 9110 section 8.6).
fn is_nothing(length: &[u8]) -> bool {
    length
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .all(|length| !length.is_empty() && length.iter().all(|digit| *digit == b'0'))
}

fn judge_request(
    line: &RequestLine<'_>,
    fields: &Fields<'_>,
    head_len: usize,
    policy: &Policy,
) -> Result<Verdict, Refusal> {
    if fields.names_websocket {
        return judge_upgrade(line, fields, head_len, policy).map(Verdict::Upgrade);
    }
    match line.method {
        "GET" | "HEAD" => Ok(Verdict::Plain(Plain {
            head_len,
            method_is_head: line.method == "HEAD",
            is_kept: fields.is_kept(line.version),
        })),
        other => Err(Refusal::method(other, &[("Allow", "GET, HEAD")])),
    }
}

fn judge_upgrade(
    line: &RequestLine<'_>,
    fields: &Fields<'_>,
    head_len: usize,
    policy: &Policy,
) -> Result<Upgrade, Refusal> {
    if line.version == Version::OneZero {
        return Err(Refusal::version());
    }
    if line.method != "GET" {
        return Err(Refusal::method(line.method, &[("Allow", "GET")]));
    }
    let host = fields.host.required("Host").map_err(Refusal::bad_request)?;
    demand(&[
        (
            request::is_upgrade_target(line.target),
            "the request target must begin with / or be an absolute URL",
        ),
        (
            request::is_host(host),
            "the Host header is not host or host:port",
        ),
        // Its bytes would be taken for frames.
        (
            !fields.has_body,
            "an upgrade request has no body (Content-Length, Transfer-Encoding)",
        ),
        (
            fields.connection_upgrade,
            "the Connection header does not name upgrade",
        ),
    ])?;
    if !matches!(fields.version, Sole::Once(b"13")) {
        let reason = "there must be one Sec-WebSocket-Version header, and it must say 13";
        return Err(Refusal::upgrade_required(reason));
    }
    let key = fields
        .key
        .required("Sec-WebSocket-Key")
        .map_err(Refusal::bad_request)?;
    demand(&[
        (
            request::is_key(key),
            "the Sec-WebSocket-Key header is not the base64 of 16 bytes",
        ),
        (
            !fields.has_bad_subprotocol,
            "the Sec-WebSocket-Protocol header is not a list of tokens",
        ),
    ])?;
    let deflate = fields.extensions.verdict().map_err(Refusal::bad_request)?;
    let origin = fields
        .origin
        .optional("Origin")
        .map_err(Refusal::bad_request)?;
    if !is_admitted(origin, policy) {
        let reason = "the Origin header of this request, or its absence, is not admitted";
        return Err(Refusal::new(StatusCode::FORBIDDEN, reason));
    }
    Ok(Upgrade {
        head_len,
        accept: derive_accept_key(key),
        subprotocol: fields
            .subprotocol
            .map(|chosen| String::from_utf8_lossy(chosen).into_owned()),
        deflate,
    })
}

/// The first condition that is not met, as a 400 with its text.
fn demand(conditions: &[(bool, &'static str)]) -> Result<(), Refusal> {
    match conditions.iter().find(|(is_met, _)| !is_met) {
        None => Ok(()),
        Some((_, reason)) => Err(Refusal::bad_request(*reason)),
    }
}

fn is_admitted(origin: Option<&[u8]>, policy: &Policy) -> bool {
    let Some(admitted) = &policy.origins else {
        return true;
    };
    admitted
        .iter()
        .any(|known| known.as_deref().map(str::as_bytes) == origin)
}

#[cfg(test)]
mod tests;
