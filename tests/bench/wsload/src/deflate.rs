//! permessage-deflate (RFC 7692), the client's side: messages compressed beforehand, each on its own so that they can
//! be sent again, and what comes back inflated with or without a context that is taken over.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

const LEVEL: u32 = 6;
const MAX_WINDOW: u8 = 15;
/// The end of every message, which is not sent (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// What is asked of the server.
#[derive(Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) window_bits: u8,
    pub(crate) takeover: bool,
}

impl Offer {
    /// The value of the request's header line.
    pub(crate) fn header(self) -> String {
        let no_takeover = if self.takeover {
            ""
        } else {
            "; server_no_context_takeover"
        };
        format!(
            "permessage-deflate; client_no_context_takeover; server_max_window_bits={}{no_takeover}",
            self.window_bits
        )
    }

    /// Whether the response's line grants it as it was made, so that all servers do the same work.
    pub(crate) fn check(self, granted: &str) -> Result<(), String> {
        let mut parts = granted.split(';').map(str::trim);
        let is_deflate = parts.next() == Some("permessage-deflate");
        let (mut bits, mut takeover) = (MAX_WINDOW, true);
        for part in parts {
            match part.split_once('=') {
                Some(("server_max_window_bits", value)) => {
                    bits = value.trim_matches('"').parse().unwrap_or(0);
                }
                None if part == "server_no_context_takeover" => takeover = false,
                None if part == "client_no_context_takeover" => {}
                _ => return Err(format!("{part} was not offered")),
            }
        }
        if is_deflate && (bits, takeover) == (self.window_bits, self.takeover) {
            Ok(())
        } else {
            Err(format!("asked for {}, got {granted}", self.header()))
        }
    }
}

/// One message, without a context.
pub(crate) fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut state = Compress::new_with_window_bits(Compression::new(LEVEL), false, MAX_WINDOW);
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 8 + 64);
    let status = state.compress_vec(payload, &mut out, FlushCompress::Sync);
    assert!(matches!(status, Ok(Status::Ok)) && out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out
}

/// The receiving side of a connection.
pub(crate) struct Inflater {
    state: Decompress,
    out: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self {
            state: Decompress::new_with_window_bits(false, MAX_WINDOW),
            out: Vec::with_capacity(64 << 10),
        }
    }

    /// Inflates a part of a message and hands on what comes of it, piece by piece.
    pub(crate) fn part(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        loop {
            self.out.clear();
            let before = self.state.total_in();
            let status = self
                .state
                .decompress_vec(bytes, &mut self.out, FlushDecompress::None);
            let status = status.map_err(|e| format!("inflate: {e}"))?;
            bytes = &bytes[(self.state.total_in() - before) as usize..];
            take(&self.out)?;
            // A block that says it is the last one may end a message (section 7.2.3.4).
            if status == Status::StreamEnd {
                self.state.reset(false);
                if bytes == TAIL {
                    return Ok(());
                }
            }
            if bytes.is_empty() && self.out.len() < self.out.capacity() {
                return Ok(());
            }
        }
    }

    /// Ends a message.
    pub(crate) fn end(
        &mut self,
        take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        self.part(&TAIL, take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deflated_is_inflated() {
        let text = "to be or not to be, ".repeat(20_000);
        let small = deflate(text.as_bytes());
        assert!(small.len() < text.len() / 50);
        let mut inflater = Inflater::new();
        for step in [1, 7, small.len()] {
            let mut came = vec![];
            let mut take = |piece: &[u8]| {
                came.extend_from_slice(piece);
                Ok(())
            };
            for part in small.chunks(step) {
                inflater.part(part, &mut take).unwrap();
            }
            inflater.end(&mut take).unwrap();
            assert_eq!(came, text.as_bytes());
        }
    }

    #[test]
    fn only_what_was_offered_is_accepted() {
        let offer = Offer {
            window_bits: 12,
            takeover: true,
        };
        let good = "permessage-deflate; client_no_context_takeover; server_max_window_bits=12";
        assert_eq!(offer.check(good), Ok(()));
        for bad in [
            "permessage-deflate",
            "permessage-deflate; server_max_window_bits=11",
            "permessage-deflate; server_max_window_bits=12; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            "x; server_max_window_bits=12",
        ] {
            assert!(offer.check(bad).is_err(), "{bad}");
        }
    }
}
