//! Answers on their way back: collected while callbacks run, posted once for many of them with one wake-up per worker.

use crate::client::{Client, Letter};
use crate::handler::Batch;
use crate::mailbox::Mailbox;
use crate::order::{Order, Replies};
use crate::protocol::frame;
use crate::protocol::message::Kind;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// What the dispatcher has for the workers; posted once for many callbacks, with one wake-up per worker.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    posts: Vec<(Arc<Mailbox<Letter>>, Vec<Letter>)>,
    /// The batches under way, the innermost last: a callback may run its event loop, and with it others.
    answers: Vec<Answers>,
}

/// The batch that is being answered. Answers are written over the messages they answer while they fit there, so that
/// the buffer goes back to the worker as it came.
#[derive(Debug)]
pub(super) struct Answers {
    client: Arc<Client>,
    batch: Batch,
    /// Messages answered, and where the frame of the next one begins in the batch.
    done: usize,
    at: usize,
    /// What is not handed over yet: `from` to `to` in the batch, or `written` once something did not fit there.
    from: usize,
    to: usize,
    written: Option<Vec<u8>>,
    ends: Vec<usize>,
    answered: usize,
}

/// The answer to one message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer<'a> {
    Echo,
    Send(Kind, &'a [u8]),
    Nothing,
}

impl Answers {
    fn echo(&mut self, frame: Range<usize>) {
        let wire = &mut self.batch.wire;
        if let Some(written) = &mut self.written {
            written.extend_from_slice(&wire[frame]);
            return;
        }
        let len = frame.len();
        if frame.start != self.to {
            wire.copy_within(frame, self.to);
        }
        self.to += len;
    }

    /// Writes a frame in the place of the message that ends at `end`, and of what was left free before that.
    fn write(&mut self, kind: Kind, payload: &[u8], end: usize) {
        let mut header = [0; frame::MAX_SERVER_HEADER];
        let len = frame::write_server_header(&mut header, true, kind.opcode(), payload.len());
        let header = &header[..len];
        if self.written.is_none() {
            let wire = &mut self.batch.wire;
            let start = self.to + len;
            if start + payload.len() <= end {
                wire[self.to..start].copy_from_slice(header);
                self.to = start + payload.len();
                wire[start..self.to].copy_from_slice(payload);
                return;
            }
            self.written = Some(wire[self.from..self.to].to_vec());
        }
        if let Some(written) = &mut self.written {
            written.reserve(len + payload.len());
            written.extend_from_slice(header);
            written.extend_from_slice(payload);
        }
    }

    /// What is not handed over yet.
    fn take_wire(&mut self) -> Vec<u8> {
        let own = mem::replace(&mut self.from, self.at)..mem::replace(&mut self.to, self.at);
        let wire = &mut self.batch.wire;
        if let Some(written) = self.written.take() {
            written
        } else if own.start == 0
            && self.done == self.batch.messages.len()
            && own.end >= wire.capacity() / 2
        {
            wire.truncate(own.end);
            mem::take(wire)
        } else {
            wire[own].to_vec()
        }
    }
}

impl Outgoing {
    pub(super) fn begin(&mut self, client: Arc<Client>, batch: Batch) {
        self.answers.push(Answers {
            client,
            done: 0,
            at: 0,
            from: 0,
            to: 0,
            written: None,
            ends: Vec::with_capacity(batch.messages.len()),
            answered: 0,
            batch,
        });
    }

    /// Payload of the message that is to be answered next.
    pub(super) fn message(&self) -> Option<(Kind, &[u8])> {
        let answers = self.answers.last()?;
        let (kind, payload) = answers.batch.messages.get(answers.done)?;
        Some((*kind, &answers.batch.wire[payload.clone()]))
    }

    /// Answers that message.
    pub(super) fn answer(&mut self, answer: Answer<'_>) {
        let Some(answers) = self.answers.last_mut() else {
            return;
        };
        let Some((_, payload)) = answers.batch.messages.get(answers.done) else {
            return;
        };
        let frame = answers.at..payload.end;
        answers.answered += payload.len();
        answers.done += 1;
        answers.at = frame.end;
        match answer {
            Answer::Echo => answers.echo(frame),
            Answer::Send(kind, payload) => answers.write(kind, payload, frame.end),
            Answer::Nothing => {}
        }
        let written = answers.written.as_ref();
        let len = written.map_or(answers.to - answers.from, Vec::len);
        answers.ends.push(len);
    }

    /// Nobody is asked about what is left of the batch: it has no answers.
    pub(super) fn skip(&mut self) {
        while self.message().is_some() {
            self.answer(Answer::Nothing);
        }
    }

    /// Ends the batch.
    pub(super) fn end(&mut self) {
        self.hand_over();
        self.answers.pop();
    }

    /// Takes the unfinished batch out, so that another can be answered meanwhile.
    pub(super) fn suspend(&mut self) -> Option<Answers> {
        self.hand_over();
        self.answers.pop()
    }

    /// Goes on with a batch that was taken out.
    pub(super) fn resume(&mut self, answers: Answers) {
        self.answers.push(answers);
    }

    /// Puts the answers so far among what is posted, so that something can follow them.
    fn hand_over(&mut self) {
        for index in 0..self.answers.len() {
            let answers = &mut self.answers[index];
            if answers.ends.is_empty() {
                continue;
            }
            let replies = Replies {
                wire: answers.take_wire(),
                ends: mem::take(&mut answers.ends),
                answered: mem::take(&mut answers.answered),
            };
            let client = answers.client.clone();
            self.add(&client, Order::Replies(replies));
        }
    }

    pub(super) fn push(&mut self, client: &Arc<Client>, order: Order) {
        self.hand_over();
        self.add(client, order);
    }

    fn add(&mut self, client: &Arc<Client>, order: Order) {
        let letter = (client.clone(), order);
        match self
            .posts
            .iter_mut()
            .find(|(mailbox, _)| Arc::ptr_eq(mailbox, client.mailbox()))
        {
            Some((_, letters)) => letters.push(letter),
            None => self.posts.push((client.mailbox().clone(), vec![letter])),
        }
    }

    /// Whether there is something to post.
    pub(super) fn is_due(&self) -> bool {
        self.posts.iter().any(|(_, letters)| !letters.is_empty())
            || self.answers.iter().any(|answers| !answers.ends.is_empty())
    }

    /// Posts everything, the answers of an unfinished batch included.
    pub(super) fn flush(&mut self) {
        self.hand_over();
        for (mailbox, letters) in &mut self.posts {
            if !letters.is_empty() {
                mailbox.post(letters);
            }
        }
    }
}
