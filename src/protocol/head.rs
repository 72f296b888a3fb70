//! The head of an upgrade request as an application sees it.

use super::request::{absolute, list, request_line, split_where};

/// A lazy view of a request head that was kept: nothing is copied, and each look reads the bytes again.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    method: &'a str,
    target: &'a str,
    fields: &'a [u8],
}

impl<'a> Head<'a> {
    /// Views a head that `check` accepted; `None` when these bytes do not begin with a complete request line. Bytes
    /// after the empty line that ends the head are ignored.
    #[must_use]
    pub fn parse(head: &'a [u8]) -> Option<Self> {
        let line = request_line(head).ok()??;
        Some(Self {
            method: line.method,
            target: line.target,
            fields: &head[line.len..],
        })
    }

    /// The method as sent.
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The request target as sent: path and query, or the absolute form.
    #[must_use]
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The path, as sent and not decoded; `/` where an absolute form has none.
    #[must_use]
    pub fn path(&self) -> &'a str {
        match self.path_and_query().0 {
            "" => "/",
            path => path,
        }
    }

    /// What follows the first `?`, as sent and not decoded; empty when there is none.
    #[must_use]
    pub fn query(&self) -> &'a str {
        self.path_and_query().1
    }

    fn path_and_query(&self) -> (&'a str, &'a str) {
        let rest = absolute(self.target).map_or(self.target, |(_, rest)| rest);
        rest.split_once('?').unwrap_or((rest, ""))
    }

    /// The header lines in the order and spelling they were sent in; values without the white space around them.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                let (name, value) = split_where(line, |byte| byte == b':')?;
                Some((str::from_utf8(name).ok()?, value[1..].trim_ascii()))
            })
    }

    /// The subprotocols that are offered, in the client's order.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.fields()
            .filter(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"))
            .flat_map(|(_, value)| list(value))
            // Those of an accepted request are tokens.
            .filter_map(|offer| str::from_utf8(offer).ok())
    }

    /// The value of one header, whatever the case of its name: repeated lines joined with `, `, bytes read as
    /// Latin-1; `None` when no such line was sent.
    #[must_use]
    pub fn field_joined(&self, name: &str) -> Option<String> {
        let mut joined = None::<String>;
        for (_, value) in self
            .fields()
            .filter(|(sent, _)| sent.eq_ignore_ascii_case(name))
        {
            let text = value.iter().map(|byte| char::from(*byte));
            match &mut joined {
                None => joined = Some(text.collect()),
                Some(joined) => {
                    joined.push_str(", ");
                    joined.extend(text);
                }
            }
        }
        joined
    }
}
