//! Close codes (RFC 6455 section 7.4 and the IANA registry), and which may stand in a close frame.

/// Normal closure.
pub const NORMAL: u16 = 1000;
/// The endpoint is going away.
pub const GOING_AWAY: u16 = 1001;
/// A protocol error.
pub const PROTOCOL_ERROR: u16 = 1002;
/// No status code was in the close frame; never on the wire.
pub const NO_STATUS: u16 = 1005;
/// The connection ended without a close frame; never on the wire.
pub const ABNORMAL: u16 = 1006;
/// Data that does not fit its type, such as text that is no UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// A policy of the endpoint was violated.
pub const POLICY: u16 = 1008;
/// The server can't do what it should.
pub const INTERNAL_ERROR: u16 = 1011;
/// A message too big to process.
pub const TOO_BIG: u16 = 1009;
/// The server can't go on for now; registered as "Try Again Later".
pub const TRY_AGAIN: u16 = 1013;

/// Whether `code` may stand in a close frame: 1000 to 1003, 1007 to 1014 and 3000 to 4999.
#[must_use]
pub const fn is_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for code in [
            1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert!(is_valid(code), "{code}");
        }
        for code in [
            0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            assert!(!is_valid(code), "{code}");
        }
    }
}
