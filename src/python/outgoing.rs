//! Answers on their way back: collected while callbacks run, posted once for many of them with one wake-up per worker.

use crate::client::Client;
use crate::handler::Batch;
use crate::mailbox::{Command, Mailbox, Order, Replies};
use crate::protocol::message::Kind;
use std::mem;
use std::sync::Arc;

/// What the dispatcher has for the workers; posted once for many callbacks, with one wake-up per worker.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    posts: Vec<(Arc<Mailbox>, Vec<Command>)>,
    answers: Option<Answers>,
}

/// The batch that is being answered.
#[derive(Debug)]
struct Answers {
    client: Arc<Client>,
    batch: Batch,
    /// Messages answered, and where the frame of the next one begins in the batch.
    done: usize,
    at: usize,
    /// What is not handed over yet: the frames, unless they are the batch's own from `from` to `at`.
    from: usize,
    written: Option<Vec<u8>>,
    ends: Vec<usize>,
    answered: usize,
}

/// The answer to one message.
#[derive(Debug)]
pub(super) enum Answer {
    Echo,
    Frame(Vec<u8>),
    Nothing,
}

impl Outgoing {
    pub(super) fn begin(&mut self, client: Arc<Client>, batch: Batch) {
        self.answers = Some(Answers {
            client,
            done: 0,
            at: 0,
            from: 0,
            written: None,
            ends: Vec::with_capacity(batch.messages.len()),
            answered: 0,
            batch,
        });
    }

    /// Payload of the message that is to be answered next.
    pub(super) fn message(&self) -> Option<(Kind, &[u8])> {
        let answers = self.answers.as_ref()?;
        let (kind, payload) = answers.batch.messages.get(answers.done)?;
        Some((*kind, &answers.batch.wire[payload.clone()]))
    }

    /// Answers that message.
    pub(super) fn answer(&mut self, answer: Answer) {
        let Some(answers) = &mut self.answers else {
            return;
        };
        let Some((_, payload)) = answers.batch.messages.get(answers.done) else {
            return;
        };
        let frame = answers.at..payload.end;
        answers.answered += payload.len();
        answers.done += 1;
        answers.at = frame.end;
        match (answer, &mut answers.written) {
            (Answer::Echo, None) => {}
            (Answer::Echo, Some(written)) => written.extend_from_slice(&answers.batch.wire[frame]),
            (answer, written) => {
                let from = answers.from;
                let written =
                    written.get_or_insert_with(|| answers.batch.wire[from..frame.start].to_vec());
                if let Answer::Frame(bytes) = answer {
                    written.extend_from_slice(&bytes);
                }
            }
        }
        answers.ends.push(
            answers
                .written
                .as_ref()
                .map_or(answers.at - answers.from, Vec::len),
        );
    }

    /// Ends the batch.
    pub(super) fn end(&mut self) {
        self.hand_over();
        self.answers = None;
    }

    /// Puts the answers so far among what is posted, so that something can follow them.
    fn hand_over(&mut self) {
        let Some(answers) = &mut self.answers else {
            return;
        };
        if answers.ends.is_empty() {
            return;
        }
        let wire = match answers.written.take() {
            Some(written) => written,
            // The whole batch goes back as it came.
            None if answers.from == 0 && answers.done == answers.batch.messages.len() => {
                mem::take(&mut answers.batch.wire)
            }
            None => answers.batch.wire[answers.from..answers.at].to_vec(),
        };
        answers.from = answers.at;
        let replies = Replies {
            wire,
            ends: mem::take(&mut answers.ends),
            answered: mem::take(&mut answers.answered),
        };
        let client = answers.client.clone();
        self.add(&client, Order::Replies(replies));
    }

    pub(super) fn push(&mut self, client: &Arc<Client>, order: Order) {
        self.hand_over();
        self.add(client, order);
    }

    fn add(&mut self, client: &Arc<Client>, order: Order) {
        let command = Command::Client(client.clone(), order);
        match self
            .posts
            .iter_mut()
            .find(|(mailbox, _)| Arc::ptr_eq(mailbox, client.mailbox()))
        {
            Some((_, commands)) => commands.push(command),
            None => self.posts.push((client.mailbox().clone(), vec![command])),
        }
    }

    /// Posts everything, the answers of an unfinished batch included.
    pub(super) fn flush(&mut self) {
        self.hand_over();
        for (mailbox, commands) in &mut self.posts {
            if !commands.is_empty() {
                mailbox.post(commands);
            }
        }
    }
}
