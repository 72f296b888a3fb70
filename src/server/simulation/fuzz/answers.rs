//! A handler whose answers a script gives.

use crate::admission::{Decision, Request};
use crate::client::Client;
use crate::handler::{Batch, Gate, Handler, Wants};
use crate::order::{Order, Replies};
use crate::protocol::frame::{Opcode, server_frame, server_header_len};
use crate::protocol::message::Kind;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// A message, as it is sent.
pub(super) type Message = (Kind, Vec<u8>);

/// Keeps what it is given until it is told to answer.
#[derive(Debug)]
pub(super) struct Answers {
    wants: Wants,
    gate: Gate,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    request: Option<Arc<Request>>,
    client: Option<Arc<Client>>,
    /// What is not answered yet, and how many messages of the first are.
    batches: VecDeque<Batch>,
    answered: usize,
    /// What it was given, and what it has answered.
    given: Vec<Message>,
    answers: Vec<Option<Message>>,
    ends: usize,
}

/// How a message is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// As it lies in its batch.
    Echo,
    /// With a text of that many bytes.
    Text(usize),
    Nothing,
}

impl Answers {
    pub(super) fn new(wants: Wants, gate: Gate) -> Arc<Self> {
        Arc::new(Self {
            wants,
            gate,
            inner: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Says whether the client may come in, if it was asked.
    pub(super) fn decide(&self, decision: Decision) {
        if let Some(request) = self.lock().request.take() {
            // It may have gone.
            let _ = request.decide(decision);
        }
    }

    /// Answers the oldest messages, at most `count` and only of one batch, with one order. `false`: there is none.
    pub(super) fn answer(&self, count: usize, answer: Answer) -> bool {
        let mut inner = self.lock();
        let Some(batch) = inner.batches.front() else {
            return false;
        };
        let first = inner.answered;
        let messages = &batch.messages[first..];
        let messages = &messages[..messages.len().min(count)];
        let mut replies = Replies::default();
        let mut answers = Vec::new();
        for (kind, payload) in messages {
            let bytes = &batch.wire[payload.clone()];
            let reply = match answer {
                Answer::Echo => {
                    let start = payload.start - server_header_len(payload.len());
                    replies.wire.extend(&batch.wire[start..payload.end]);
                    Some((*kind, bytes.to_vec()))
                }
                Answer::Text(len) => {
                    let text = vec![b'r'; len];
                    replies.wire.extend(server_frame(Opcode::Text, &text));
                    Some((Kind::Text, text))
                }
                Answer::Nothing => None,
            };
            replies.ends.push(replies.wire.len());
            replies.answered += bytes.len();
            answers.push(reply);
        }
        inner.answered += answers.len();
        if inner.answered == inner.batches[0].messages.len() {
            inner.batches.pop_front();
            inner.answered = 0;
        }
        inner.answers.append(&mut answers);
        let client = inner.client.clone();
        drop(inner);
        client.unwrap().order(Order::Replies(replies));
        true
    }

    /// Whether an answer of its is awaited.
    pub(super) fn is_asked(&self) -> bool {
        let inner = self.lock();
        inner.request.is_some() || !inner.batches.is_empty()
    }

    /// What the server has to send for `messages`, as far as that is known.
    pub(super) fn expected(&self, messages: &[Message]) -> Vec<Message> {
        let inner = self.lock();
        let mut answers = inner.answers.iter();
        let mut expected = Vec::new();
        for message in messages {
            if self.wants.has_kind(message.0) {
                match answers.next() {
                    Some(answer) => expected.extend(answer.clone()),
                    None => break,
                }
            } else {
                expected.push(message.clone());
            }
        }
        expected
    }

    /// What it has to be given of `messages`, and what it was given.
    pub(super) fn given(&self, messages: &[Message]) -> (Vec<Message>, Vec<Message>) {
        let wanted = messages
            .iter()
            .filter(|(kind, _)| self.wants.has_kind(*kind));
        (wanted.cloned().collect(), self.lock().given.clone())
    }

    /// How often it was told that the client is gone.
    pub(super) fn ends(&self) -> usize {
        self.lock().ends
    }
}

impl Handler for Answers {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn on_handshake(&self, request: &Arc<Request>) {
        self.lock().request = Some(request.clone());
    }

    fn on_open(&self, _client: &Arc<Client>) -> Gate {
        self.gate
    }

    fn on_messages(&self, client: &Arc<Client>, batch: Batch) {
        let mut inner = self.lock();
        assert_eq!(inner.ends, 0, "a message of a client that is gone");
        let messages = batch.messages.iter();
        let messages =
            messages.map(|(kind, payload)| (*kind, batch.wire[payload.clone()].to_vec()));
        inner.given.extend(messages);
        inner.batches.push_back(batch);
        inner.client = Some(client.clone());
    }

    fn on_close(&self, _client: &Arc<Client>) {
        self.lock().ends += 1;
    }
}
