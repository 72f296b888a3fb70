//! The head of an HTTP/1 request as text: its request line, its header lines, and the small grammars that the
//! handshake needs.
//!
//! Two readers share this file. `check` in `handshake` wants to know whether bytes of a stranger are well formed and,
//! if not, at which byte they stopped being so; what a fault costs is decided there. [`Head`](super::head::Head) shows an accepted
//! request to whoever asks later.
//!
//! Strategy of everything that finds fault: it looks at the bytes in order and names the first one that cannot belong
//! to a request, so an answer that was right for the first part of a request stays right when the rest arrives.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// What is wrong with a request, in one line of text for the peer.
pub(super) type Flaw = Cow<'static, str>;

/// The versions that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    OneZero,
    OneOne,
    /// Well-formed, and not ours: 0.9, 1.2, 2, 2.0 and the like.
    Other,
}

/// A complete request line.
#[derive(Debug)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) version: Version,
    /// Bytes up to and with the line's CRLF, an ignored empty line before it included.
    pub(super) len: usize,
}

/// Reads the request line; `None` while it is incomplete and nothing is wrong with it so far.
///
/// One empty line before it is skipped (RFC 9112 section 2.2). The method must begin with an upper-case letter, as
/// every registered one does: that tells a chat protocol or a stray line of text from HTTP at its first byte.
pub(super) fn request_line(bytes: &[u8]) -> Result<Option<RequestLine<'_>>, Flaw> {
    let skipped = match bytes {
        [b'\r', b'\n', ..] => 2,
        [b'\r'] => return Ok(None),
        _ => 0,
    };
    let line = &bytes[skipped..];
    match line.first() {
        None => return Ok(None),
        Some(b'A'..=b'Z') => {}
        Some(0x16) => {
            return Err("a TLS handshake on a port without TLS: use ws:// and not wss://".into());
        }
        Some(_) => {
            return Err(
                "this is not an HTTP request: it must begin with a method such as GET".into(),
            );
        }
    }

    let Some((method, rest)) = split_where(line, |byte| !is_token_byte(byte)) else {
        return Ok(None);
    };
    let Some(rest) = rest.strip_prefix(b" ") else {
        return Err("this is not an HTTP request: a method must be followed by one space".into());
    };

    let Some((target, rest)) =
        split_where(rest, |byte| !matches!(byte, b'!'..=b'~') || byte == b'#')
    else {
        return Ok(None);
    };
    let rest = match rest {
        [b' ', rest @ ..] if !target.is_empty() => rest,
        [b' ', ..] => return Err("the request line has two spaces in a row, or no target".into()),
        [b'#', ..] => {
            return Err(
                "the request target contains #, and a fragment is never sent (RFC 6455 section 3)"
                    .into(),
            );
        }
        [b'\r' | b'\n', ..] => {
            return Err("the request line does not end with an HTTP version".into());
        }
        _ => return Err("the request target contains a byte outside visible ASCII".into()),
    };

    let Some((version, rest)) = version(rest)? else {
        return Ok(None);
    };
    match rest {
        [b'\r'] => Ok(None),
        [b'\r', b'\n', rest @ ..] => Ok(Some(RequestLine {
            method: str::from_utf8(method).unwrap_or_default(),
            target: str::from_utf8(target).unwrap_or_default(),
            version,
            len: bytes.len() - rest.len(),
        })),
        [b'\r', ..] => Err(LONE_CR.into()),
        _ => Err(LONE_LF.into()),
    }
}

const LONE_CR: &str = "a CR is not followed by LF";
const LONE_LF: &str = "a line ends with LF alone instead of CRLF (RFC 9112 section 2.2)";

/// Reads `HTTP/` and a number; what is left begins with the line's end.
fn version(bytes: &[u8]) -> Result<Option<(Version, &[u8])>, Flaw> {
    const NAME: &[u8] = b"HTTP/";
    let malformed =
        || Err("the request line does not end with an HTTP version such as HTTP/1.1".into());

    let Some(number) = bytes.strip_prefix(NAME) else {
        return if NAME.starts_with(bytes) {
            Ok(None)
        } else {
            malformed()
        };
    };
    match split_where(number, |byte| !matches!(byte, b'0'..=b'9' | b'.')) {
        None => Ok(None),
        Some((number, rest)) => match (number, rest) {
            ([b'0'..=b'9', ..], [b'\r' | b'\n', ..]) => {
                let version = match number {
                    b"1.0" => Version::OneZero,
                    b"1.1" => Version::OneOne,
                    _ => Version::Other,
                };
                Ok(Some((version, rest)))
            }
            _ => malformed(),
        },
    }
}

/// Finds the first fault in header lines, of which the last may be incomplete. Looks at no more than `lines` lines,
/// and not past the empty line that ends them.
pub(super) fn flaw_in_fields(fields: &[u8], lines: usize) -> Option<Flaw> {
    fields
        .split_inclusive(|byte| *byte == b'\n')
        .take(lines)
        .take_while(|line| *line != b"\r\n")
        .find_map(flaw_in_field)
}

/// Whether an LF has no CR before it; httparse takes such lines.
pub(super) fn has_bare_lf(head: &[u8]) -> bool {
    head.first() == Some(&b'\n')
        || head
            .windows(2)
            .any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

/// The first fault in one header line, which ends with its LF or where the bytes end.
fn flaw_in_field(line: &[u8]) -> Option<Flaw> {
    let (name, rest) = split_where(line, |byte| !is_token_byte(byte))?;
    let name = shortened(str::from_utf8(name).unwrap_or_default());
    let value = match (name, rest) {
        (_, [b':', value @ ..]) if !name.is_empty() => value,
        (_, []) | ("", [b'\r']) => return None,
        ("", [b' ' | b'\t', ..]) => {
            return Some(
                "a header line begins with white space: line folding is not accepted".into(),
            );
        }
        (_, [b' ' | b'\t', ..]) => {
            return Some(
                format!("white space between the header name {name} and its colon").into(),
            );
        }
        ("", [b'\r', ..]) => return Some(LONE_CR.into()),
        ("", [b'\n', ..]) => return Some(LONE_LF.into()),
        (_, [b'\r' | b'\n', ..]) => {
            return Some(format!("the header line {name} has no colon").into());
        }
        ("", [b':', ..]) => return Some("a header line has no name before its colon".into()),
        (_, [byte, ..]) => {
            return Some(format!("a header name contains the byte {byte:#04x}").into());
        }
    };
    let (_, end) = split_where(value, |byte| !is_value_byte(byte))?;
    match end {
        b"\r\n" | b"\r" | [] => None,
        [b'\r', ..] => Some(LONE_CR.into()),
        [b'\n', ..] => Some(LONE_LF.into()),
        [byte, ..] => {
            Some(format!("the value of {name} contains the control byte {byte:#04x}").into())
        }
    }
}

/// The beginning of a name that the peer chose, to be quoted to it.
pub(super) fn shortened(name: &str) -> &str {
    name.get(..40).unwrap_or(name)
}

/// Splits before the first byte that meets the condition; `None` where there is none.
pub(super) fn split_where(bytes: &[u8], condition: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| condition(*byte))?;
    Some(bytes.split_at(at))
}

/// `token` characters of RFC 9110 section 5.6.2, one look-up each.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Visible characters, space, tab, and the bytes above ASCII that HTTP lets pass.
fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Whether this is a `token`: what header names, methods and subprotocols are made of.
#[must_use]
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// The elements of a comma-separated list, empty ones left out (RFC 9110 section 5.6.1).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether this is `host` or `host:port` with nothing around it: a name, an IPv4 address, or an IPv6 address in
/// brackets. That may have a zone, which is of no meaning here: clients send it although it is theirs alone, as it is
/// (Python's) or as RFC 6874 writes it in a URL.
///
/// A comma, which RFC 3986 would let pass, is refused: it only ever comes from two `Host` lines that a proxy joined.
pub(super) fn is_host(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else {
        return false;
    };
    let (is_good, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let (address, zone) = match address.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (address, None),
        };
        let is_good =
            address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(|zone| is_zone(zone.as_bytes()));
        (is_good, port)
    } else {
        let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (is_registered_name(name.as_bytes()), port)
    };
    is_good && is_port_part(port)
}

/// Nothing, or a colon and a port, which may be empty (RFC 3986 section 3.2.3).
fn is_port_part(text: &str) -> bool {
    match text.strip_prefix(':') {
        None => text.is_empty(),
        Some(port) => {
            port.is_empty()
                || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
        }
    }
}

fn is_zone(zone: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    !zone.is_empty() && zone.iter().all(is_plain)
}

fn is_registered_name(name: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(byte);
    let mut parts = name.split(|byte| *byte == b'%');
    let before_percent = parts.next().unwrap_or_default();
    !name.is_empty()
        && before_percent.iter().all(is_plain)
        && parts.all(|part| {
            part.len() >= 2
                && part[..2].iter().all(u8::is_ascii_hexdigit)
                && part.iter().all(is_plain)
        })
}

/// Takes the absolute form (`ws://host/path?query`) apart: authority, and the rest, which may be empty.
pub(super) fn absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    ["ws", "wss", "http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
        .then(|| rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

/// Whether a request target may open a WebSocket: a path from `/`, or the absolute form with a good host.
pub(super) fn is_upgrade_target(target: &str) -> bool {
    target.starts_with('/')
        || absolute(target).is_some_and(|(authority, _)| is_host(authority.as_bytes()))
}

/// Whether this can be base64 of 16 bytes: 22 characters and two of padding. The four bits of the last character that
/// belong to no byte may be anything: decoders differ there, and the key is never decoded.
pub(super) fn is_key(key: &[u8]) -> bool {
    key.len() == 24
        && key.ends_with(b"==")
        && key[..22]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// A header that may be sent once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Sole<'a> {
    #[default]
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Sole<'a> {
    pub(super) fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// The value, of a header that must be sent exactly once.
    pub(super) fn required(self, name: &str) -> Result<&'a [u8], Flaw> {
        self.optional(name)?
            .ok_or_else(|| format!("there is no {name} header").into())
    }

    /// The value, of a header that must not be repeated.
    pub(super) fn optional(self, name: &str) -> Result<Option<&'a [u8]>, Flaw> {
        match self {
            Self::Absent => Ok(None),
            Self::Once(value) => Ok(Some(value)),
            Self::Repeated => Err(format!("there is more than one {name} header").into()),
        }
    }
}

#[cfg(test)]
mod tests;
