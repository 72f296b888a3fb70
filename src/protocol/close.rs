//! Close codes (RFC 6455 section 7.4 and the IANA registry): which may be sent, which may be received, and the
//! payload of a close frame.

use super::Violation;

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

/// What a close frame can carry beside the code: 125 bytes of control payload less two.
pub const MAX_REASON: usize = 123;

/// Whether `code` may stand in a close frame: 1000 to 1003, 1007 to 1014 and 3000 to 4999.
#[must_use]
pub const fn is_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A received close frame's code and reason; `None` for an empty frame.
///
/// # Errors
/// 1002 for a payload of one byte or a code that may not be sent, 1007 for a reason that is no UTF-8.
pub fn parse(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation::protocol(
            "close frame of one byte (RFC 6455 section 5.5.1)",
        )),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_valid(code) {
                let reason = format!("close code {code} may not be sent (RFC 6455 section 7.4)");
                return Err(Violation {
                    code: PROTOCOL_ERROR,
                    reason: reason.into(),
                });
            }
            match std::str::from_utf8(reason) {
                Ok(reason) => Ok(Some((code, reason))),
                Err(_) => Err(Violation::utf8(
                    "close reason is not UTF-8 (RFC 6455 section 5.5.1)",
                )),
            }
        }
    }
}

/// The payload of a close frame; a reason that is too long is cut at a character boundary.
#[must_use]
pub fn payload(code: u16, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    payload
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

    #[test]
    fn payloads_are_read() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03\xe8bye"), Ok(Some((1000, "bye"))));
        assert_eq!(parse(b"\x03").unwrap_err().code, PROTOCOL_ERROR);
        assert_eq!(parse(b"\x03\xed").unwrap_err().code, PROTOCOL_ERROR);
        assert_eq!(parse(b"\x03\xe8\xff").unwrap_err().code, INVALID_PAYLOAD);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let payload = payload(1000, &"é".repeat(80));
        assert_eq!(payload.len(), 2 + 122);
        assert!(std::str::from_utf8(&payload[2..]).is_ok());
    }
}
