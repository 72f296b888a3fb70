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
    /// That of a whole message in one frame, by the frame's first byte.
    #[must_use]
    pub const fn of_frame(first: u8) -> Self {
        if first & 0x0f == Opcode::Text as u8 {
            Self::Text
        } else {
            Self::Binary
        }
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
