//! What was agreed: what a client may send, and how much of it at a time.
//!
//! Made once for all clients of a server, and given to the receiver of each; with whom something of its own is agreed, or
//! is changed later, has a copy. Knows no bytes: `receiving/header.rs` judges them by this.

use super::extensions::Agreed;
use super::limit::Limit;
use std::sync::Arc;

/// What a client may send.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// No message may be longer.
    pub message: Limit,
    /// No payload of one of its frames may be longer, if that is less.
    pub frame: Option<Limit>,
    /// Messages may come compressed: RSV1 has a meaning.
    pub deflate: Option<Agreed>,
}

impl Terms {
    /// The plain protocol, and no message longer than `message`.
    #[must_use]
    pub const fn new(message: Limit) -> Self {
        Self {
            message,
            frame: None,
            deflate: None,
        }
    }

    /// These, and what was agreed with one client. Mostly that is nothing, and there is one copy for all.
    #[must_use]
    pub fn with(self: &Arc<Self>, deflate: Option<Agreed>) -> Arc<Self> {
        if deflate.is_none() {
            return self.clone();
        }
        Arc::new(Self { deflate, ..**self })
    }

    /// These with other limits.
    #[must_use]
    pub fn limited(&self, message: Limit, frame: Limit) -> Self {
        Self {
            message,
            frame: (frame.bytes < message.bytes).then_some(frame),
            ..*self
        }
    }

    /// What a message in one frame may have.
    #[inline]
    pub(super) fn whole(&self) -> usize {
        self.frame.map_or(self.message.bytes, |frame| frame.bytes)
    }
}
