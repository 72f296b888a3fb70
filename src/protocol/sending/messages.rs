//! What waits for no answer: messages of the application, and control frames.

use super::times::Times;
use super::{Effects, Sender};
use crate::protocol::account::{Account, Exhausted};
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
        if !self.takes(ticket, effects) {
            return;
        }
        effects.sent.add(kind, payload.len());
        if self.door.is_some() {
            let opcode = Some(kind.opcode());
            self.enqueue_bytes(opcode, payload, false, ticket, account, effects);
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
        if !self.takes(ticket, effects) {
            return;
        }
        effects.sent.add_frames(frame.frame());
        if self.door.is_some() {
            let payload = frame.payload().to_vec();
            let opcode = Some(frame.opcode());
            self.enqueue_bytes(opcode, payload, false, ticket, account, effects);
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
            self.put(bytes, ticket, account, effects);
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
        let frame = server_frame(Opcode::Ping, payload);
        self.put(frame, ticket, account, effects);
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

    /// What has this ticket is not sent, or is among what is kept: the ticket goes back when everything before it is sent, as
    /// that of something sent.
    pub fn give_up(&mut self, ticket: usize, effects: &mut Effects) {
        let door = self.door.as_mut();
        match door.and_then(|door| door.last_ticket()) {
            Some(last) => *last += ticket,
            None => self.output.add_ticket(ticket, effects),
        }
    }

    /// Whole frames, or other bytes, behind what was given before.
    fn put(&mut self, bytes: Vec<u8>, ticket: usize, account: &mut Account, effects: &mut Effects) {
        if self.has_waiting() {
            self.enqueue_bytes(None, bytes, true, ticket, account, effects);
        } else {
            self.output.keep(bytes, account);
            self.output.set_last_ticket(ticket);
        }
    }

    /// A pong has come: whether it answers a ping of ours.
    pub fn ponged(&mut self, payload: &[u8]) -> bool {
        let times = self.times.as_mut();
        times.is_some_and(|times| times.ponged(payload))
    }

    /// Sends what waits at the door, as far as `budget` goes.
    pub fn work(&mut self, budget: &mut usize, account: &mut Account, effects: &mut Effects) {
        if self.has_waiting() {
            // Who waits for us is not idle; from here on it may be.
            self.heard();
        }
        let Some(door) = &mut self.door else {
            return;
        };
        match door.run(budget, &mut self.output, account) {
            Ok(None) => {}
            Ok(Some(cut)) => self.cut(cut, account, effects),
            // Nothing can follow a message that is not sent.
            Err(Exhausted) => self.exhaust(account, effects),
        }
        self.leave_door();
        self.settle(account, effects);
    }

    /// Whole frames, of which those that are not marked are compressed if they are long enough.
    pub(super) fn enqueue_frames(
        &mut self,
        mut frames: &[u8],
        account: &mut Account,
        effects: &mut Effects,
    ) {
        while let Some((first, payload, rest)) = split_server_frame(frames) {
            self.enqueue_bytes(
                Some(Kind::of_frame(first).opcode()),
                payload.to_vec(),
                first & AS_IT_IS != 0,
                0,
                account,
                effects,
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
        effects: &mut Effects,
    ) {
        let charged = payload.capacity();
        if !account.charge_anyway(charged) {
            self.output.note_over();
        }
        let payload = vec![Chunk::new(payload, charged)];
        self.enqueue(opcode, payload, must_be_plain, ticket, account, effects);
    }

    /// Puts a message, or without `opcode` whole frames, behind those that wait; it is compressed if it may be and is
    /// long enough, and a doorkeeper decides about it if there is one.
    pub(super) fn enqueue(
        &mut self,
        opcode: Option<Opcode>,
        payload: Vec<Chunk>,
        must_be_plain: bool,
        ticket: usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        let Some(door) = &mut self.door else {
            return;
        };
        match (door.doorkeeper(), opcode) {
            (Some(doorkeeper), Some(opcode)) => self.judge(
                &*doorkeeper,
                (opcode, payload),
                must_be_plain,
                ticket,
                account,
                effects,
            ),
            _ => {
                if !door.push(opcode, payload, must_be_plain, ticket, 0, account) {
                    self.output.note_over();
                }
            }
        }
    }
}
