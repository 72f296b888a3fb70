//! What is charged for a client, kept by who keeps something of it that waits.

use super::Client;
use std::sync::Arc;

/// Keeps what is charged for a client that something waits of.
#[derive(Debug)]
pub struct Held(Arc<Client>);

impl Held {
    /// Bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.charge.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.charge.let_go();
    }
}

impl Client {
    /// Keeps what is charged for this client until the last who has it lets go: for those who keep something of the
    /// client that waits. `None` after its end, unless somebody has it.
    #[must_use]
    pub fn charge(self: &Arc<Self>) -> Option<Held> {
        self.charge.keep().then(|| Held(self.clone()))
    }
}
