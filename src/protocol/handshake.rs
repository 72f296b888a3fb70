//! The opening handshake of RFC 6455 section 4, the server's side: request bytes in, a verdict and response bytes out.
//!
//! Knows nothing of sockets and clocks: whoever reads the socket calls [`check`] after each read until the verdict is
//! not [`Verdict::Incomplete`], and hands in the time for the `Date` line. `httparse` reads the header lines; what it
//! lets pass and we do not (bare LF above all), and the request line, is read in `request`.
//!
//! Of several faults in one request, the first in this order is answered:
//!
//! 1. bytes that cannot belong to a request, in the order they arrive: 400 at the byte, 505 at the end of the request
//!    line, 431 at the line or byte that is one too many;
//! 2. without any `Upgrade` line: 405 for other methods than GET and HEAD, else [`Verdict::Plain`], whatever the rest
//!    says;
//! 3. HTTP/1.0: 505; the method: 405;
//! 4. target, `Host`, a body, `Upgrade`, `Connection`: 400;
//! 5. `Sec-WebSocket-Version`: 426. Before the key, because a client of another version may have another kind of key;
//! 6. `Sec-WebSocket-Key`, `Sec-WebSocket-Protocol`, a repeated `Origin`: 400;
//! 7. an `Origin` that is not admitted: 403. Last, as a matter of policy and not of form.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httparse::{Header, Status};

use super::request::{self, RequestLine, Sole, Version};
use crate::tungstenite::handshake::derive_accept_key;
use crate::tungstenite::http::StatusCode;

pub use super::request::Head;

/// Bytes of request line and header lines together, at most. Browsers with large cookies stay under 8 KiB, which is
/// also what most servers allow for one line; beyond: 431.
pub const MAX_HEAD: usize = 16 * 1024;

/// Header lines in a request, at most: several times what browsers behind proxies send; beyond: 431.
pub const MAX_FIELDS: usize = 100;

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
    /// The value of the `Server` line in every response; empty: no such line.
    pub server_name: String,
}

/// The verdict on the bytes received so far.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing wrong so far, and the head is not complete: call again with more.
    Incomplete,
    /// A good upgrade request: send [`accept_response`], then speak WebSocket.
    Upgrade(Upgrade),
    /// Anything that gets an HTTP answer and then the end of the connection: send [`refuse_response`].
    Refuse(Refusal),
    /// A GET or HEAD without any `Upgrade` line: an ordinary HTTP request.
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
}

/// An ordinary HTTP request, GET or HEAD, of version 1.0 or 1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// Bytes of the request head.
    pub head_len: usize,
    /// HEAD: the answer must have no body.
    pub method_is_head: bool,
}

/// An HTTP answer other than 101, after which the connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// One line of text without its end, sent as the body: what is wrong, with the name of the header.
    pub reason: Cow<'static, str>,
    /// Header lines that belong to the status, such as `Allow`.
    pub extra: &'static [(&'static str, &'static str)],
    /// Whether the request was HEAD: the body is left out.
    pub head: bool,
}

/// Every 426 names the protocol to change to (RFC 9110 section 15.5.22) and its version (RFC 6455 section 4.4).
const TO_WEBSOCKET: &[(&str, &str)] = &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];

impl Refusal {
    /// A refusal without further header lines; `reason` is one line without its end.
    #[must_use]
    pub fn new(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            reason: reason.into(),
            extra: &[],
            head: false,
        }
    }

    /// 408: no complete request came within `open_timeout`.
    #[must_use]
    pub fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "no complete request arrived in time (open_timeout)",
        )
    }

    /// 503: `limit` clients are connected already.
    #[must_use]
    pub fn full(limit: usize) -> Self {
        let reason =
            format!("the server has reached its limit of {limit} connections (max_connections)");
        Self {
            extra: &[("Retry-After", "5")],
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
        }
    }

    /// 426: an ordinary HTTP request, told what this server is.
    #[must_use]
    pub fn plain(request: &Plain) -> Self {
        let reason = "this is a WebSocket echo server: connect with a WebSocket client (ws://...)";
        Self {
            head: request.method_is_head,
            ..Self::upgrade_required(reason)
        }
    }

    /// 400: these bytes are no HTTP request.
    #[must_use]
    pub fn not_http() -> Self {
        Self::bad_request("this is not an HTTP request")
    }

    fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    fn upgrade_required(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            extra: TO_WEBSOCKET,
            ..Self::new(StatusCode::UPGRADE_REQUIRED, reason)
        }
    }

    fn too_large(reason: String) -> Self {
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
    }

    fn version() -> Self {
        Self::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "this HTTP version is not supported: use HTTP/1.1",
        )
    }

    fn method(method: &str, allow: &'static [(&'static str, &'static str)]) -> Self {
        let allowed = allow.first().map_or("GET", |(_, methods)| *methods);
        let method = request::shortened(method);
        Self {
            extra: allow,
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{method} is not allowed here: use {allowed}"),
            )
        }
    }
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
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(bytes, &mut fields) {
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
struct Fields<'a> {
    host: Sole<'a>,
    key: Sole<'a>,
    version: Sole<'a>,
    origin: Sole<'a>,
    /// Whether `Upgrade` names websocket; `None` without any such line.
    upgrade: Option<bool>,
    connection_upgrade: bool,
    has_body: bool,
    has_bad_subprotocol: bool,
    subprotocol: Option<&'a [u8]>,
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
            7 if is("Upgrade") => {
                self.upgrade = Some(self.upgrade == Some(true) || has(b"websocket"));
            }
            10 if is("Connection") => self.connection_upgrade |= has(b"upgrade"),
            14 if is("Content-Length") => self.has_body |= value != b"0",
            17 if is("Sec-WebSocket-Key") => self.key.add(value),
            17 if is("Transfer-Encoding") => self.has_body = true,
            21 if is("Sec-WebSocket-Version") => self.version.add(value),
            22 if is("Sec-WebSocket-Protocol") => self.offer(value, policy),
            _ => {}
        }
    }

    /// Takes one line of subprotocols, which are in the client's order of preference over all its lines.
    fn offer(&mut self, value: &'a [u8], policy: &Policy) {
        for offer in request::list(value) {
            self.has_bad_subprotocol |= !request::is_token(offer);
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

fn judge_request(
    line: &RequestLine<'_>,
    fields: &Fields<'_>,
    head_len: usize,
    policy: &Policy,
) -> Result<Verdict, Refusal> {
    if fields.upgrade.is_some() {
        return judge_upgrade(line, fields, head_len, policy).map(Verdict::Upgrade);
    }
    match line.method {
        "GET" | "HEAD" => Ok(Verdict::Plain(Plain {
            head_len,
            method_is_head: line.method == "HEAD",
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
            fields.upgrade == Some(true),
            "the Upgrade header does not name websocket",
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

/// The 101 response. `extra` are further header lines, which the caller has found to be well formed.
#[must_use]
pub fn accept_response(
    upgrade: &Upgrade,
    policy: &Policy,
    now: SystemTime,
    extra: &[(String, String)],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    add_field(&mut out, "Sec-WebSocket-Accept", &upgrade.accept);
    if let Some(subprotocol) = &upgrade.subprotocol {
        add_field(&mut out, "Sec-WebSocket-Protocol", subprotocol);
    }
    add_origin_fields(&mut out, policy, now);
    for (name, value) in extra {
        add_field(&mut out, name, value);
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The response to a request that is refused: the reason as a line of plain text, and the end of the connection
/// announced.
#[must_use]
pub fn refuse_response(refusal: &Refusal, policy: &Policy, now: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(384);
    let status = refusal.status;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    // Who sends Upgrade must name it in Connection too (RFC 9110 section 7.8).
    let names_upgrade = refusal.extra.iter().any(|(name, _)| *name == "Upgrade");
    add_field(
        &mut out,
        "Connection",
        if names_upgrade {
            "close, Upgrade"
        } else {
            "close"
        },
    );
    for (name, value) in refusal.extra {
        add_field(&mut out, name, value);
    }
    add_origin_fields(&mut out, policy, now);
    add_field(&mut out, "Content-Type", "text/plain; charset=utf-8");
    add_field(
        &mut out,
        "Content-Length",
        &(refusal.reason.len() + 1).to_string(),
    );
    out.extend_from_slice(b"\r\n");
    if !refusal.head {
        out.extend_from_slice(refusal.reason.as_bytes());
        out.push(b'\n');
    }
    out
}

/// `Server` and `Date`. A clock outside the years that HTTP can write is no clock, and then there is no `Date`.
fn add_origin_fields(out: &mut Vec<u8>, policy: &Policy, now: SystemTime) {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    if !policy.server_name.is_empty() {
        add_field(out, "Server", &policy.server_name);
    }
    if now
        .duration_since(UNIX_EPOCH)
        .is_ok_and(|since| since < YEAR_10000)
    {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "Date: {}\r\n", httpdate::HttpDate::from(now));
    }
}

fn add_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    /// The request of RFC 6455 section 1.2, line by line.
    const GOOD: [&str; 8] = [
        "GET /chat HTTP/1.1",
        "Host: server.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Origin: http://example.com",
        "Sec-WebSocket-Protocol: chat, superchat",
        "Sec-WebSocket-Version: 13",
    ];
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn text(lines: &[&str]) -> String {
        lines
            .iter()
            .flat_map(|line| [line, "\r\n"])
            .chain(["\r\n"])
            .collect()
    }

    /// The good request with each line that begins like `name` replaced by `lines`.
    fn with(name: &str, lines: &[&str]) -> String {
        let mut request = Vec::new();
        for line in GOOD {
            if line.starts_with(name) {
                request.extend_from_slice(lines);
            } else {
                request.push(line);
            }
        }
        text(&request)
    }

    fn policy(subprotocols: &[&str], origins: Option<&[Option<&str>]>) -> Policy {
        Policy {
            subprotocols: subprotocols.iter().map(ToString::to_string).collect(),
            origins: origins.map(|list| {
                list.iter()
                    .map(|origin| origin.map(str::to_owned))
                    .collect()
            }),
            server_name: "test".to_owned(),
        }
    }

    fn upgrade(request: &[u8], policy: &Policy) -> Upgrade {
        match check(request, policy) {
            Verdict::Upgrade(upgrade) => upgrade,
            other => panic!("{other:?} for {}", String::from_utf8_lossy(request)),
        }
    }

    fn refusal(request: &[u8], policy: &Policy) -> Refusal {
        match check(request, policy) {
            Verdict::Refuse(refusal) => refusal,
            other => panic!("{other:?} for {}", String::from_utf8_lossy(request)),
        }
    }

    /// A verdict in a form that can be compared.
    fn told(request: &[u8], policy: &Policy) -> String {
        format!("{:?}", check(request, policy))
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let mut request = text(&GOOD).into_bytes();
        let head_len = request.len();
        request.extend_from_slice(b"\x81\x80frames\n\n\0");
        let accepted = upgrade(&request, &Policy::default());
        assert_eq!(
            accepted,
            Upgrade {
                head_len,
                accept: ACCEPT.to_owned(),
                subprotocol: None
            }
        );
    }

    #[test]
    fn every_split_of_a_good_request_gives_the_same_verdict() {
        let request = format!("\r\n{}", text(&GOOD));
        for policy in [
            Policy::default(),
            policy(&["superchat"], None),
            policy(&[], Some(&[])),
        ] {
            for split in 0..request.len() {
                assert!(
                    matches!(
                        check(&request.as_bytes()[..split], &policy),
                        Verdict::Incomplete
                    ),
                    "{split}"
                );
            }
            assert_ne!(told(request.as_bytes(), &policy), "Incomplete");
        }
        assert_eq!(
            upgrade(request.as_bytes(), &Policy::default()).head_len,
            request.len()
        );
    }

    #[test]
    fn variants_of_a_good_request_are_accepted() {
        for (name, lines) in [
            ("GET", &["GET / HTTP/1.1"][..]),
            ("GET", &["GET ws://server.example.com:1234/chat?x HTTP/1.1"]),
            ("GET", &["GET HTTPS://server.example.com HTTP/1.1"]),
            ("GET", &["GET /a?b=http://c HTTP/1.1"]),
            ("Host", &["hOST:\t[::1]:1234 "]),
            ("Upgrade", &["Upgrade: h2c, WebSocket"]),
            ("Upgrade", &["Upgrade: h2c", "upgrade: ,websocket,"]),
            ("Upgrade", &["Upgrade: websocket", "upgrade: h2c"]),
            ("Connection", &["Connection: keep-alive, upgrade"]),
            (
                "Connection",
                &["Connection: keep-alive", "Connection: UPGRADE"],
            ),
            ("Origin", &[]),
            ("Origin", &["Origin: null"]),
            ("Origin", &["Origin:"]),
            ("Origin", &["Content-Length: 0"]),
            ("Origin", &["X: caf\u{e9} \t~"]),
            (
                "Sec-WebSocket-Key",
                &["SEC-WEBSOCKET-KEY:dGhlIHNhbXBsZSBub25jZQ==  "],
            ),
            ("Sec-WebSocket-Protocol", &[]),
            ("Sec-WebSocket-Protocol", &["Sec-WebSocket-Protocol:"]),
            ("Sec-WebSocket-Protocol", &["Sec-WebSocket-Protocol: a, a"]),
            (
                "Sec-WebSocket-Protocol",
                &["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
            ),
        ] {
            assert_eq!(
                upgrade(with(name, lines).as_bytes(), &Policy::default()).accept,
                ACCEPT
            );
        }
    }

    /// Lines of the good request that are replaced, by what; status and text of the answer.
    const FAULTS: &[(&str, &[&str], u16, &str)] = &[
        ("GET", &["GET /chat HTTP/1.0"], 505, "HTTP/1.1"),
        ("GET", &["POST /chat HTTP/1.0"], 505, "HTTP/1.1"),
        ("GET", &["POST /chat HTTP/1.1"], 405, "POST"),
        ("GET", &["HEAD /chat HTTP/1.1"], 405, "HEAD"),
        ("GET", &["OPTIONS * HTTP/1.1"], 405, "OPTIONS"),
        ("GET", &["GET chat HTTP/1.1"], 400, "target"),
        ("GET", &["GET * HTTP/1.1"], 400, "target"),
        ("GET", &["GET ftp://host/ HTTP/1.1"], 400, "target"),
        ("GET", &["GET ws:///chat HTTP/1.1"], 400, "target"),
        ("GET", &["GET ws://user@host/ HTTP/1.1"], 400, "target"),
        ("GET", &["GET /chat#top HTTP/1.1"], 400, "#"),
        ("Host", &[], 400, "no Host"),
        ("Host", &["Host: a", "Host: a"], 400, "more than one Host"),
        ("Host", &["Host:"], 400, "Host"),
        ("Host", &["Host: user@a"], 400, "Host"),
        ("Host", &["Host: a b"], 400, "Host"),
        ("Origin", &["Content-Length: 5"], 400, "Content-Length"),
        (
            "Origin",
            &["Transfer-Encoding: chunked"],
            400,
            "Transfer-Encoding",
        ),
        ("Upgrade", &["Upgrade: h2c"], 400, "Upgrade"),
        ("Upgrade", &["Upgrade:"], 400, "Upgrade"),
        ("Upgrade", &["Upgrade: websocket/13"], 400, "Upgrade"),
        ("Connection", &[], 400, "Connection"),
        ("Connection", &["Connection: keep-alive"], 400, "Connection"),
        ("Connection", &["Connection: up-grade"], 400, "Connection"),
        ("Sec-WebSocket-Version", &[], 426, "Sec-WebSocket-Version"),
        (
            "Sec-WebSocket-Version",
            &["Sec-WebSocket-Version: 8"],
            426,
            "13",
        ),
        (
            "Sec-WebSocket-Version",
            &["Sec-WebSocket-Version: 013"],
            426,
            "13",
        ),
        (
            "Sec-WebSocket-Version",
            &["Sec-WebSocket-Version: 13, 8"],
            426,
            "13",
        ),
        (
            "Sec-WebSocket-Version",
            &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"],
            426,
            "one",
        ),
        ("Sec-WebSocket-Key", &[], 400, "no Sec-WebSocket-Key"),
        (
            "Sec-WebSocket-Key",
            &[GOOD[4], GOOD[4]],
            400,
            "more than one Sec-WebSocket-Key",
        ),
        (
            "Sec-WebSocket-Key",
            &["Sec-WebSocket-Key:"],
            400,
            "Sec-WebSocket-Key",
        ),
        (
            "Sec-WebSocket-Key",
            &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ="],
            400,
            "Sec-WebSocket-Key",
        ),
        (
            "Sec-WebSocket-Key",
            &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA"],
            400,
            "Sec-WebSocket-Key",
        ),
        (
            "Sec-WebSocket-Key",
            &["Sec-WebSocket-Key: dGhl-HNhbXBsZSBub25jZQ=="],
            400,
            "Sec-WebSocket-Key",
        ),
        (
            "Sec-WebSocket-Key",
            &["Sec-WebSocket-Key: AAAA"],
            400,
            "Sec-WebSocket-Key",
        ),
        (
            "Sec-WebSocket-Protocol",
            &["Sec-WebSocket-Protocol: a b"],
            400,
            "Sec-WebSocket-Protocol",
        ),
        (
            "Sec-WebSocket-Protocol",
            &["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: (b)"],
            400,
            "tokens",
        ),
        (
            "Origin",
            &["Origin: http://a", "Origin: http://a"],
            400,
            "more than one Origin",
        ),
    ];

    #[test]
    fn faults_of_an_upgrade_request_are_refused_by_name() {
        for &(name, lines, status, reason) in FAULTS {
            let request = with(name, lines);
            let refused = refusal(request.as_bytes(), &Policy::default());
            assert_eq!(refused.status, status, "{request}{refused:?}");
            assert!(refused.reason.contains(reason), "{refused:?}");
            assert_eq!(
                refused.extra.contains(&("Sec-WebSocket-Version", "13")),
                status == 426,
                "{refused:?}"
            );
            assert_eq!(
                refused.extra.contains(&("Allow", "GET")),
                status == 405,
                "{refused:?}"
            );
            assert_eq!(
                refused.head,
                lines.iter().any(|line| line.starts_with("HEAD")),
                "{refused:?}"
            );
        }
    }

    /// The refusal comes with the last byte given here, and not before it.
    #[test]
    fn bytes_that_cannot_belong_to_a_request_are_refused_at_once() {
        let first = "GET / HTTP/1.1\r\n";
        for (before, bytes, status, reason) in [
            ("", "\x16", 400, "TLS"),
            ("", "\0", 400, "not an HTTP request"),
            ("", "h", 400, "not an HTTP request"),
            ("", " ", 400, "not an HTTP request"),
            ("", "\n", 400, "not an HTTP request"),
            ("", "\r\n\r", 400, "not an HTTP request"),
            ("", "\r\n\n", 400, "not an HTTP request"),
            ("", "GET\n", 400, "one space"),
            ("", "GET\t", 400, "one space"),
            ("", "G\u{80}", 400, "one space"),
            ("", "GET  ", 400, "two spaces"),
            ("", "GET /#", 400, "#"),
            ("", "GET /\u{80}", 400, "visible ASCII"),
            ("", "GET /\t", 400, "visible ASCII"),
            ("", "GET /\n", 400, "HTTP version"),
            ("", "GET /\r", 400, "HTTP version"),
            ("", "GET / X", 400, "HTTP version"),
            ("", "GET / HTTP ", 400, "HTTP version"),
            ("", "GET / HTTP/1.1 ", 400, "HTTP version"),
            ("", "GET / HTTP/\r", 400, "HTTP version"),
            ("", "GET / h", 400, "HTTP version"),
            ("", "GET / HTTP/1.1\n", 400, "LF alone"),
            ("", "GET / HTTP/1.1\rX", 400, "CR"),
            ("", "GET / HTTP/1.2\r\n", 505, "HTTP/1.1"),
            ("", "GET / HTTP/0.9\r\n", 505, "HTTP/1.1"),
            ("", "GET / HTTP/3\r\n", 505, "HTTP/1.1"),
            ("", "GET / HTTP/1.10\r\n", 505, "HTTP/1.1"),
            ("", "PRI * HTTP/2.0\r\n", 505, "HTTP/1.1"),
            (first, "\n", 400, "LF alone"),
            (first, "\rX", 400, "CR"),
            (first, " ", 400, "folding"),
            (first, ":", 400, "no name"),
            (first, "\0", 400, "header name"),
            (first, "Ho(", 400, "header name contains the byte 0x28"),
            (
                first,
                "Host ",
                400,
                "between the header name Host and its colon",
            ),
            (
                first,
                "Host\t",
                400,
                "between the header name Host and its colon",
            ),
            (first, "Host\r", 400, "no colon"),
            (first, "Host\n", 400, "no colon"),
            (first, "Host: a\n", 400, "LF alone"),
            (first, "Host:\n", 400, "LF alone"),
            (first, "Host: a\rb", 400, "CR"),
            (first, "Host: a\r\r", 400, "CR"),
            (
                first,
                "Host: \0",
                400,
                "value of Host contains the control byte 0x00",
            ),
            (
                first,
                "Host: a\x7f",
                400,
                "value of Host contains the control byte 0x7f",
            ),
            (first, "Host: a\r\n ", 400, "folding"),
            (first, "Host: a\r\n\t", 400, "folding"),
            (first, "Host: a\r\n\n", 400, "LF alone"),
        ] {
            let request = format!("{before}{bytes}");
            // Code points below 0x100 stand for the bytes.
            let request: Vec<u8> = request.chars().map(|c| u8::try_from(c).unwrap()).collect();
            let policy = Policy::default();
            let refused = refusal(&request, &policy);
            assert_eq!(refused.status, status, "{bytes:?} {refused:?}");
            assert!(refused.reason.contains(reason), "{bytes:?} {refused:?}");
            assert!(
                matches!(
                    check(&request[..request.len() - 1], &policy),
                    Verdict::Incomplete
                ),
                "{bytes:?}"
            );
            let longer = [&request, text(&GOOD).as_bytes()].concat();
            assert_eq!(told(&longer, &policy), told(&request, &policy), "{bytes:?}");
        }
    }

    #[test]
    fn a_request_may_be_16_kib_long_and_have_100_fields() {
        let policy = Policy::default();
        let pad = |len| with("Origin", &[&format!("X: {}", "x".repeat(len))]);
        let room = MAX_HEAD - pad(0).len();
        assert_eq!(upgrade(pad(room).as_bytes(), &policy).head_len, MAX_HEAD);
        let long = pad(room + 1);
        assert!(matches!(
            check(&long.as_bytes()[..MAX_HEAD - 1], &policy),
            Verdict::Incomplete
        ));
        for end in [MAX_HEAD, MAX_HEAD + 1] {
            let refused = refusal(&long.as_bytes()[..end], &policy);
            assert_eq!(refused.status, 431);
            assert!(refused.reason.contains("16384"), "{refused:?}");
        }
        for endless in [
            b"A".as_slice(),
            b"GET /",
            b"GET / HTTP/1",
            b"GET / HTTP/1.1\r\nN",
        ] {
            let request = [endless, &endless[endless.len() - 1..].repeat(MAX_HEAD)].concat();
            assert_eq!(refusal(&request, &policy).status, 431);
        }

        let fields = |more| with("Origin", &vec!["X: y"; MAX_FIELDS - 6 + more]);
        assert_eq!(upgrade(fields(0).as_bytes(), &policy).accept, ACCEPT);
        let refused = refusal(fields(1).as_bytes(), &policy);
        assert_eq!(refused.status, 431);
        assert!(refused.reason.contains("100"), "{refused:?}");
        assert_eq!(
            refusal(fields(1).replacen("y\r", "y", 1).as_bytes(), &policy).status,
            400
        );
    }

    #[test]
    fn requests_without_upgrade_are_plain_http() {
        for (line, is_head) in [
            ("GET / HTTP/1.1", false),
            ("GET /metrics?x HTTP/1.0", false),
            ("HEAD / HTTP/1.1", true),
        ] {
            let request = text(&[line, "Host: a", "Content-Length: 3"]);
            match check(format!("{request}abc").as_bytes(), &Policy::default()) {
                Verdict::Plain(plain) => {
                    assert_eq!(
                        plain,
                        Plain {
                            head_len: request.len(),
                            method_is_head: is_head
                        }
                    );
                    assert_eq!(Refusal::plain(&plain).status, 426);
                    assert_eq!(Refusal::plain(&plain).head, is_head);
                }
                other => panic!("{other:?}"),
            }
        }
        for line in [
            "POST / HTTP/1.1",
            "OPTIONS * HTTP/1.0",
            "CONNECT a:1 HTTP/1.1",
            "GETS / HTTP/1.1",
        ] {
            let refused = refusal(text(&[line]).as_bytes(), &Policy::default());
            assert_eq!(refused.status, 405);
            assert_eq!(refused.extra, [("Allow", "GET, HEAD")]);
        }
    }

    #[test]
    fn the_first_supported_offer_is_the_subprotocol() {
        for (ours, lines, chosen) in [
            (
                &["superchat", "chat"][..],
                &["Sec-WebSocket-Protocol: chat, superchat"][..],
                Some("chat"),
            ),
            (
                &["superchat"],
                &["Sec-WebSocket-Protocol: chat, superchat"],
                Some("superchat"),
            ),
            (
                &["b", "c"],
                &["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: ,c,b"],
                Some("c"),
            ),
            (&["Chat"], &["Sec-WebSocket-Protocol: chat"], None),
            (&["chat"], &[], None),
        ] {
            let request = with("Sec-WebSocket-Protocol", lines);
            assert_eq!(
                upgrade(request.as_bytes(), &policy(ours, None))
                    .subprotocol
                    .as_deref(),
                chosen
            );
        }
    }

    #[test]
    fn origins_are_compared_exactly() {
        let with_origin = with("Origin", &["Origin: https://a"]);
        let without = with("Origin", &[]);
        for (origins, request, is_good) in [
            (&[Some("https://a")][..], &with_origin, true),
            (&[Some("https://b"), Some("https://a")], &with_origin, true),
            (&[Some("https://A")], &with_origin, false),
            (&[Some("https://a/")], &with_origin, false),
            (&[None], &with_origin, false),
            (&[], &with_origin, false),
            (&[Some("https://a")], &without, false),
            (&[Some(""), Some("null")], &without, false),
            (&[None], &without, true),
        ] {
            let policy = policy(&[], Some(origins));
            if is_good {
                assert_eq!(upgrade(request.as_bytes(), &policy).accept, ACCEPT);
            } else {
                assert_eq!(
                    refusal(request.as_bytes(), &policy).status,
                    403,
                    "{origins:?}"
                );
            }
        }
    }

    #[test]
    fn faults_are_answered_in_the_order_of_the_module_head() {
        let policy = policy(&[], Some(&[]));
        let mut lines = vec![
            "POST chat HTTP/1.0",
            "Host: a b",
            "Content-Length: 1",
            "Upgrade: h2c",
            "Sec-WebSocket-Version: 8",
            "Sec-WebSocket-Key: x",
        ];
        for (at, line, status, reason) in [
            (0, "POST chat HTTP/1.1", 505, "HTTP/1.1"),
            (0, "GET chat HTTP/1.1", 405, "POST"),
            (0, "GET / HTTP/1.1", 400, "target"),
            (1, "Host: a", 400, "Host"),
            (2, "Content-Length: 0", 400, "body"),
            (3, "Upgrade: websocket", 400, "Upgrade"),
            (2, "Connection: upgrade", 400, "Connection"),
            (4, "Sec-WebSocket-Version: 13", 426, "13"),
            (5, GOOD[4], 400, "Key"),
            (0, "GET / HTTP/1.1", 403, "Origin"),
        ] {
            let refused = refusal(text(&lines).as_bytes(), &policy);
            assert_eq!(refused.status, status, "{lines:?}");
            assert!(refused.reason.contains(reason), "{lines:?} {refused:?}");
            lines[at] = line;
        }
    }

    #[test]
    fn the_responses_are_written_as_specified() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let accepted = upgrade(text(&GOOD).as_bytes(), &policy(&["chat"], None));
        let extra = [("X-Extra".to_owned(), "1".to_owned())];
        assert_eq!(
            String::from_utf8(accept_response(&accepted, &policy(&[], None), now, &extra)).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\nServer: test\r\n\
             Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Extra: 1\r\n\r\n"
        );
        let response = |refusal: &Refusal| {
            String::from_utf8(refuse_response(refusal, &Policy::default(), now)).unwrap()
        };
        assert_eq!(
            response(&Refusal::not_http()),
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 28\r\n\r\nthis is not an HTTP request\n"
        );
        let plain = response(&Refusal::plain(&Plain {
            head_len: 0,
            method_is_head: true,
        }));
        assert!(plain.starts_with(
            "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        ));
        assert!(plain.ends_with("\r\n\r\n"));
        assert!(response(&Refusal::full(7)).contains("Retry-After: 5\r\n"));
        assert!(
            response(&Refusal::full(7)).ends_with("limit of 7 connections (max_connections)\n")
        );
        assert!(response(&Refusal::timeout()).starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    }

    #[test]
    fn a_clock_that_is_far_off_leaves_the_date_out() {
        let far = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
        for (now, has_date) in [
            (UNIX_EPOCH - Duration::from_secs(1), false),
            (UNIX_EPOCH, true),
            (far - Duration::from_secs(1), true),
            (far, false),
        ] {
            let response = refuse_response(&Refusal::not_http(), &Policy::default(), now);
            assert_eq!(
                String::from_utf8(response).unwrap().contains("\r\nDate: "),
                has_date
            );
        }
    }

    /// Pieces of requests and of nonsense, so that random input gets past the first byte.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let mut known: Vec<Vec<u8>> = GOOD
            .iter()
            .map(|line| format!("{line}\r\n").into_bytes())
            .collect();
        for piece in [
            "\r\n",
            "\n",
            "\r",
            " ",
            ":",
            "#",
            ",",
            "GET ",
            "HEAD ",
            "/",
            "HTTP/1.0",
            "HTTP/2.0\r\n",
            "Host",
            "X: y\r\n",
        ] {
            known.push(piece.into());
        }
        known.push("X: y\r\n".repeat(60).into());
        let piece = prop_oneof![8 => prop::sample::select(known), 1 => prop::collection::vec(any::<u8>(), 0..3)];
        prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_get_one_verdict_however_they_are_split(bytes in pieces(), is_request in any::<bool>()) {
            let first: &[u8] = if is_request { b"GET / HTTP/1.1\r\n" } else { b"" };
            let bytes = [first, &bytes].concat();
            let policy = Policy::default();
            let whole = told(&bytes, &policy);
            let mut decided = false;
            for end in 0..=bytes.len() {
                let verdict = told(&bytes[..end], &policy);
                if verdict == "Incomplete" {
                    prop_assert!(!decided);
                } else {
                    prop_assert_eq!(&verdict, &whole);
                    decided = true;
                }
            }
            // What httparse finds at fault, we can name.
            prop_assert!(!whole.contains("invalid header"));
        }

        #[test]
        fn what_is_accepted_httparse_accepts_too(bytes in pieces()) {
            let bytes = [b"GET / HTTP/1.1\r\n", &bytes[..]].concat();
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let theirs = httparse::Request::new(&mut fields).parse(&bytes);
            match check(&bytes, &Policy::default()) {
                Verdict::Upgrade(Upgrade { head_len, .. }) | Verdict::Plain(Plain { head_len, .. }) => {
                    prop_assert_eq!(theirs, Ok(Status::Complete(head_len)));
                    prop_assert!(Head::parse(&bytes[..head_len]).is_some());
                }
                Verdict::Incomplete => prop_assert_eq!(theirs, Ok(Status::Partial)),
                Verdict::Refuse(_) => {}
            }
        }
    }
}
