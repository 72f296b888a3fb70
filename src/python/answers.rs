//! The answers to a batch of messages of one client, and how they come back to its connection.

use crate::client::Client;
use crate::handler::Batch;
use crate::order::{Order, Replies};
use crate::protocol::frame;
use crate::protocol::message::Kind;
use smallvec::SmallVec;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// A batch that is being answered. Answers are written over the messages they answer while they fit there, so that
/// the buffer goes back to the worker as it came.
#[derive(Debug)]
pub(super) struct Answers {
    client: Arc<Client>,
    batch: Batch,
    /// Messages answered, and where the frame of the next one begins in the batch.
    done: usize,
    at: usize,
    /// What is not posted yet: `from` to `to` in the batch, or `written` once something did not fit there.
    from: usize,
    to: usize,
    written: Option<Vec<u8>>,
    ends: SmallVec<[usize; 1]>,
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
    pub(super) fn new(client: Arc<Client>, batch: Batch) -> Self {
        Self {
            client,
            done: 0,
            at: 0,
            from: 0,
            to: 0,
            written: None,
            ends: SmallVec::with_capacity(batch.messages.len()),
            answered: 0,
            batch,
        }
    }

    /// Whose messages they answer.
    pub(super) const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Payload of the message that is to be answered next.
    pub(super) fn message(&self) -> Option<(Kind, &[u8])> {
        let (kind, payload) = self.batch.messages.get(self.done)?;
        Some((*kind, &self.batch.wire[payload.clone()]))
    }

    /// Answers that message.
    pub(super) fn answer(&mut self, answer: Answer<'_>) {
        let Some((_, payload)) = self.batch.messages.get(self.done) else {
            return;
        };
        let frame = self.at..payload.end;
        self.answered += payload.len();
        self.done += 1;
        self.at = frame.end;
        match answer {
            Answer::Echo => self.echo(frame),
            Answer::Send(kind, payload) => self.write(kind, payload, frame.end),
            Answer::Nothing => {}
        }
        let written = self.written.as_ref();
        let len = written.map_or(self.to - self.from, Vec::len);
        self.ends.push(len);
    }

    /// Answers all that is left.
    pub(super) fn answer_rest(&mut self, answer: Answer<'_>) {
        while self.message().is_some() {
            self.answer(answer);
        }
    }

    /// Posts the answers so far, so that something can follow them. `are_followed` has the worker look for more in a
    /// moment: whether it will, so not if there were none, or if it has ended.
    pub(super) fn post(&mut self, are_followed: bool) -> bool {
        if self.ends.is_empty() {
            return false;
        }
        let replies = Replies {
            wire: self.take_wire(),
            ends: mem::take(&mut self.ends),
            answered: mem::take(&mut self.answered),
            are_followed,
        };
        self.client.order(Order::Replies(replies));
        are_followed && !self.client.mailbox().is_closed()
    }

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

    /// Writes a frame in the place of the message that ends at `end`, and of what was left free before that. Nothing in its
    /// header says that it goes as it is: an answer may be compressed.
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

    /// What is not posted yet.
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
