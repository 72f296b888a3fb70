//! The way out: an order goes to its worker when it is given, behind the answers before it of that client's batch.
//! Finished answers are posted when their batch ends, and before if the next callback takes long: then a worker that
//! waits for them comes and takes them.

use super::answers::{Answer, Answers};
use crate::client::Client;
use crate::order::Order;
use crate::protocol::message::Kind;
use std::sync::Arc;

/// What the callbacks of a server have for the workers. Whatever posts holds its lock: that keeps the order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The batches under way, the innermost last: a callback may run its event loop, and with it others.
    under_way: Vec<Answers>,
    /// A worker will look for finished answers in a moment.
    is_watched: bool,
    /// Nobody could: this thread serves the clients, too.
    is_alone: bool,
}

impl Outgoing {
    /// From now on the thread that runs the callbacks is the one that serves the clients: they get all that is posted when
    /// it does so again.
    pub(super) const fn be_alone(&mut self) {
        self.is_alone = true;
    }

    /// Takes a batch up, at its beginning or where it was left.
    pub(super) fn begin(&mut self, answers: Answers) {
        self.under_way.push(answers);
    }

    /// Payload of the message that is to be answered next.
    pub(super) fn message(&self) -> Option<(Kind, &[u8])> {
        self.under_way.last()?.message()
    }

    /// Answers that message.
    pub(super) fn answer(&mut self, answer: Answer<'_>) {
        let Some(answers) = self.under_way.last_mut() else {
            return;
        };
        answers.answer(answer);
        // Whoever has got answers looks for more.
        if !self.is_watched && !self.is_alone && answers.message().is_some() {
            self.is_watched = answers.post(true);
        }
    }

    /// Answers all that is left of the batch.
    pub(super) fn answer_rest(&mut self, answer: Answer<'_>) {
        if let Some(answers) = self.under_way.last_mut() {
            answers.answer_rest(answer);
        }
    }

    /// Ends the batch, or leaves it where it is, so that another can be answered meanwhile.
    pub(super) fn end(&mut self) -> Option<Answers> {
        let mut answers = self.under_way.pop()?;
        answers.post(false);
        Some(answers)
    }

    /// Gives a client's connection an order.
    pub(super) fn order(&mut self, client: &Arc<Client>, order: Order) {
        for answers in &mut self.under_way {
            if Arc::ptr_eq(answers.client(), client) {
                self.is_watched |= answers.post(!self.is_alone);
            }
        }
        client.order(order);
    }

    /// Posts the answers that are finished: `false` if there are none, and nobody looks for more.
    pub(super) fn look(&mut self) -> bool {
        self.is_watched = false;
        for answers in &mut self.under_way {
            self.is_watched |= answers.post(!self.is_alone);
        }
        self.is_watched
    }
}
