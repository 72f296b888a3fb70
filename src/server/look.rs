//! A look for replies that are ready while the handler is busy with something else: a moment after others came, and again
//! while there are some.

use crate::client::Letter;
use crate::handler::Handler;
use crate::mailbox::Mailbox;
use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::time::sleep;

/// The runtime's timers go by whole milliseconds, so this is the next one of them; its wait for events rounds up as well: a
/// look comes 1 to 2 ms later.
const MOMENT: Duration = Duration::from_micros(1);

/// A worker's looks.
#[derive(Default)]
pub(super) struct Look {
    is_due: Cell<bool>,
    /// The task that looks, if it sleeps.
    keeper: Cell<Option<Waker>>,
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look")
            .field("is_due", &self.is_due.get())
            .finish_non_exhaustive()
    }
}

impl Look {
    /// Has somebody look in a moment.
    pub(super) fn soon(&self) {
        if !self.is_due.replace(true)
            && let Some(keeper) = self.keeper.take()
        {
            keeper.wake();
        }
    }

    /// Looks; never ends.
    pub(super) async fn keep(
        self: Rc<Self>,
        handler: Arc<dyn Handler>,
        orders: Arc<Mailbox<Letter>>,
    ) {
        loop {
            poll_fn(|cx| {
                if self.is_due.get() {
                    return Poll::Ready(());
                }
                self.keeper.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            sleep(MOMENT).await;
            self.is_due.set(handler.on_look(&orders));
        }
    }
}
