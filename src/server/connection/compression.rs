//! Compressed messages of one connection: turns at inflating what came, and a queue of what is to be compressed.
//!
//! Messages are compressed in the order in which they are sent, since each may refer to those before it. A short echo
//! is compressed where it is found; everything else waits in the queue and is compressed in steps. While it does, nothing
//! is read: what is left of the last read is kept, too. Control frames do not wait.

use super::Connection;
use crate::client::{self, Client};
use crate::config::Config;
use crate::memory::{Account, Exhausted};
use crate::order::Replies;
use crate::protocol::Violation;
use crate::protocol::deflate::Compression;
use crate::protocol::extensions::Agreed;
use crate::protocol::frame::{
    AS_IT_IS, MAX_SERVER_HEADER, Opcode, RSV1, split_server_frame, write_server_header,
};
use crate::protocol::message::Kind;
use crate::protocol::partial::{Chunk, Partial};
use crate::server::connection::replies::Turn;
use crate::server::outbox::Outbox;
use std::collections::VecDeque;
use std::mem;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes compressed in one step, about a millisecond at level 6; longer echoes go through the queue. In shorter steps a
/// worker with many such clients would do little but fetch their contexts into its cache.
const STEP: usize = 64 << 10;
/// Bytes read at once, since what can't be inflated in this turn has to be kept; and where nothing can be inflated, but
/// what comes may be something else.
const READ: usize = 64 << 10;
const LOOK: usize = 4 << 10;

/// What a connection with `permessage-deflate` has besides.
#[derive(Debug)]
pub(super) struct Compressing {
    compression: Compression,
    threshold: usize,
    queue: VecDeque<Message>,
    /// What was read and not looked at yet, from `rest_at` on, is in `Connection::rest`; that much of it is charged.
    rest_at: usize,
    rest_charged: usize,
}

/// A message that is to be sent.
#[derive(Debug)]
struct Message {
    opcode: Opcode,
    payload: Vec<Chunk>,
    len: usize,
    is_plain: bool,
    /// What it counts for in the client's send queue.
    queued: usize,
    /// How far it is compressed: whole chunks, and bytes of the next.
    chunks: usize,
    bytes: usize,
    compressed: Partial,
}

impl Message {
    fn new(opcode: Opcode, mut payload: Vec<Chunk>, is_plain: bool, queued: usize) -> Self {
        if payload.is_empty() {
            payload.push(Chunk::new(Vec::new(), 0));
        }
        Self {
            opcode,
            len: payload.iter().map(|chunk| chunk.bytes().len()).sum(),
            payload,
            is_plain,
            queued,
            chunks: 0,
            bytes: 0,
            compressed: Partial::NEW,
        }
    }

    /// Compresses the next bytes, `STEP` at most, and returns their number; `None` at the end.
    fn compress(
        &mut self,
        compression: &mut Compression,
        account: &mut Account,
    ) -> Result<Option<usize>, Exhausted> {
        let Some(chunk) = self.payload.get(self.chunks) else {
            return Ok(None);
        };
        let piece = &chunk.bytes()[self.bytes..];
        let piece = &piece[..piece.len().min(STEP)];
        let ends_chunk = self.bytes + piece.len() == chunk.bytes().len();
        let is_last = ends_chunk && self.chunks + 1 == self.payload.len();
        compression.push(piece, is_last, &mut self.compressed, account)?;
        self.bytes += piece.len();
        if ends_chunk {
            self.chunks += 1;
            self.bytes = 0;
        }
        Ok(Some(piece.len()))
    }

    /// Hands the message over as one frame: compressed, or as it is.
    fn send(self, compressed: bool, out: &mut Outbox, account: &mut Account) -> bool {
        let mut fits = true;
        if compressed {
            for chunk in self.payload {
                chunk.free(account);
            }
            out.extend(compressed_frame(self.compressed, self.opcode));
        } else {
            self.compressed.release(account);
            let mut header = [0; MAX_SERVER_HEADER];
            let len = write_server_header(&mut header, true, self.opcode, self.len);
            fits = out.keep(header[..len].to_vec(), account);
            out.extend(self.payload);
        }
        out.count_last(self.queued);
        fits
    }
}

/// A compressed payload as the frame it is sent in.
fn compressed_frame(payload: Partial, opcode: Opcode) -> Vec<Chunk> {
    let len = payload.len();
    let mut chunks = payload.into_frame(opcode, len);
    if let Some(first) = chunks.first_mut() {
        first.set_bits(RSV1);
    }
    chunks
}

impl Compressing {
    pub(super) fn new(agreed: Agreed, config: &Config) -> Self {
        let settings = config.compression.unwrap_or_default();
        Self {
            compression: Compression::new(agreed, settings.level),
            threshold: settings.threshold,
            queue: VecDeque::new(),
            rest_at: 0,
            rest_charged: 0,
        }
    }

    /// What waits will not be sent any more.
    pub(super) fn abandon(&mut self, client: &Client) {
        for message in self.queue.drain(..) {
            client.release(message.queued);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Whether messages wait to be compressed, or behind one that does.
    pub(super) fn is_compressing(&self) -> bool {
        self.compressing
            .as_ref()
            .is_some_and(|compressing| !compressing.queue.is_empty())
    }

    /// Whether something was read that is yet to be looked at.
    pub(super) fn is_behind(&self) -> bool {
        !self.rest.is_empty() || self.receiver.is_behind()
    }

    /// Whether nothing is owed to the client for what it sent.
    pub(super) fn is_all_answered(&self) -> bool {
        self.slots.is_empty() && !self.is_compressing()
    }

    /// A turn begins; returns what it may spend.
    pub(super) fn begin_work(&mut self) -> usize {
        if self.compressing.is_none() {
            return 0;
        }
        let allowance = self.seated.desk.pace.allowance(&self.seated.seat);
        self.receiver.allow(allowance);
        allowance
    }

    /// It ends.
    pub(super) fn end_work(&mut self, allowance: usize) {
        if self.compressing.is_some() {
            let spent = allowance.saturating_sub(self.receiver.allowed());
            if spent > 0 {
                self.seated.desk.pace.spend(spent);
            }
        }
    }

    /// Whether there is work that this turn has no room for; the connection is woken for the next one then.
    pub(super) fn has_to_wait(&self) -> bool {
        let has_to = self.compressing.is_some()
            && self.receiver.allowed() == 0
            && (self.is_compressing() || self.is_behind() || self.receiver.is_inflating());
        if has_to {
            self.seated.desk.pace.wait(&self.seated.seat);
        }
        has_to
    }

    /// How much of `len` bytes is read at once.
    pub(super) fn most_read(&self, len: usize) -> usize {
        match &self.compressing {
            None => len,
            Some(_) if self.receiver.allowed() == 0 => LOOK,
            Some(_) => READ,
        }
    }

    /// Keeps what could not be looked at in this turn.
    pub(super) fn keep_rest(&mut self, rest: &[u8]) {
        let Some(compressing) = &mut self.compressing else {
            return;
        };
        if self.account.charge(rest.len()).is_err() {
            // Nothing of it would be looked at any more.
            return self.fail(Violation::no_memory(self.account.limit()));
        }
        compressing.rest_at = 0;
        compressing.rest_charged = rest.len();
        self.rest = rest.to_vec();
    }

    /// What was kept, and where to go on in it.
    pub(super) fn take_rest(&mut self) -> (Vec<u8>, usize) {
        let at = self.compressing.as_ref().map_or(0, |one| one.rest_at);
        (mem::take(&mut self.rest), at)
    }

    /// Looks at what was kept from `at` on the next time, and at nothing of it at its end.
    pub(super) fn put_rest(&mut self, rest: Vec<u8>, at: usize) {
        let Some(compressing) = &mut self.compressing else {
            return;
        };
        if at < rest.len() {
            compressing.rest_at = at;
            self.rest = rest;
        } else {
            compressing.rest_at = 0;
            self.account
                .release(mem::take(&mut compressing.rest_charged));
        }
    }

    /// The echo of a message that came compressed, which nothing has to wait for.
    pub(super) fn echo_compressed(&mut self, kind: Kind, message: Partial, turn: &mut Turn<'_>) {
        let Some(compressing) = &mut self.compressing else {
            return;
        };
        turn.count_sent();
        let len = message.len();
        let is_plain = len < compressing.threshold;
        if is_plain || len > STEP {
            let message = Message::new(kind.opcode(), message.into_chunks(), is_plain, 0);
            if is_plain {
                self.spill(turn);
                message.send(false, &mut self.out, &mut self.account);
            } else {
                compressing.queue.push_back(message);
            }
            return;
        }
        self.receiver.spend(Compression::cost(len));
        let mut compressed = Partial::NEW;
        let mut pieces = message.pieces().peekable();
        let pushed = loop {
            let piece = pieces.next().unwrap_or_default();
            let is_last = pieces.peek().is_none();
            let out = &mut compressed;
            match compressing
                .compression
                .push(piece, is_last, out, &mut self.account)
            {
                Ok(()) if is_last => break Ok(()),
                Ok(()) => {}
                Err(exhausted) => break Err(exhausted),
            }
        };
        drop(pieces);
        message.release(&mut self.account);
        if pushed.is_err() {
            compressed.release(&mut self.account);
            return self.exhaust();
        }
        self.spill(turn);
        self.out.extend(compressed_frame(compressed, kind.opcode()));
    }

    /// A message of the application's, which has taken room in the send queue.
    pub(super) fn compress_order(&mut self, kind: Kind, payload: Vec<u8>) {
        let queued = client::cost(payload.len());
        if self.closing.may_send() {
            self.counters().messages_sent.add(1);
            self.enqueue(kind.opcode(), payload, false, queued);
        } else {
            self.client.release(queued);
        }
    }

    /// Puts a message behind those that wait; it is compressed if it may be and is long enough.
    fn enqueue(&mut self, opcode: Opcode, payload: Vec<u8>, must_be_plain: bool, queued: usize) {
        let charged = payload.len();
        self.is_over |= !self.account.charge_anyway(charged);
        if let Some(compressing) = &mut self.compressing {
            let is_plain = must_be_plain || charged < compressing.threshold;
            let payload = vec![Chunk::new(payload, charged)];
            let message = Message::new(opcode, payload, is_plain, queued);
            compressing.queue.push_back(message);
        }
    }

    /// Whole frames, of which those that are not marked are compressed if they are long enough.
    pub(super) fn compress_frames(&mut self, mut frames: &[u8]) {
        while let Some((first, payload, rest)) = split_server_frame(frames) {
            let opcode = if first & 0x0f == Opcode::Text as u8 {
                Opcode::Text
            } else {
                Opcode::Binary
            };
            self.enqueue(opcode, payload.to_vec(), first & AS_IT_IS != 0, 0);
            frames = rest;
        }
    }

    /// Answers of the handler, in their order among what is held.
    pub(super) fn compress_replies(&mut self, replies: &Replies) {
        let (mut start, mut sent) = (0, 0);
        for &end in &replies.ends {
            sent += u64::from(end > start);
            if !self.take_awaited() {
                break;
            }
            self.compress_frames(&replies.wire[start..end]);
            start = end;
            self.send_held();
        }
        self.counters().messages_sent.add(sent);
    }

    /// Compresses what waits, as far as this turn goes.
    pub(super) fn compress(&mut self) {
        while self.receiver.allowed() > 0
            && let Some(compressing) = &mut self.compressing
            && let Some(message) = compressing.queue.front_mut()
        {
            let done = if message.is_plain {
                Ok(None)
            } else {
                message.compress(&mut compressing.compression, &mut self.account)
            };
            match done {
                Ok(Some(bytes)) => self.receiver.spend(Compression::cost(bytes)),
                Ok(None) => {
                    let fits = compressing.queue.pop_front().is_none_or(|message| {
                        let compressed = !message.is_plain;
                        message.send(compressed, &mut self.out, &mut self.account)
                    });
                    if compressing.queue.is_empty() {
                        compressing.queue = VecDeque::new();
                    }
                    self.is_over |= !fits;
                }
                // Nothing can follow a message that is not sent.
                Err(Exhausted) => self.exhaust(),
            }
        }
    }

    /// What waits to be compressed will not be sent any more.
    pub(super) fn abandon_compressing(&mut self) {
        if let Some(compressing) = &mut self.compressing {
            for message in mem::take(&mut compressing.queue) {
                message.compressed.release(&mut self.account);
                for chunk in message.payload {
                    chunk.free(&mut self.account);
                }
                self.client.release(message.queued);
            }
        }
    }

    /// Our close frame follows at once: what waits goes out before it, as it is.
    pub(super) fn flush_plain(&mut self) {
        if let Some(compressing) = &mut self.compressing {
            for message in mem::take(&mut compressing.queue) {
                message.send(false, &mut self.out, &mut self.account);
            }
        }
    }
}
