//! Who wants to be told when something is on the wire, without waiting for it: by an event, among the others.

use super::events::Event;
use super::link::Link;
use super::lock::lock;
use crate::client::Client;
use crate::client::waiting::Waiting;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

pub(super) struct Flushing {
    link: Arc<Link>,
    client: Arc<Client>,
    /// Until it is told. The waker that this has is the only owner of all this meanwhile.
    waiting: Mutex<Option<Waiting>>,
}

impl Flushing {
    /// Begins to wait for what is in the client's send queue now.
    pub(super) fn begin(link: Arc<Link>, client: &Arc<Client>) {
        let waiting = Mutex::new(Some(client.flushed()));
        let client = client.clone();
        Arc::new(Self {
            link,
            client,
            waiting,
        })
        .look();
    }

    fn look(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut waiting = lock(&self.waiting);
        let polled = waiting
            .as_mut()
            .map(|waiting| Pin::new(waiting).poll(&mut Context::from_waker(&waker)));
        if polled != Some(Poll::Ready(())) {
            return;
        }
        let over = waiting.take();
        drop(waiting);
        // Without the lock: what it waited with may have the last reference to this.
        drop(over);
        let charge = self.client.charge();
        let event = Event::Written(self.client.clone(), charge);
        self.link.events.push(event);
    }
}

impl Wake for Flushing {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}
