//! A frame that many connections send.

use super::account::{Account, Exhausted, Memory};
use super::frame::{Opcode, server_frame, server_header_len};
use std::sync::Arc;

/// A whole frame that is there once for all who send it, and charged once, until the last of them has.
#[derive(Debug)]
pub struct SharedFrame {
    frame: Vec<u8>,
    opcode: Opcode,
    /// Where the payload begins.
    start: usize,
    /// Holds the charge.
    _account: Account,
}

impl SharedFrame {
    /// A frame, charged to `memory`.
    ///
    /// # Errors
    /// [`Exhausted`] if it does not fit.
    pub fn new(
        opcode: Opcode,
        payload: &[u8],
        memory: &Arc<Memory>,
    ) -> Result<Arc<Self>, Exhausted> {
        let start = server_header_len(payload.len());
        let mut account = Account::new(memory.clone());
        account.charge(start + payload.len())?;
        Ok(Arc::new(Self {
            frame: server_frame(opcode, payload),
            opcode,
            start,
            _account: account,
        }))
    }

    /// The frame as it is sent uncompressed.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.start..]
    }

    /// Its opcode.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        self.opcode
    }
}
