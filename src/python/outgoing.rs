//! The way out: an order goes to its worker when it is given, behind the answers before it of that client's batch.
//! Finished answers are posted when their batch ends, and before if the next callback takes long: then a worker that
//! waits for them comes and takes them.
//!
//! In a turn of an event loop that has much to do even that would wake the worker for each of them. There all that is for
//! it is gathered until the turn ends, or the worker comes, and what a callback sends to the client whose message it was
//! called for goes among the answers.

use super::answers::{Answer, Answers};
use crate::client::{Client, Letter};
use crate::mailbox::Mailbox;
use crate::order::Order;
use crate::protocol::message::Kind;
use std::collections::HashSet;
use std::sync::Arc;

/// What the callbacks of a server have for the workers. Whatever posts holds its lock: that keeps the order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The batches under way, the innermost last: a callback may run its event loop, and with it others.
    under_way: Vec<Answers>,
    way: Way,
}

/// The way to the workers.
#[derive(Debug, Default)]
struct Way {
    /// The letterboxes of the workers that will look for finished answers in a moment.
    watchers: Vec<Arc<Mailbox<Letter>>>,
    /// Nobody could: this thread serves the clients, too.
    is_alone: bool,
    /// What a worker will come for is gathered.
    gathers: bool,
    /// In its order. Nothing goes past it; empty if nobody watches.
    gathered: Vec<Letter>,
    /// The numbers of the clients that such a turn had something for, since it began or was caught up with.
    whom: Vec<u64>,
    /// How often workers were given something by turns that gather, and how often of that it is known to be done.
    given: u64,
    done: u64,
}

impl Outgoing {
    /// From now on the thread that runs the callbacks is the one that serves the clients: they get all that is posted when
    /// it does so again.
    pub(super) const fn be_alone(&mut self) {
        self.way.is_alone = true;
    }

    /// From now until `post_gathered` letters are gathered.
    pub(super) const fn gather(&mut self) {
        self.way.gathers = !self.way.is_alone;
    }

    /// Posts them.
    pub(super) fn post_gathered(&mut self) {
        self.way.gathers = false;
        self.way.whom.clear();
        self.way.post_gathered();
    }

    /// Takes a batch up, at its beginning or where it was left.
    pub(super) fn begin(&mut self, answers: Answers) {
        self.under_way.push(answers);
    }

    /// Payload of the message that is to be answered next.
    pub(super) fn message(&self) -> Option<(Kind, &[u8])> {
        self.under_way.last()?.message()
    }

    /// The lengths of the frames of that message, if it is of this client and came in several.
    pub(super) fn frames(&self, client: &Arc<Client>) -> Vec<usize> {
        let innermost = self.under_way.last();
        let own = innermost.filter(|answers| Arc::ptr_eq(answers.client(), client));
        own.map_or_else(Vec::new, |answers| answers.frames().to_vec())
    }

    /// Answers that message.
    pub(super) fn answer(&mut self, answer: Answer<'_>) {
        let Some(answers) = self.under_way.last_mut() else {
            return;
        };
        answers.answer(answer);
        // Whoever has got answers looks for more.
        if !self.way.is_watched() && !self.way.is_alone && answers.message().is_some() {
            self.way.post(answers, true);
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
        self.way.post(&mut answers, self.way.gathers);
        Some(answers)
    }

    /// Gives a client's connection an order.
    pub(super) fn order(&mut self, client: &Arc<Client>, order: Order) {
        let Self { under_way, way } = self;
        let is_own = |answers: &&mut Answers| Arc::ptr_eq(answers.client(), client);
        let order = match order {
            Order::Send(message) if way.gathers && way.is_watched() => {
                let innermost = under_way.last_mut().filter(is_own);
                match innermost.filter(|answers| answers.takes(&message)) {
                    Some(answers) => {
                        way.note(client);
                        return answers.send(message);
                    }
                    None => Order::Send(message),
                }
            }
            order => order,
        };
        for answers in under_way.iter_mut().filter(is_own) {
            way.post(answers, !way.is_alone);
        }
        way.give(client, order);
    }

    /// Posts what is finished: `false` if there is nothing, or the worker has ended, and it need not look again.
    pub(super) fn look(&mut self, worker: &Arc<Mailbox<Letter>>) -> bool {
        let has_posted = self.post_finished();
        let watches = has_posted && !worker.is_closed();
        self.way.watch(worker, watches);
        watches
    }

    /// Posts what is finished, whoever looks for it. Whether there was something.
    pub(super) fn post_finished(&mut self) -> bool {
        let Self { under_way, way } = self;
        let mut has_posted = false;
        for answers in under_way {
            has_posted |= way.post(answers, !way.is_alone);
        }
        // They may be among what is gathered.
        way.post_gathered() || has_posted
    }

    /// Posts what a turn has gathered. If workers may not have done all of that, and of what was gathered before: how
    /// often they were given something, for `note_done`.
    pub(super) fn finish(&mut self) -> Option<u64> {
        if self.way.gathers {
            self.post_finished();
        }
        let Way { given, done, .. } = self.way;
        (done < given).then_some(given)
    }

    /// Keeps those clients whose send queue may be full only of what a turn that gathers has for them: they are caught up
    /// with now, and not again before there is more for them.
    pub(super) fn keep_behind(&mut self, clients: &mut Vec<Arc<Client>>) {
        let whom = &mut self.way.whom;
        let behind: HashSet<u64> = whom.iter().copied().collect();
        clients.retain(|client| behind.contains(&client.id));
        let kept: HashSet<u64> = clients.iter().map(|client| client.id).collect();
        whom.retain(|id| !kept.contains(id));
    }

    /// The same of one: whether it was kept.
    pub(super) fn take_behind(&mut self, client: &Client) -> bool {
        let whom = &mut self.way.whom;
        let before = whom.len();
        whom.retain(|id| *id != client.id);
        whom.len() < before
    }

    /// So much is done.
    pub(super) fn note_done(&mut self, given: u64) {
        self.way.done = self.way.done.max(given);
    }
}

impl Way {
    const fn is_watched(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// A worker will look in a moment, or not.
    fn watch(&mut self, worker: &Arc<Mailbox<Letter>>, watches: bool) {
        let place = self
            .watchers
            .iter()
            .position(|watcher| Arc::ptr_eq(watcher, worker));
        match place {
            None if watches => self.watchers.push(worker.clone()),
            Some(place) if !watches => drop(self.watchers.swap_remove(place)),
            _ => {}
        }
    }

    /// It has something for that client.
    fn note(&mut self, client: &Client) {
        if self.whom.last() == Some(&client.id) {
            return;
        }
        // A turn may last, and send much to few.
        if self.whom.len() == self.whom.capacity() {
            self.whom.sort_unstable();
            self.whom.dedup();
            // As long as that is much, not at the next but one.
            self.whom.reserve(self.whom.len());
        }
        self.whom.push(client.id);
    }

    /// Posts the answers so far, so that something can follow them; `are_followed` has their worker look for more in a
    /// moment. Whether there were some.
    fn post(&mut self, answers: &mut Answers, are_followed: bool) -> bool {
        let client = answers.client().clone();
        answers.take(are_followed, |order| self.give(&client, order))
    }

    fn give(&mut self, client: &Arc<Client>, order: Order) {
        if self.gathers {
            self.note(client);
        }
        if self.gathers && self.is_watched() {
            client.note(&order);
            self.gathered.push((client.clone(), order));
        } else {
            let are_followed = are_followed(&order);
            self.given += u64::from(self.gathers);
            client.order(order);
            self.posted(client.mailbox(), are_followed);
        }
    }

    /// Whether there was something.
    fn post_gathered(&mut self) -> bool {
        let has_posted = !self.gathered.is_empty();
        self.given += u64::from(has_posted);
        while let Some((client, _)) = self.gathered.first() {
            let mailbox = client.mailbox().clone();
            // Mostly there is one worker.
            let is_its = |(client, _): &mut Letter| Arc::ptr_eq(client.mailbox(), &mailbox);
            let mut letters: Vec<_> = self.gathered.extract_if(.., is_its).collect();
            let are_followed = letters.iter().any(|(_, order)| are_followed(order));
            mailbox.post(&mut letters);
            self.posted(&mailbox, are_followed);
        }
        has_posted
    }

    /// A worker was given something. It looks for more if that said so, unless it has ended.
    fn posted(&mut self, mailbox: &Arc<Mailbox<Letter>>, are_followed: bool) {
        if are_followed && !mailbox.is_closed() {
            self.watch(mailbox, true);
        }
    }
}

/// Whether the worker that gets this looks for more.
const fn are_followed(order: &Order) -> bool {
    matches!(order, Order::Replies(replies) if replies.are_followed)
}
