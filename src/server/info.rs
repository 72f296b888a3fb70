//! What the server saw of a client, as JSON for that client.

use crate::client::Client;
use crate::endpoint::{Endpoint, Peer};
use std::fmt::{Display, Write};

/// Fields whose values are nobody's business, not even of a page that the same browser shows: their lengths are told.
const SECRET: [&str; 3] = ["Cookie", "Authorization", "Proxy-Authorization"];

/// One object.
pub(super) fn json(client: &Client) -> String {
    let mut object = Object::default();
    match client.peer() {
        Peer::Ip(peer) => object.address("peer", &peer.ip(), peer.port()),
        Peer::Unix => object.address("peer", &Peer::Unix, 0),
    }
    match client.local() {
        Endpoint::Ip(local) => object.address("local", &local.ip(), local.port()),
        local @ Endpoint::Unix(_) => object.address("local", &local, 0),
    }
    if let Some(head) = client.head() {
        object.text("method", Some(head.method()));
        object.text("target", Some(head.target()));
        object.text("path", Some(head.path()));
        object.text("query", Some(head.query()));
        let lines = head.fields().map(|(name, value)| {
            let is_secret = SECRET
                .iter()
                .any(|secret| secret.eq_ignore_ascii_case(name));
            let value = if is_secret {
                value.len().to_string()
            } else {
                // As the program's headers are shown.
                let text: String = value.iter().map(|byte| char::from(*byte)).collect();
                quoted(&text)
            };
            format!("[{}, {value}]", quoted(name))
        });
        let lines: Vec<_> = lines.collect();
        object.put("headers", &format!("[{}]", lines.join(", ")));
    }
    object.text("subprotocol", client.subprotocol.as_deref());
    let extensions = client.deflate.map(|deflate| deflate.to_string());
    object.text("extensions", extensions.as_deref());
    match &client.tls {
        None => object.put("tls", "null"),
        Some(facts) => {
            let mut tls = Object::default();
            tls.text("version", Some(facts.version));
            tls.text("cipher", Some(&facts.cipher));
            tls.text("server_name", facts.server_name.as_deref());
            tls.text("alpn", facts.alpn.as_deref());
            let subject = facts.peer.as_ref().map(|(subject, _)| &**subject);
            tls.text("peer_subject", subject);
            object.put("tls", &tls.end());
        }
    }
    object.end()
}

/// An object on its way.
#[derive(Debug, Default)]
struct Object(Vec<String>);

impl Object {
    fn put(&mut self, name: &str, value: &str) {
        self.0.push(format!("{}: {value}", quoted(name)));
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        self.put(name, &text.map_or("null".into(), quoted));
    }

    fn address(&mut self, name: &str, host: &dyn Display, port: u16) {
        let text = format!("[{}, {port}]", quoted(&host.to_string()));
        self.put(name, &text);
    }

    fn end(self) -> String {
        format!("{{{}}}", self.0.join(", "))
    }
}

/// A string (RFC 8259 section 7).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\x1f' | '\x7f' => {
                // A string takes all that is written to it.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_string_has_nothing_that_ends_it() {
        assert_eq!(quoted("a\"b\\c\n\u{e9}"), "\"a\\\"b\\\\c\\u000a\u{e9}\"");
    }
}
