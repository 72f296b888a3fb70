//! Which extension is spoken (RFC 6455 section 9, RFC 7692 section 5): the client's offers, in its order of preference,
//! against what this server is set to. The only extension there is is `permessage-deflate`.
//!
//! An offer is declined, and the next one looked at, when it has a parameter that is unknown, doubled or out of its
//! range, or that can't be kept. Bytes that are no list of extensions at all are the client's error (section 9.1).

use super::request::{is_token, is_token_byte};
use std::fmt;

/// The settings of `permessage-deflate`: what the server does whatever is offered, and the most that it agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// The server forgets each message after compressing it. Default `false`.
    pub server_no_context_takeover: bool,
    /// The client is told to do so. Default `false`.
    pub client_no_context_takeover: bool,
    /// The server's window is at most two to the power of this, in bytes: 9 to 15. Default 15, the format's most.
    pub server_max_window_bits: u8,
    /// The client's window, as far as the client lets itself be told: 9 to 15. Default 15.
    pub client_max_window_bits: u8,
    /// zlib's level: 0 (none) to 9. Default 6, as zlib's.
    pub level: u8,
    /// Messages of fewer bytes are sent uncompressed. Default 0, so that who tests compression sees it.
    pub threshold: usize,
}

/// Windows in bits. zlib has no 8 to compress with: it takes 9 and says so only in a zlib header, which is not sent.
const MIN_BITS: u8 = 9;
const MAX_BITS: u8 = 15;
const MAX_LEVEL: u8 = 9;

impl Default for Deflate {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: MAX_BITS,
            client_max_window_bits: MAX_BITS,
            level: 6,
            threshold: 0,
        }
    }
}

impl Deflate {
    /// Checks the values.
    ///
    /// # Errors
    /// The parameter, its value and the reason.
    pub fn check(&self) -> Result<(), (&'static str, u8, &'static str)> {
        const BITS: &str = "must be 9 to 15";
        for (name, value, range, reason) in [
            (
                "server_max_window_bits",
                self.server_max_window_bits,
                MIN_BITS..=MAX_BITS,
                BITS,
            ),
            (
                "client_max_window_bits",
                self.client_max_window_bits,
                MIN_BITS..=MAX_BITS,
                BITS,
            ),
            ("level", self.level, 0..=MAX_LEVEL, "must be 0 to 9"),
        ] {
            if !range.contains(&value) {
                return Err((name, value, reason));
            }
        }
        Ok(())
    }

    /// What comes of one offer; `None`: it is declined.
    fn answer(&self, offer: &Offer) -> Option<Agreed> {
        let server_bits = match offer.server_max_window_bits {
            Some(bits) if bits < MIN_BITS => return None,
            Some(bits) => bits.min(self.server_max_window_bits),
            None => self.server_max_window_bits,
        };
        // Whose offer does not name it can't be told (RFC 7692 section 7.1.2.2).
        let offered_bits = match offer.client_max_window_bits {
            ClientBits::Unnamed => None,
            ClientBits::Any => Some(MAX_BITS),
            ClientBits::Most(bits) => Some(bits),
        };
        let client_bits = offered_bits
            .unwrap_or(MAX_BITS)
            .min(offered_bits.map_or(MAX_BITS, |_| self.client_max_window_bits));
        Some(Agreed {
            server_no_context_takeover: self.server_no_context_takeover
                || offer.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || offer.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
            names_server_bits: server_bits < MAX_BITS || offer.server_max_window_bits.is_some(),
        })
    }
}

/// `permessage-deflate` as agreed. Its text is the value of the response's `Sec-WebSocket-Extensions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The server's messages are compressed each on its own.
    pub server_no_context_takeover: bool,
    /// The client's are.
    pub client_no_context_takeover: bool,
    /// 9 to 15.
    pub server_max_window_bits: u8,
    /// 8 to 15.
    pub client_max_window_bits: u8,
    names_server_bits: bool,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate")?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if self.names_server_bits {
            write!(
                f,
                "; server_max_window_bits={}",
                self.server_max_window_bits
            )?;
        }
        // Less than the most only if the offer has named it.
        if self.client_max_window_bits < MAX_BITS {
            write!(
                f,
                "; client_max_window_bits={}",
                self.client_max_window_bits
            )?;
        }
        Ok(())
    }
}

/// The lines of `Sec-WebSocket-Extensions`, which are one list, as they come.
#[derive(Debug, Default, Clone, Copy)]
pub struct Negotiation {
    agreed: Option<Agreed>,
    is_malformed: bool,
}

impl Negotiation {
    /// Takes one line's value. Without settings it is only checked for its form.
    pub fn add(&mut self, value: &[u8], settings: Option<&Deflate>) {
        let mut rest = value;
        loop {
            rest = rest.trim_ascii_start();
            match rest.first() {
                None => return,
                // Empty elements are left out (RFC 9110 section 5.6.1).
                Some(b',') => rest = &rest[1..],
                Some(_) => {
                    let Some((offer, after)) = Offer::parse(rest) else {
                        self.is_malformed = true;
                        return;
                    };
                    rest = after;
                    if let (None, Some(offer), Some(settings)) = (self.agreed, offer, settings) {
                        self.agreed = settings.answer(&offer);
                    }
                }
            }
        }
    }

    /// What was agreed.
    ///
    /// # Errors
    /// For the client to read, when a line was no list of extensions.
    pub fn verdict(&self) -> Result<Option<Agreed>, &'static str> {
        if self.is_malformed {
            return Err(
                "the Sec-WebSocket-Extensions header is not a list of extensions (RFC 6455 section 9.1)",
            );
        }
        Ok(self.agreed)
    }
}

/// One offer of `permessage-deflate` whose parameters are all good.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: ClientBits,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum ClientBits {
    #[default]
    Unnamed,
    Any,
    Most(u8),
}

impl Offer {
    /// One element of the list and what follows it; the offer is `None` if it is for something else or has to be
    /// declined. `None` altogether: the bytes break the grammar.
    fn parse(element: &[u8]) -> Option<(Option<Self>, &[u8])> {
        let (name, mut rest) = token(element)?;
        let mut offer = (name == b"permessage-deflate").then(Self::default);
        loop {
            rest = rest.trim_ascii_start();
            match rest.split_first() {
                None => return Some((offer, rest)),
                Some((b',', after)) => return Some((offer, after)),
                Some((b';', after)) => {
                    let (name, after) = token(after.trim_ascii_start())?;
                    let (value, after) = value(after)?;
                    offer = offer.and_then(|offer| offer.with(name, value.as_deref()));
                    rest = after;
                }
                Some(_) => return None,
            }
        }
    }

    /// With one parameter more; `None` if it can't be accepted.
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        match name {
            b"server_no_context_takeover" => {
                if self.server_no_context_takeover || value.is_some() {
                    return None;
                }
                self.server_no_context_takeover = true;
            }
            b"client_no_context_takeover" => {
                if self.client_no_context_takeover || value.is_some() {
                    return None;
                }
                self.client_no_context_takeover = true;
            }
            b"server_max_window_bits" => {
                if self.server_max_window_bits.is_some() {
                    return None;
                }
                self.server_max_window_bits = Some(window_bits(value?)?);
            }
            b"client_max_window_bits" => {
                if self.client_max_window_bits != ClientBits::Unnamed {
                    return None;
                }
                self.client_max_window_bits = match value {
                    None => ClientBits::Any,
                    Some(value) => ClientBits::Most(window_bits(value)?),
                };
            }
            _ => return None,
        }
        Some(self)
    }
}

/// A decimal from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// A token and what follows it.
fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = bytes
        .iter()
        .position(|byte| !is_token_byte(*byte))
        .unwrap_or(bytes.len());
    (len > 0).then(|| bytes.split_at(len))
}

/// The value of a parameter, if it has one, and what follows it. A quoted value has to be a token without its quotes
/// (RFC 6455 section 9.1).
fn value(bytes: &[u8]) -> Option<(Option<Vec<u8>>, &[u8])> {
    let Some(rest) = bytes.trim_ascii_start().strip_prefix(b"=") else {
        return Some((None, bytes));
    };
    let rest = rest.trim_ascii_start();
    let Some(mut rest) = rest.strip_prefix(b"\"") else {
        let (value, rest) = token(rest)?;
        return Some((Some(value.to_vec()), rest));
    };
    let mut value = Vec::new();
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => break,
            b'\\' => {
                let (escaped, after) = rest.split_first()?;
                value.push(*escaped);
                rest = after;
            }
            byte => value.push(*byte),
        }
    }
    is_token(&value).then_some((Some(value), rest))
}

#[cfg(test)]
mod tests;
