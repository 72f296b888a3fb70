//! Waiting for what a client's connection does.

use super::Client;
use crate::queue::Until;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

impl Client {
    /// The wait until all that is queued now is on the wire, or the client gone, whatever is sent meanwhile.
    #[must_use]
    pub fn flushed(self: &Arc<Self>) -> Waiting {
        // Without one nothing was sent to it.
        let until = self.queue.get().map(|queue| queue.flushed());
        Waiting::new(self, until.unwrap_or(Until::Released(0)))
    }

    /// The wait until the connection has ended.
    #[must_use]
    pub fn at_end(self: &Arc<Self>) -> Waiting {
        Waiting::new(self, Until::Ended)
    }
}

/// The wait for what is in the send queue, or for the client's end: of a task, which may drop it at any time, or of a
/// thread.
#[derive(Debug)]
pub struct Waiting {
    client: Arc<Client>,
    until: Until,
    key: Option<u64>,
}

impl Waiting {
    fn new(client: &Arc<Client>, until: Until) -> Self {
        Self {
            client: client.clone(),
            until,
            key: None,
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let queue = self.client.waited_for(self.until);
        queue.is_none_or(|queue| queue.is(self.until))
    }

    /// Waits in this thread: `false` at the deadline. `None` waits for ever.
    #[must_use]
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let queue = self.client.waited_for(self.until);
        queue.is_none_or(|queue| queue.wait(self.until, deadline))
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { client, until, key } = &mut *self;
        match client.waited_for(*until) {
            Some(queue) => queue.poll(*until, cx, key),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let (Some(key), Some(queue)) = (self.key, self.client.queue.get()) {
            queue.forget(key);
        }
    }
}
