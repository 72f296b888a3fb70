//! RFC 6455 and RFC 7692 without I/O: bytes in, events and bytes out.
//!
//! Knows nothing of tokio, sockets, clocks or Python, so every rule can be tested, fuzzed and measured with plain
//! byte slices. What a connection keeps between two reads is charged to an [`Account`](crate::protocol::account::Account).

pub mod account;
pub mod broadcast;
pub mod close;
pub mod deflate;
pub mod extensions;
pub mod frame;
pub mod handshake;
pub mod head;
pub mod http;
pub mod message;
pub mod partial;
pub mod request;
pub mod sending;
pub mod utf8;
pub mod window;

use self::account::Limit;
use std::borrow::Cow;
use std::fmt;

/// Why a connection has to be failed: the close code and the reason that go into the close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Close code (RFC 6455 section 7.4).
    pub code: u16,
    /// Names the rule or the limit; at most 123 bytes.
    pub reason: Cow<'static, str>,
}

impl Violation {
    /// A broken rule of the framing: close code 1002.
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self {
            code: close::PROTOCOL_ERROR,
            reason: Cow::Borrowed(reason),
        }
    }

    /// Bytes that are no UTF-8 where text is required: close code 1007.
    pub(crate) const fn utf8(reason: &'static str) -> Self {
        Self {
            code: close::INVALID_PAYLOAD,
            reason: Cow::Borrowed(reason),
        }
    }

    /// A message beyond the limit: close code 1009.
    pub(crate) fn too_big(limit: Limit) -> Self {
        let Limit { name, bytes } = limit;
        Self {
            code: close::TOO_BIG,
            reason: format!("message exceeds {name} of {bytes} bytes").into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_protocol_does_no_io() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol");
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.ends_with("tests.rs") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let name = ["to", "kio::"].concat();
                assert!(!text.contains(&name), "{} names {name}", path.display());
            }
        }
    }
}
