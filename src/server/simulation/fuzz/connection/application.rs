//! What the application orders and sends.

use super::{MARK, Play};
use crate::client::Client;
use crate::order::Order;
use crate::order::SendError;
use crate::protocol::message::Kind;
use std::sync::Arc;

impl Play<'_> {
    /// The client, once it has come in, as long as it is there.
    pub(super) fn client(&mut self) -> Option<Arc<Client>> {
        if self.client.is_none() {
            self.client = self.simulation.server.clients().pop();
        }
        self.client.clone()
    }

    pub(super) fn order(
        &mut self,
        make: impl FnOnce(&Arc<Client>) -> Result<Order, SendError>,
    ) -> bool {
        let Some(client) = self.client() else {
            return false;
        };
        let Ok(order) = make(&client) else {
            return false;
        };
        client.order(order);
        true
    }

    pub(super) fn send(&mut self, size: usize, variant: usize) {
        self.number += 1;
        let number = self.number.to_be_bytes();
        let payload = [MARK, &number[..], &vec![b'y'; size * size / 4][..]].concat();
        let limit = self.options.config.max_send_queue;
        let frame = (variant % 2 == 1)
            .then(|| self.simulation.server.frame(Kind::Binary, &payload))
            .flatten();
        let is_sent = self.order(|client| match &frame {
            Some(frame) => client.share(frame, limit),
            None => client.message(Kind::Binary, payload.clone(), limit),
        });
        if is_sent {
            self.sends.push((Kind::Binary, payload));
        }
    }
}
