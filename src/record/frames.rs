//! Messages as they are kept: the frames that would echo them, in a row.

use crate::protocol::frame::{self, MAX_SERVER_HEADER, split_server_frame};
use crate::protocol::message::Kind;

/// The messages in whole frames of a server.
pub fn messages(frames: &[u8]) -> impl Iterator<Item = (Kind, &[u8])> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let (first, payload, after) = split_server_frame(rest)?;
        rest = after;
        Some((Kind::of_frame(first), payload))
    })
}

/// Appends a message to `frames`.
pub(crate) fn push<'a>(
    frames: &mut Vec<u8>,
    kind: Kind,
    len: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) {
    let mut header = [0; MAX_SERVER_HEADER];
    let header_len = frame::write_server_header(&mut header, true, kind.opcode(), len);
    frames.reserve(header_len + len);
    frames.extend_from_slice(&header[..header_len]);
    pieces.for_each(|piece| frames.extend_from_slice(piece));
}
