//! What waits for no answer: messages of the application, and control frames.

use super::times::Times;
use super::{Effects, Sender};
use crate::protocol::account::Account;
use crate::protocol::broadcast::SharedFrame;
use crate::protocol::frame::{AS_IT_IS, Opcode, server_frame, split_server_frame};
use crate::protocol::message::Kind;
use crate::protocol::partial::Chunk;
use crate::protocol::window::Window;
use std::sync::Arc;

impl Sender {
    /// A control frame of ours: in the window if there is room.
    pub fn send_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        window: &mut Window<'_>,
        account: &mut Account,
    ) {
        if !window.put(opcode, payload) {
            self.spill(window, account);
            self.output.keep(server_frame(opcode, payload), account);
        }
    }

    /// A message of the application's, which goes out now, between two others.
    pub fn send(
        &mut self,
        kind: Kind,
        payload: Vec<u8>,
        ticket: usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        if !self.takes_message(ticket, effects) {
            return;
        }
        if self.compressing.is_some() {
            self.enqueue_bytes(Some(kind.opcode()), payload, false, ticket, account);
        } else {
            let frame = server_frame(kind.opcode(), &payload);
            self.output.keep(frame, account);
            self.output.set_last_ticket(ticket);
        }
    }

    /// The same, of a message that others get as well.
    pub fn send_shared(
        &mut self,
        frame: Arc<SharedFrame>,
        ticket: usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        if !self.takes_message(ticket, effects) {
            return;
        }
        if self.compressing.is_some() {
            let payload = frame.payload().to_vec();
            self.enqueue_bytes(Some(frame.opcode()), payload, false, ticket, account);
        } else {
            self.output.share(frame, account);
            self.output.set_last_ticket(ticket);
        }
    }

    /// Bytes that go out as they are, between two frames.
    pub fn raw(
        &mut self,
        bytes: Vec<u8>,
        ticket: usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        if bytes.is_empty() {
            self.give_up(ticket, effects);
        } else if self.takes(ticket, effects) {
            self.put(bytes, ticket, account);
        }
    }

    /// A ping of the application's; its pong tells the round-trip time.
    pub fn ping(
        &mut self,
        payload: &[u8],
        ticket: usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        if !self.takes(ticket, effects) {
            return;
        }
        self.put(server_frame(Opcode::Ping, payload), ticket, account);
        self.times
            .get_or_insert_with(|| Box::new(Times::NEW))
            .sent_ping(payload);
    }

    /// Whether something of the application's can still go out; if not, it is given up.
    fn takes(&mut self, ticket: usize, effects: &mut Effects) -> bool {
        let takes = self.may_send();
        if !takes {
            self.give_up(ticket, effects);
        }
        takes
    }

    /// What has this ticket is not sent: the ticket goes back when everything before it is, as that of something sent.
    pub(super) fn give_up(&mut self, ticket: usize, effects: &mut Effects) {
        let compressing = self.compressing.as_mut();
        match compressing.and_then(|compressing| compressing.last_ticket()) {
            Some(last) => *last += ticket,
            None => self.output.add_ticket(ticket, effects),
        }
    }

    /// The same, of a message, which is counted if it can.
    fn takes_message(&mut self, ticket: usize, effects: &mut Effects) -> bool {
        let takes = self.takes(ticket, effects);
        effects.messages_sent += u64::from(takes);
        takes
    }

    /// Whole frames, or other bytes, behind what was given before.
    fn put(&mut self, bytes: Vec<u8>, ticket: usize, account: &mut Account) {
        if self.is_compressing() {
            self.enqueue_bytes(None, bytes, true, ticket, account);
        } else {
            self.output.keep(bytes, account);
            self.output.set_last_ticket(ticket);
        }
    }

    /// A pong has come.
    pub fn ponged(&mut self, payload: &[u8]) {
        if let Some(times) = &mut self.times {
            times.ponged(payload);
        }
    }

    /// Compresses what waits, as far as `budget` goes.
    pub fn compress(&mut self, budget: &mut usize, account: &mut Account, effects: &mut Effects) {
        if self.is_compressing() {
            // Who waits for us is not idle; from here on it may be.
            self.heard();
        }
        if let Some(compressing) = &mut self.compressing {
            // Nothing can follow a message that is not sent.
            if compressing.run(budget, &mut self.output, account).is_err() {
                self.exhaust(account, effects);
            }
            self.settle(account, effects);
        }
    }

    /// Whole frames, of which those that are not marked are compressed if they are long enough.
    pub(super) fn compress_frames(&mut self, mut frames: &[u8], account: &mut Account) {
        while let Some((first, payload, rest)) = split_server_frame(frames) {
            self.enqueue_bytes(
                Some(Kind::of_frame(first).opcode()),
                payload.to_vec(),
                first & AS_IT_IS != 0,
                0,
                account,
            );
            frames = rest;
        }
    }

    fn enqueue_bytes(
        &mut self,
        opcode: Option<Opcode>,
        payload: Vec<u8>,
        must_be_plain: bool,
        ticket: usize,
        account: &mut Account,
    ) {
        let charged = payload.capacity();
        if !account.charge_anyway(charged) {
            self.output.note_over();
        }
        let payload = vec![Chunk::new(payload, charged)];
        self.enqueue(opcode, payload, must_be_plain, ticket, account);
    }

    /// Puts a message, or without `opcode` whole frames, behind those that wait; it is compressed if it may be and is
    /// long enough.
    pub(super) fn enqueue(
        &mut self,
        opcode: Option<Opcode>,
        payload: Vec<Chunk>,
        must_be_plain: bool,
        ticket: usize,
        account: &mut Account,
    ) {
        if let Some(compressing) = &mut self.compressing {
            let len = payload.iter().map(|chunk| chunk.bytes().len()).sum();
            let is_plain = must_be_plain || compressing.is_short(len);
            if !compressing.push(opcode, payload, is_plain, ticket, account) {
                self.output.note_over();
            }
        }
    }
}
