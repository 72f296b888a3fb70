//! The answers to a batch of messages of one client, and how they come back to its connection.

use crate::client::Client;
use crate::handler::Batch;
use crate::order::{Message, Order, Replies};
use crate::protocol::frame;
use crate::protocol::message::Kind;
use crate::queue::Room;
use smallvec::SmallVec;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// Payload bytes that callbacks have sent, and that go out among the answers: their room is given back together.
const JOINED: usize = 16 << 10;

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
    /// What the callback of the next message has sent so far.
    sent: Vec<Message>,
    /// The room of what others have sent, among the answers that are not posted yet.
    room: Option<Room>,
    /// Payload bytes of both.
    joined: usize,
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
            sent: Vec::new(),
            room: None,
            joined: 0,
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

    /// The lengths of the frames in which it came; none if it came in one, or they are not noted.
    pub(super) fn frames(&self) -> &[usize] {
        let frames = &self.batch.frames;
        let place = frames.binary_search_by_key(&self.done, |(message, _)| *message);
        place.map_or(&[], |place| &frames[place].1)
    }

    /// Whether something can be sent before the answer to that message: if there is one, and it is short, or fits where
    /// the message lies. Room for much would be given back late, with the last byte of all.
    pub(super) fn takes(&self, message: &Message) -> bool {
        let joined = self.joined + message.payload.len();
        let next = self.message();
        next.is_some_and(|(_, payload)| joined <= payload.len().max(JOINED))
    }

    /// Sends it.
    pub(super) fn send(&mut self, message: Message) {
        self.joined += message.payload.len();
        self.sent.push(message);
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
        if !self.sent.is_empty() {
            // What is echoed is read from where it lies.
            let is_echo = matches!(answer, Answer::Echo);
            self.write_sent(if is_echo { frame.start } else { frame.end });
        }
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

    /// Gives what is finished to be posted, so that something can follow it, with what was sent since; `are_followed` says
    /// so to the worker. Whether there were answers.
    pub(super) fn take(&mut self, are_followed: bool, mut give: impl FnMut(Order)) -> bool {
        let has_answers = !self.ends.is_empty();
        self.joined = 0;
        if has_answers {
            give(Order::Replies(Replies {
                wire: self.take_wire(),
                ends: mem::take(&mut self.ends),
                answered: mem::take(&mut self.answered),
                are_followed,
            }));
        }
        if let Some(room) = self.room.take() {
            give(Order::Sent(room));
        }
        let sent = self.sent.drain(..);
        sent.for_each(|message| give(Order::Send(message)));
        has_answers
    }

    /// Posts what is finished.
    pub(super) fn post(&mut self) {
        let client = self.client.clone();
        self.take(false, |order| client.order(order));
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

    fn write_sent(&mut self, end: usize) {
        let mut sent = mem::take(&mut self.sent);
        for message in sent.drain(..) {
            self.write(message.kind, &message.payload, end);
            match &mut self.room {
                Some(room) => room.join(message.room),
                none => *none = Some(message.room),
            }
        }
        self.sent = sent;
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
        if let Some(mut written) = self.written.take() {
            // It has grown in steps that double, and all that it has is charged.
            written.shrink_to_fit();
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
