//! RFC 6455 and RFC 7692 without I/O: bytes in, events and bytes out.
//!
//! Knows nothing of tokio, sockets, clocks or Python, so every rule can be tested, fuzzed and measured with plain
//! byte slices. What a connection keeps between two reads is charged to an [`Account`](crate::memory::Account).

pub mod close;
pub mod deflate;
pub mod extensions;
pub mod frame;
pub mod handshake;
pub mod message;
pub mod partial;
mod request;
pub mod response;
pub mod utf8;

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

    /// A message beyond `max_message_size`: close code 1009.
    pub(crate) fn too_big(limit: usize) -> Self {
        Self {
            code: close::TOO_BIG,
            reason: format!("message exceeds max_message_size of {limit} bytes").into(),
        }
    }

    /// The close frame that tells it.
    pub(crate) fn close_frame(&self) -> Vec<u8> {
        frame::server_frame(
            frame::Opcode::Close,
            &close::payload(self.code, &self.reason),
        )
    }

    /// Memory that is not to be had under `memory_limit`: close code 1013.
    pub(crate) fn no_memory(limit: usize) -> Self {
        Self {
            code: close::TRY_AGAIN,
            reason: format!("memory_limit of {limit} bytes is used up, try again later").into(),
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
