//! Messages as they are kept: the frames that would echo them, in a row.

use crate::protocol::frame::split_server_frame;
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

/// The first `count` messages in whole frames of a server.
pub(super) fn first(frames: &[u8], count: usize) -> &[u8] {
    split(frames, count).0
}

/// The last `count` of them.
pub(super) fn last(frames: &[u8], count: usize) -> &[u8] {
    split(frames, messages(frames).count().saturating_sub(count)).1
}

fn split(frames: &[u8], count: usize) -> (&[u8], &[u8]) {
    let mut rest = frames;
    for _ in 0..count {
        rest = split_server_frame(rest).map_or(&[], |(_, _, rest)| rest);
    }
    frames.split_at(frames.len() - rest.len())
}
