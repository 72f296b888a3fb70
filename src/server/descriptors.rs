//! The sockets of a server that was not started yet, as numbers, for who wants to know whether clients wait there.

use super::{Server, State, lock};
use std::os::fd::{AsRawFd, RawFd};

impl Server {
    /// The sockets that it listens on, as long as it was not started.
    #[must_use]
    pub fn descriptors(&self) -> Vec<RawFd> {
        match &*lock(&self.state) {
            State::Bound(listeners) => listeners.iter().map(|one| one.raw().as_raw_fd()).collect(),
            State::Started(_) | State::Finished => Vec::new(),
        }
    }
}
