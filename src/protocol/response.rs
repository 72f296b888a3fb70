//! What an application adds to the 101, or answers instead of it: checked where it is made, so that whatever exists
//! can be written as it is.

use super::handshake::{Policy, TO_WEBSOCKET, add_field, add_origin_fields, begin_refusal};
use super::request::is_token;
use crate::error::{Error, quoted};
use crate::tungstenite::http::StatusCode;
use std::time::SystemTime;

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

/// Header lines for a response, in their order. A `Server` or `Date` among them replaces the server's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Appends a line; further lines of the same name are kept apart. Each character of `value` is sent as one byte,
    /// as those of requests are shown.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is no token or that the server sets itself, and for a value that has space
    /// around it, or characters that no line can have (RFC 9110 section 5.5).
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let invalid = |value, reason| {
            Err(Error::Invalid {
                option: "headers",
                value: quoted(value),
                reason,
            })
        };
        if !is_token(name.as_bytes()) {
            return invalid(name, "a header name is a token (RFC 9110 section 5.6.2)");
        }
        if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            return invalid(name, "the server sets this header itself");
        }
        if value.starts_with([' ', '\t']) || value.ends_with([' ', '\t']) {
            return invalid(value, "a header value has no space at its ends");
        }
        if !value.chars().all(is_value_char) {
            return invalid(
                value,
                "a header value has no control characters, and none beyond Latin-1",
            );
        }
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
    /// [`Error::Invalid`] for a status that is not 300 to 599, and for a 304 with a body (RFC 9110 section 15.4.5).
    pub fn new(status: u16, fields: Fields, body: Vec<u8>) -> Result<Self, Error> {
        let invalid = |option, value, reason| Error::Invalid {
            option,
            value,
            reason,
        };
        let code = StatusCode::from_u16(status)
            .ok()
            .filter(|_| (300..=599).contains(&status))
            .ok_or_else(|| invalid("status", status.to_string(), "must be 300 to 599"))?;
        if code == StatusCode::NOT_MODIFIED && !body.is_empty() {
            let value = format!("{} bytes", body.len());
            return Err(invalid(
                "body",
                value,
                "a response with status 304 has none",
            ));
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
    pub fn text(status: u16, mut fields: Fields, body: &str) -> Result<Self, Error> {
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
    pub(crate) fn to_bytes(&self, policy: &Policy, now: SystemTime) -> Vec<u8> {
        let mut out = Vec::with_capacity(384 + self.body.len());
        let is_upgrade_required = self.status == StatusCode::UPGRADE_REQUIRED;
        begin_refusal(&mut out, self.status, is_upgrade_required);
        if is_upgrade_required {
            for (name, value) in TO_WEBSOCKET {
                if !self.fields.has(name) {
                    add_field(&mut out, name, value);
                }
            }
        }
        add_origin_fields(&mut out, policy, now, &self.fields);
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

fn is_value_char(character: char) -> bool {
    matches!(character, '\t' | ' '..='~' | '\u{80}'..='\u{ff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name, value).unwrap();
        }
        fields
    }

    fn policy() -> Policy {
        Policy {
            server_name: "echoserver".into(),
            ..Policy::default()
        }
    }

    fn written(response: &Response) -> String {
        let bytes = response.to_bytes(&policy(), UNIX_EPOCH);
        bytes.into_iter().map(char::from).collect()
    }

    #[test]
    fn a_response_is_written_as_it_was_made() {
        let lines = [
            ("WWW-Authenticate", "Basic realm=\"a\tb\""),
            ("Set-Cookie", "a=1"),
            ("set-cookie", "b=é"),
            ("X-Empty", ""),
        ];
        let response = Response::text(401, fields(&lines), "wer da?\nκόσμε").unwrap();
        let text: String = "wer da?\nκόσμε".bytes().map(char::from).collect();
        assert_eq!(
            written(&response),
            format!(
                "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nServer: echoserver\r\n\
                Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nWWW-Authenticate: Basic realm=\"a\tb\"\r\nSet-Cookie: a=1\r\n\
                set-cookie: b=é\r\nX-Empty: \r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 18\r\n\r\n{text}"
            )
        );
    }

    #[test]
    fn what_the_application_says_replaces_what_the_server_would() {
        let lines = [
            ("server", "mine"),
            ("DATE", "today"),
            ("content-type", "text/html"),
        ];
        let response = Response::text(599, fields(&lines), "<p>").unwrap();
        assert_eq!(
            written(&response),
            "HTTP/1.1 599 \r\nConnection: close\r\nserver: mine\r\nDATE: today\r\ncontent-type: text/html\r\n\
            Content-Length: 3\r\n\r\n<p>"
        );
    }

    #[test]
    fn a_426_names_the_protocol_and_a_304_no_length() {
        let upgrade = Response::new(426, fields(&[("Server", "x")]), Vec::new()).unwrap();
        assert!(written(&upgrade).starts_with(
            "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nDate: "
        ));
        let same = Response::text(304, fields(&[("ETag", "\"1\"")]), "").unwrap();
        let text = written(&same);
        assert!(text.ends_with("ETag: \"1\"\r\n\r\n"), "{text}");
        assert!(!text.contains("Content-"), "{text}");
    }

    #[test]
    fn what_can_not_be_written_is_not_made() {
        let mut fields = Fields::default();
        for name in ["", "a b", "a:", "a\r\nb", "é", "\0"] {
            let error = fields.push(name, "x").unwrap_err().to_string();
            assert!(error.contains("token"), "{error}");
        }
        for name in OURS {
            for name in [name.to_owned(), name.to_uppercase()] {
                let error = fields.push(&name, "x").unwrap_err().to_string();
                assert!(
                    error.starts_with(&format!("headers='{name}': the server")),
                    "{error}"
                );
            }
        }
        for value in [" a", "a ", "\ta", "a\t"] {
            let error = fields.push("X", value).unwrap_err().to_string();
            assert!(error.contains("space"), "{error}");
        }
        for value in ["a\r\nb", "a\rb", "a\nb", "a\0b", "\u{7f}", "\u{1b}[", "κ"] {
            let error = fields.push("X", value).unwrap_err().to_string();
            assert!(error.contains("characters"), "{error}");
        }
        assert_eq!(fields, Fields::default());
        for status in [0, 100, 101, 200, 299, 600, 999, u16::MAX] {
            let error = Response::new(status, Fields::default(), Vec::new()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("status={status}: must be 300 to 599")
            );
        }
        assert!(Response::text(304, Fields::default(), "x").is_err());
    }
}
