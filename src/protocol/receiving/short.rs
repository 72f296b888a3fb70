//! The short path: messages that lie whole in the window, each put where its echo can be sent as it lies.
//!
//! The rules of `begin` (`header.rs`) and `Sender::reply` are here once more; `docs/design.md` says which stand where.

use super::event::Event;
use crate::protocol::frame;
use crate::protocol::masking;
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;

/// Bytes of a client's header for a payload of up to 125 bytes.
pub(super) const HEADER: usize = frame::MIN_CLIENT_HEADER;

/// The common case, told by its first bytes: an unfragmented message of up to 125 bytes, all of it here. Everything
/// else goes the long way.
#[inline]
pub(super) fn message(bytes: &[u8]) -> Option<(Kind, usize, [u8; 4])> {
    let [
        first @ (0x81 | 0x82),
        second @ 0x80..=0xfd,
        k0,
        k1,
        k2,
        k3,
        payload @ ..,
    ] = bytes
    else {
        return None;
    };
    // There are just these two here: a kind more goes the long way.
    let kind = if *first == 0x81 {
        Kind::Text
    } else {
        Kind::Binary
    };
    let len = usize::from(second & 0x7f);
    (len <= payload.len()).then_some((kind, len, [*k0, *k1, *k2, *k3]))
}

/// A message in one frame, whose payload of `len` bytes begins at the window's read position.
#[inline]
pub(super) fn whole(
    window: &mut Window<'_>,
    kind: Kind,
    len: usize,
    key: [u8; 4],
) -> Result<Event, Violation> {
    let to = window
        .read
        .min(window.write + frame::server_header_len(len));
    masking::unmask(window.bytes, window.read, to, len, key);
    window.read += len;
    let payload = to..to + len;
    if kind == Kind::Text && std::str::from_utf8(&window.bytes[payload.clone()]).is_err() {
        return Err(Violation::TEXT);
    }
    Ok(Event::Message {
        kind,
        parts: Partial::NEW,
        payload,
    })
}

/// Echoes the short messages of up to `limit` bytes at the window's read position, each where it lies, up to the first
/// frame that is anything else; `count` hears of each. The output has to end at the window's write position.
///
/// # Errors
/// 1007 for text that is no UTF-8.
#[inline]
pub(super) fn echo(
    window: &mut Window<'_>,
    limit: usize,
    mut count: impl FnMut(Kind, usize),
) -> Result<(), Violation> {
    let mut echoed = Ok(());
    // In registers; in the window they would be stored and loaded for each message.
    let bytes = &mut *window.bytes;
    let (mut read, mut write) = (window.read, window.write);
    while let Some((kind, len, key)) = message(&bytes[read..])
        && len <= limit
    {
        read += HEADER;
        let payload = write + 2..write + 2 + len;
        masking::unmask(bytes, read, payload.start, len, key);
        read += len;
        if kind == Kind::Text && std::str::from_utf8(&bytes[payload.clone()]).is_err() {
            echoed = Err(Violation::TEXT);
            break;
        }
        let header = &mut bytes[write..payload.start];
        frame::write_server_header(header, true, kind.opcode(), len);
        write = payload.end;
        count(kind, len);
    }
    (window.read, window.write) = (read, write);
    echoed
}
