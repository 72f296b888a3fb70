//! Reports on how a server is: answers to ordinary requests, after which the connection may go on.

use super::http::{Fields, add_field, add_origin_fields, add_status};
use std::time::SystemTime;
use tungstenite::http::StatusCode;

/// The answer to a GET or HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The status.
    pub status: StatusCode,
    /// What the body is.
    pub content_type: &'static str,
    /// The body, also where it is left out.
    pub body: String,
    /// Whether the request was HEAD: the body is left out.
    pub is_head: bool,
    /// Whether another request may follow.
    pub is_kept: bool,
}

/// The response, which says whether the connection goes on.
#[must_use]
pub fn report_response(report: &Report, server_header: &str, now: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + report.body.len());
    add_status(&mut out, report.status);
    // A client of HTTP/1.0 waits for that word.
    let connection = if report.is_kept {
        "keep-alive"
    } else {
        "close"
    };
    add_field(&mut out, "Connection", connection);
    add_origin_fields(&mut out, server_header, now, &Fields::default());
    add_field(&mut out, "Content-Type", report.content_type);
    add_field(&mut out, "Content-Length", &report.body.len().to_string());
    // Each is of its moment.
    add_field(&mut out, "Cache-Control", "no-store");
    out.extend_from_slice(b"\r\n");
    if !report.is_head {
        out.extend_from_slice(report.body.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_report_says_how_long_it_is_and_whether_more_may_follow() {
        let mut report = Report {
            status: StatusCode::SERVICE_UNAVAILABLE,
            content_type: "text/plain",
            body: "no\n".into(),
            is_head: false,
            is_kept: true,
        };
        let written =
            |report: &Report| String::from_utf8(report_response(report, "me", UNIX_EPOCH)).unwrap();
        assert_eq!(
            written(&report),
            "HTTP/1.1 503 Service Unavailable\r\nConnection: keep-alive\r\nServer: me\r\n\
             Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\
             Cache-Control: no-store\r\n\r\nno\n"
        );
        (report.is_head, report.is_kept) = (true, false);
        let head = written(&report);
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        assert!(
            head.contains("\r\nContent-Length: 3\r\n") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
    }
}
