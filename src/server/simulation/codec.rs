//! A client that compresses: zlib's contexts for both directions, and the frames that carry what they make.

use super::frame;
use zlib_rs::{DeflateFlush, Inflate, InflateFlush};

/// RSV1, which tells a compressed message.
pub(super) const COMPRESSED: u8 = 0x40;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The client's two contexts.
pub(super) struct Codec {
    deflate: zlib_rs::Deflate,
    inflate: Inflate,
    takeover: bool,
}

impl Codec {
    pub(super) fn new(takeover: bool) -> Self {
        Self {
            deflate: zlib_rs::Deflate::new(6, false, 15),
            inflate: Inflate::new(false, 15),
            takeover,
        }
    }

    /// A compressed message in one frame.
    pub(super) fn frame(&mut self, first: u8, message: impl AsRef<[u8]>) -> Vec<u8> {
        if !self.takeover {
            self.deflate.reset();
        }
        let message = message.as_ref();
        let mut out = vec![0; message.len() + 1000];
        let before = self.deflate.total_out();
        let flush = DeflateFlush::SyncFlush;
        self.deflate.compress(message, &mut out, flush).unwrap();
        out.truncate(usize::try_from(self.deflate.total_out() - before).unwrap());
        // Not there for an empty message after another.
        if out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        } else {
            assert!(out.is_empty());
            out = vec![0];
        }
        frame(first | COMPRESSED, out)
    }

    /// A frame of the server's as the message that it is; its first byte still says whether it was compressed.
    pub(super) fn message(&mut self, (first, payload): (u8, Vec<u8>)) -> (u8, Vec<u8>) {
        if first & COMPRESSED == 0 {
            return (first, payload);
        }
        if !self.takeover {
            self.inflate.reset(false);
        }
        let wire = [&payload[..], &TAIL].concat();
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let mut out = vec![0; 4 << 10];
        loop {
            let since = |total: u64, before: u64| usize::try_from(total - before).unwrap();
            let end = since(self.inflate.total_out(), written);
            let rest = &wire[since(self.inflate.total_in(), read)..];
            if end < out.len() && rest.is_empty() {
                out.truncate(end);
                break;
            }
            out.resize(2 * out.len(), 0);
            let flush = InflateFlush::SyncFlush;
            let inflated = self.inflate.decompress(rest, &mut out[end..], flush);
            inflated.unwrap();
        }
        (first, out)
    }
}
