//! The payload of a close frame (RFC 6455 section 5.5.1), read and written.

pub mod code;

pub use self::code::*;

use super::violation::Violation;

/// What a close frame can carry beside the code: 125 bytes of control payload less two.
pub const MAX_REASON: usize = 123;

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
