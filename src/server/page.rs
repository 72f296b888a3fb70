//! The page at `/`: a WebSocket client for browsers, which is one static file. Each answer shares its bytes.

use super::desk::Desk;
use crate::protocol::handshake::Plain;
use crate::protocol::head::Head;
use crate::protocol::http::{Fields, ok_head};
use std::time::SystemTime;

const PAGE: &str = include_str!("page.html");

/// What may run in it: its own style and script, by their hashes, and connections to whatever URL is typed in.
/// `tests/python/test_page.py` says what the hashes have to be.
const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-i+SGx7ioFXJfbgCqn9Q1ssOFnZVdrsSS0CZpipnyA+c='; \
    script-src 'sha256-0aIbCDUQ7XlZpzaPZLalVaPBEqtPx0q/umifdFjVayg='; \
    img-src data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

const FIELDS: [(&str, &str); 6] = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    // Another version of the server has another page.
    ("Cache-Control", "no-cache"),
];

/// What a GET or HEAD of the page gets: the head of the response, and its body; `None` if it asks for something else, or
/// there is no page.
pub(super) fn answer(
    head: &[u8],
    request: &Plain,
    desk: &Desk,
) -> Option<(Vec<u8>, &'static [u8])> {
    let config = &desk.shared.config;
    let is_asked = config.page && Head::parse(head).is_some_and(|head| head.path() == "/");
    is_asked.then(|| {
        let now = SystemTime::now();
        let head = ok_head(&fields(), PAGE.len(), &config.server_header, now);
        let body = if request.method_is_head { "" } else { PAGE };
        (head, body.as_bytes())
    })
}

fn fields() -> Fields {
    let mut fields = Fields::default();
    for (name, value) in FIELDS {
        // All of them are lines that can be written: the test below.
        let _ = fields.push(name, value);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::{FIELDS, PAGE, fields};

    #[test]
    fn every_line_is_sent() {
        assert_eq!(fields().lines().len(), FIELDS.len());
    }

    #[test]
    fn nothing_comes_from_outside() {
        // The name of a namespace is not fetched.
        let page = PAGE.replace("http://www.w3.org/2000/svg", "");
        for word in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
