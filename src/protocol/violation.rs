//! What a connection has to be failed for.

use super::close::code;
use super::limit::Limit;
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
    /// A text message that is no UTF-8.
    pub(crate) const TEXT: Self = Self::utf8("text is not UTF-8 (RFC 6455 section 8.1)");

    /// A broken rule of the framing: close code 1002.
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self {
            code: code::PROTOCOL_ERROR,
            reason: Cow::Borrowed(reason),
        }
    }

    /// Bytes that are no UTF-8 where text is required: close code 1007.
    pub(crate) const fn utf8(reason: &'static str) -> Self {
        Self {
            code: code::INVALID_PAYLOAD,
            reason: Cow::Borrowed(reason),
        }
    }

    /// A message beyond the limit: close code 1009.
    pub(crate) fn message_too_big(limit: Limit) -> Self {
        Self::too_big("message", limit)
    }

    pub(crate) fn frame_too_big(limit: Limit) -> Self {
        Self::too_big("frame", limit)
    }

    fn too_big(what: &str, Limit { name, bytes }: Limit) -> Self {
        Self {
            code: code::TOO_BIG,
            reason: format!("{what} exceeds {name} of {bytes} bytes").into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}
