//! How many messages of each kind, and how long they were.

use super::frame::split_server_frame;
use super::message::Kind;
use std::ops::AddAssign;

/// Messages, and the bytes of their payloads: what was said, and not how it was framed or compressed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Messages.
    pub messages: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// An amount of each kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Text.
    pub text: Amount,
    /// Bytes: all that is no text.
    pub binary: Amount,
}

impl Tally {
    /// Adds a message of `len` bytes.
    #[inline]
    pub const fn add(&mut self, kind: Kind, len: usize) {
        self.add_times(kind, len, 1);
    }

    /// Adds it that many times.
    #[inline]
    pub const fn add_times(&mut self, kind: Kind, len: usize, times: usize) {
        let amount = self.of(kind);
        amount.messages += times as u64;
        amount.bytes += len as u64 * times as u64;
    }

    /// Takes a message back that was added, unless that was told already.
    pub const fn take_back(&mut self, kind: Kind, len: usize) {
        let amount = self.of(kind);
        amount.messages = amount.messages.saturating_sub(1);
        amount.bytes = amount.bytes.saturating_sub(len as u64);
    }

    /// Adds the messages in whole frames of a server, one in each.
    pub(crate) fn add_frames(&mut self, mut frames: &[u8]) {
        while let Some((first, payload, rest)) = split_server_frame(frames) {
            self.add(Kind::of_frame(first), payload.len());
            frames = rest;
        }
    }

    /// Those of both kinds together.
    #[must_use]
    pub const fn sum(&self) -> Amount {
        Amount {
            messages: self.text.messages + self.binary.messages,
            bytes: self.text.bytes + self.binary.bytes,
        }
    }

    /// Messages of both kinds.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.text.messages + self.binary.messages
    }

    #[inline]
    const fn of(&mut self, kind: Kind) -> &mut Amount {
        if matches!(kind, Kind::Text) {
            &mut self.text
        } else {
            &mut self.binary
        }
    }
}

impl AddAssign for Tally {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.text += other.text;
        self.binary += other.binary;
    }
}

impl AddAssign for Amount {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::{Opcode, server_frame};

    #[test]
    fn each_kind_has_its_messages_and_their_bytes() {
        let mut frames = server_frame(Opcode::Text, b"one");
        frames.extend(server_frame(Opcode::Binary, &[0; 300]));
        frames.extend(server_frame(Opcode::Text, b""));
        let mut tally = Tally::default();
        tally.add_frames(&frames);
        tally.add_times(Kind::Binary, 10, 3);
        tally.add(Kind::Text, 5);
        tally.take_back(Kind::Text, 5);
        let amount = |messages, bytes| Amount { messages, bytes };
        assert_eq!((tally.text, tally.binary), (amount(2, 3), amount(4, 330)));
        assert_eq!(tally.messages(), 6);
    }
}
