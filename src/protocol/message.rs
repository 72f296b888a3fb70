//! What a message is.

use super::frame::Opcode;

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

impl Kind {
    /// That of the message that a frame of this opcode begins, if it begins one.
    #[must_use]
    #[inline]
    pub const fn of(opcode: Opcode) -> Option<Self> {
        match opcode {
            Opcode::Text => Some(Self::Text),
            Opcode::Binary => Some(Self::Binary),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => None,
        }
    }

    /// That of a whole message in one frame, by the frame's first byte.
    #[must_use]
    pub fn of_frame(first: u8) -> Self {
        // Whatever else there is begins no message.
        Opcode::of(first).and_then(Self::of).unwrap_or(Self::Binary)
    }

    /// The opcode of its first frame.
    #[must_use]
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}
