//! All HTTP that is written: the 101, refusals, and what an application adds to the one or answers instead of the other.
//! It is checked where it is made, so that whatever exists can be written as it is.

use super::extensions::Agreed;
use super::request::{self, is_token};
use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tungstenite::http::StatusCode;

/// Header lines that are the handshake's own, or belong to the framing of the response.
const OURS: [&str; 7] = [
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Protocol",
    "Content-Length",
    "Transfer-Encoding",
];

/// What can't be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalid {
    /// The name or the value of a header line, and what it has to be.
    Field {
        /// The name or the value.
        text: String,
        /// What it has to be.
        reason: &'static str,
    },
    /// A status that is not 300 to 599.
    Status(u16),
    /// A body of that many bytes where there can be none (RFC 9110 section 15.4.5).
    Body(usize),
}

fn invalid(text: &str, reason: &'static str) -> Result<(), Invalid> {
    Err(Invalid::Field {
        text: text.to_owned(),
        reason,
    })
}

/// Header lines for a response, in their order. A `Server` or `Date` among them replaces the server's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// Appends a line; further lines of the same name are kept apart. Each character of `value` is sent as one byte,
    /// as those of requests are shown.
    ///
    /// # Errors
    /// [`Invalid::Field`] for a name that is no token or that the server sets itself, and for a value that has space
    /// around it, or characters that no line can have (RFC 9110 section 5.5).
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        if !is_token(name.as_bytes()) {
            return invalid(name, "a header name is a token (RFC 9110 section 5.6.2)");
        }
        if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            return invalid(name, "the server sets this header itself");
        }
        self.push_any(name, value)
    }

    /// `Sec-WebSocket-Extensions`, whatever was offered.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn extensions(value: &str) -> Result<Self, Invalid> {
        let mut fields = Self::default();
        fields.push_any("Sec-WebSocket-Extensions", value)?;
        Ok(fields)
    }

    fn push_any(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        check_value(value).or_else(|reason| invalid(value, reason))?;
        self.0.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Names and values.
    #[must_use]
    pub fn lines(&self) -> &[(String, String)] {
        &self.0
    }

    /// Whether there is a line of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(ours, _)| ours.eq_ignore_ascii_case(name))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            // The check has let nothing pass that this would change.
            out.extend(value.chars().map(|character| character as u8));
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// A response of the application's, after which the connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: StatusCode,
    fields: Fields,
    body: Vec<u8>,
}

impl Response {
    /// A response with a body of bytes, which is what `fields` say it is.
    ///
    /// # Errors
    /// [`Invalid`] for a status that is not 300 to 599, and for a 304 with a body (RFC 9110 section 15.4.5).
    pub fn new(status: u16, fields: Fields, body: Vec<u8>) -> Result<Self, Invalid> {
        let code = StatusCode::from_u16(status)
            .ok()
            .filter(|_| (300..=599).contains(&status))
            .ok_or(Invalid::Status(status))?;
        if code == StatusCode::NOT_MODIFIED && !body.is_empty() {
            return Err(Invalid::Body(body.len()));
        }
        Ok(Self {
            status: code,
            fields,
            body,
        })
    }

    /// A response with a body of text; its `Content-Type` is `text/plain; charset=utf-8` unless `fields` have another.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn text(status: u16, mut fields: Fields, body: &str) -> Result<Self, Invalid> {
        if !body.is_empty() && !fields.has("Content-Type") {
            fields.push("Content-Type", "text/plain; charset=utf-8")?;
        }
        Self::new(status, fields, body.into())
    }

    /// 300 to 599.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The application's header lines.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The bytes to be sent.
    pub(crate) fn to_bytes(&self, server_header: &str, now: SystemTime) -> Vec<u8> {
        let mut out = Vec::with_capacity(384 + self.body.len());
        let is_upgrade_required = self.status == StatusCode::UPGRADE_REQUIRED;
        begin_last(&mut out, self.status, is_upgrade_required);
        if is_upgrade_required {
            for (name, value) in TO_WEBSOCKET {
                if !self.fields.has(name) {
                    add_field(&mut out, name, value);
                }
            }
        }
        add_origin_fields(&mut out, server_header, now, &self.fields);
        self.fields.write(&mut out);
        // Of a 304 it would be the length of what was not modified.
        if self.status != StatusCode::NOT_MODIFIED {
            add_field(&mut out, "Content-Length", &self.body.len().to_string());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }
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

    /// 400: these bytes are no HTTP request.
    #[must_use]
    pub fn not_http() -> Self {
        Self::bad_request("this is not an HTTP request")
    }

    /// 400.
    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// 426, with the lines that belong to it.
    pub fn upgrade_required(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            extra: TO_WEBSOCKET,
            ..Self::new(StatusCode::UPGRADE_REQUIRED, reason)
        }
    }

    pub(super) fn too_large(reason: String) -> Self {
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
    }

    pub(super) fn version() -> Self {
        Self::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "this HTTP version is not supported: use HTTP/1.1",
        )
    }

    pub(super) fn method(method: &str, allow: &'static [(&'static str, &'static str)]) -> Self {
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

/// What the 101 says of the handshake.
#[derive(Debug, Clone, Copy)]
pub struct Agreement<'a> {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: &'a str,
    /// The subprotocol that was chosen.
    pub subprotocol: Option<&'a str>,
    /// The compression that was agreed.
    pub deflate: Option<Agreed>,
}

/// The 101 response. `extra` are further header lines.
#[must_use]
pub fn accept_response(
    agreed: &Agreement<'_>,
    server_header: &str,
    now: SystemTime,
    extra: &Fields,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    add_field(&mut out, "Sec-WebSocket-Accept", agreed.accept);
    if let Some(subprotocol) = agreed.subprotocol {
        add_field(&mut out, "Sec-WebSocket-Protocol", subprotocol);
    }
    if let Some(deflate) = agreed.deflate {
        add_field(&mut out, "Sec-WebSocket-Extensions", &deflate.to_string());
    }
    add_origin_fields(&mut out, server_header, now, extra);
    extra.write(&mut out);
    out.extend_from_slice(b"\r\n");
    out
}

/// The response to a request that is refused: the reason as a line of plain text, and the end of the connection
/// announced.
#[must_use]
pub fn refuse_response(refusal: &Refusal, server_header: &str, now: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(384);
    let names_upgrade = refusal.extra.iter().any(|(name, _)| *name == "Upgrade");
    begin_last(&mut out, refusal.status, names_upgrade);
    for (name, value) in refusal.extra {
        add_field(&mut out, name, value);
    }
    add_origin_fields(&mut out, server_header, now, &Fields::default());
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

/// The head of a 200 whose body of `length` bytes follows, and the end of the connection announced.
#[must_use]
pub fn ok_head(fields: &Fields, length: usize, server_header: &str, now: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(768);
    begin_last(&mut out, StatusCode::OK, false);
    add_origin_fields(&mut out, server_header, now, fields);
    fields.write(&mut out);
    add_field(&mut out, "Content-Length", &length.to_string());
    out.extend_from_slice(b"\r\n");
    out
}

/// The status line of a response that ends the connection, and the line that says so.
fn begin_last(out: &mut Vec<u8>, status: StatusCode, names_upgrade: bool) {
    add_status(out, status);
    // Who sends Upgrade must name it in Connection too (RFC 9110 section 7.8).
    let options = if names_upgrade {
        "close, Upgrade"
    } else {
        "close"
    };
    add_field(out, "Connection", options);
}

pub(super) fn add_status(out: &mut Vec<u8>, status: StatusCode) {
    let reason = status.canonical_reason().unwrap_or_default();
    for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// `Server` and `Date`, unless they are in `extra`. A clock outside the years that HTTP can write is no clock, and then
/// there is no `Date`.
pub(super) fn add_origin_fields(
    out: &mut Vec<u8>,
    server_header: &str,
    now: SystemTime,
    extra: &Fields,
) {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    if !server_header.is_empty() && !extra.has("Server") {
        add_field(out, "Server", server_header);
    }
    if !extra.has("Date")
        && now
            .duration_since(UNIX_EPOCH)
            .is_ok_and(|since| since < YEAR_10000)
    {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "Date: {}\r\n", httpdate::HttpDate::from(now));
    }
}

pub(super) fn add_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Whether a header line can have this value.
///
/// # Errors
/// What it has to be.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    if value.starts_with([' ', '\t']) || value.ends_with([' ', '\t']) {
        return Err("a header value has no space at its ends");
    }
    if !value.chars().all(is_value_char) {
        return Err("a header value has no control characters, and none beyond Latin-1");
    }
    Ok(())
}

fn is_value_char(character: char) -> bool {
    matches!(character, '\t' | ' '..='~' | '\u{80}'..='\u{ff}')
}

#[cfg(test)]
mod tests;
