//! What was read and could not be looked at yet.

use crate::protocol::account::{Account, Exhausted};

/// Bytes that are kept until they are looked at, from `at` on.
#[derive(Debug, Default)]
pub struct Rest {
    bytes: Vec<u8>,
    at: usize,
    charged: usize,
}

impl Rest {
    /// Keeps `bytes`.
    pub(super) fn new(bytes: Vec<u8>, account: &mut Account) -> Result<Self, Exhausted> {
        let charged = bytes.capacity();
        account.charge(charged)?;
        Ok(Self {
            bytes,
            at: 0,
            charged,
        })
    }

    /// Keeps what came after them.
    pub(super) fn append(&mut self, more: &[u8], account: &mut Account) -> Result<(), Exhausted> {
        if self.bytes.capacity() - self.bytes.len() < more.len() {
            let capacity = (self.bytes.len() + more.len()).max(2 * self.bytes.capacity());
            account.charge(capacity - self.charged)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
            self.charged = capacity;
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Whether everything was looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// What is yet to be looked at.
    pub fn unread(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..]
    }

    /// The next `len` bytes were looked at.
    pub(super) const fn advance(&mut self, len: usize) {
        self.at += len;
    }

    /// Gives the charge back.
    pub(super) fn release(self, account: &mut Account) {
        account.release(self.charged);
    }
}
