//! The door: messages that can't go out at once as they are, in the order in which they are sent. One that is to be
//! compressed waits here, since it may refer to those before it; and where a doorkeeper decides what becomes of messages,
//! all of them pass here. What goes back where it was read never does.

mod message;

pub(super) use self::message::{STEP, passed};

use self::message::{Message, Step, compressed_frame, send_plain, total};
use super::doorkeeper::{Cut, Doorkeeper};
use super::output::Output;
use crate::protocol::account::{Account, Exhausted};
use crate::protocol::deflate::compressing::Compression;
use crate::protocol::extensions::Agreed;
use crate::protocol::frame::Opcode;
use crate::protocol::partial::{Chunk, Partial};
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;

/// What a connection has besides with `permessage-deflate`, or with a doorkeeper.
#[derive(Debug, Default)]
pub(super) struct Door {
    compression: Option<Compression>,
    /// Messages below it are not compressed.
    threshold: usize,
    doorkeeper: Option<Rc<dyn Doorkeeper>>,
    queue: VecDeque<Message>,
}

impl Door {
    pub(super) fn compress(&mut self, agreed: Agreed, level: u8, threshold: usize) {
        self.compression = Some(Compression::new(agreed, level));
        self.threshold = threshold;
    }

    /// Has a doorkeeper decide from now on, or nobody.
    pub(super) fn attach(&mut self, doorkeeper: Option<Rc<dyn Doorkeeper>>) {
        self.doorkeeper = doorkeeper;
    }

    pub(super) fn doorkeeper(&self) -> Option<Rc<dyn Doorkeeper>> {
        self.doorkeeper.clone()
    }

    pub(super) const fn has_doorkeeper(&self) -> bool {
        self.doorkeeper.is_some()
    }

    pub(super) const fn has_compression(&self) -> bool {
        self.compression.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether everything could go out without it.
    pub(super) fn is_needless(&self) -> bool {
        self.compression.is_none() && self.doorkeeper.is_none() && self.queue.is_empty()
    }

    /// Whether a message of `len` bytes is not compressed.
    pub(super) const fn is_short(&self, len: usize) -> bool {
        len < self.threshold || self.compression.is_none()
    }

    /// Puts a message behind those that wait, to be sent once and then `again`. `false` if that passes the memory limit.
    pub(super) fn push(
        &mut self,
        opcode: Option<Opcode>,
        payload: Vec<Chunk>,
        must_be_plain: bool,
        ticket: usize,
        again: usize,
        account: &mut Account,
    ) -> bool {
        let is_plain = must_be_plain || self.is_short(total(&payload));
        let message = Message::new(opcode, payload, is_plain, ticket, again);
        self.queue.push_back(message);
        account.charge_anyway(Message::COST)
    }

    /// The ticket of the message that waits behind all others.
    pub(super) fn last_ticket(&mut self) -> Option<&mut usize> {
        self.queue.back_mut().map(Message::ticket)
    }

    /// Sends a message at once, which nothing waits before and no doorkeeper decides about.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing more can be compressed after it.
    pub(super) fn send(
        &mut self,
        opcode: Opcode,
        message: Partial,
        output: &mut Output,
        account: &mut Account,
    ) -> Result<(), Exhausted> {
        let len = message.len();
        let Some(compression) = self.compression.as_mut().filter(|_| len >= self.threshold) else {
            send_plain(Some(opcode), len, message.into_chunks(), output, account);
            return Ok(());
        };
        let mut compressed = Partial::NEW;
        let mut pieces = message.pieces().peekable();
        let pushed = loop {
            let piece = pieces.next().unwrap_or_default();
            let is_last = pieces.peek().is_none();
            let pushed = compression.push(piece, is_last, &mut compressed, account);
            if is_last || pushed.is_err() {
                break pushed;
            }
        };
        drop(pieces);
        message.release(account);
        match pushed {
            Ok(()) => output.extend(compressed_frame(compressed, opcode)),
            Err(_) => compressed.release(account),
        }
        pushed
    }

    /// Sends what waits, as far as `budget` goes; what happens instead, if a doorkeeper says so.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing more can be compressed after it.
    pub(super) fn run(
        &mut self,
        budget: &mut usize,
        output: &mut Output,
        account: &mut Account,
    ) -> Result<Option<Cut>, Exhausted> {
        while *budget > 0
            && let Some(message) = self.queue.front_mut()
        {
            let compression = self.compression.as_mut();
            match message.step(
                compression,
                self.doorkeeper.as_deref(),
                budget,
                output,
                account,
            )? {
                Step::More => {}
                Step::Done => {
                    if let Some(message) = self.queue.pop_front() {
                        // Its ticket is with what was sent of it.
                        message.release(account);
                    }
                }
                Step::Cut(cut) => return Ok(Some(cut)),
            }
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        Ok(None)
    }

    /// What waits goes out as it is.
    pub(super) fn send_plain(&mut self, output: &mut Output, account: &mut Account) {
        for mut message in mem::take(&mut self.queue) {
            message.send(false, output, account);
            message.release(account);
        }
    }

    /// What waits is given up; returns its tickets.
    pub(super) fn clear(&mut self, account: &mut Account) -> usize {
        let messages = mem::take(&mut self.queue);
        messages
            .into_iter()
            .map(|message| message.release(account))
            .sum()
    }

    /// Gives everything back.
    pub(super) fn release(&mut self, account: &mut Account) -> usize {
        if let Some(compression) = &mut self.compression {
            compression.release(account);
        }
        self.clear(account)
    }
}
