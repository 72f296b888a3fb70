//! Messages that wait to be compressed, in the order in which they are sent, since each may refer to those before it.

use super::output::Output;
use crate::protocol::account::{Account, Exhausted};
use crate::protocol::deflate::compressing::Compression;
use crate::protocol::extensions::Agreed;
use crate::protocol::frame::{MAX_SERVER_HEADER, Opcode, RSV1, write_server_header};
use crate::protocol::partial::{Chunk, Partial};
use std::collections::VecDeque;

/// Bytes compressed in one step, about a millisecond at level 6; longer echoes go through the queue. In shorter steps a
/// thread with many such clients would do little but fetch their contexts into its cache.
pub(super) const STEP: usize = 64 << 10;
/// What a message in the queue costs beside its payload.
const COST: usize = size_of::<Message>() + 64;

/// What a connection with `permessage-deflate` has besides.
#[derive(Debug)]
pub(super) struct Compressing {
    pub(super) compression: Compression,
    threshold: usize,
    queue: VecDeque<Message>,
}

/// A message that is to be sent.
#[derive(Debug)]
struct Message {
    /// `None`: the payload is whole frames, to be sent as they are.
    opcode: Option<Opcode>,
    payload: Vec<Chunk>,
    len: usize,
    is_plain: bool,
    ticket: usize,
    /// How far it is compressed: whole chunks, and bytes of the next.
    chunks: usize,
    bytes: usize,
    compressed: Partial,
}

impl Message {
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
    fn send(self, compressed: bool, output: &mut Output, account: &mut Account) {
        account.release(COST);
        if let Some(opcode) = self.opcode.filter(|_| compressed) {
            for chunk in self.payload {
                chunk.free(account);
            }
            output.extend(compressed_frame(self.compressed, opcode));
        } else {
            self.compressed.release(account);
            send_plain(self.opcode, self.len, self.payload, output, account);
        }
        output.set_last_ticket(self.ticket);
    }

    fn release(self, account: &mut Account) -> usize {
        account.release(COST);
        self.compressed.release(account);
        for chunk in self.payload {
            chunk.free(account);
        }
        self.ticket
    }
}

fn send_plain(
    opcode: Option<Opcode>,
    len: usize,
    payload: Vec<Chunk>,
    output: &mut Output,
    account: &mut Account,
) {
    if let Some(opcode) = opcode {
        let mut header = [0; MAX_SERVER_HEADER];
        let header_len = write_server_header(&mut header, true, opcode, len);
        output.keep(header[..header_len].to_vec(), account);
    }
    for chunk in payload {
        if chunk.bytes().is_empty() {
            chunk.free(account);
        } else {
            output.push(chunk);
        }
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
    pub(super) fn new(agreed: Agreed, level: u8, threshold: usize) -> Self {
        Self {
            compression: Compression::new(agreed, level),
            threshold,
            queue: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a message of `len` bytes is too short to be compressed.
    pub(super) const fn is_short(&self, len: usize) -> bool {
        len < self.threshold
    }

    /// Puts a message behind those that wait. `false` if that passes the memory limit.
    pub(super) fn push(
        &mut self,
        opcode: Option<Opcode>,
        mut payload: Vec<Chunk>,
        is_plain: bool,
        ticket: usize,
        account: &mut Account,
    ) -> bool {
        if payload.is_empty() {
            payload.push(Chunk::new(Vec::new(), 0));
        }
        self.queue.push_back(Message {
            opcode,
            len: payload.iter().map(|chunk| chunk.bytes().len()).sum(),
            payload,
            is_plain,
            ticket,
            chunks: 0,
            bytes: 0,
            compressed: Partial::NEW,
        });
        account.charge_anyway(COST)
    }

    /// The ticket of the message that waits behind all others.
    pub(super) fn last_ticket(&mut self) -> Option<&mut usize> {
        self.queue.back_mut().map(|message| &mut message.ticket)
    }

    /// Sends a message at once, which nothing waits before.
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
        if self.is_short(message.len()) {
            let len = message.len();
            send_plain(Some(opcode), len, message.into_chunks(), output, account);
            return Ok(());
        }
        let mut compressed = Partial::NEW;
        let mut pieces = message.pieces().peekable();
        let pushed = loop {
            let piece = pieces.next().unwrap_or_default();
            let is_last = pieces.peek().is_none();
            let pushed = self
                .compression
                .push(piece, is_last, &mut compressed, account);
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

    /// Compresses what waits, as far as `budget` goes.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing more can be compressed after it.
    pub(super) fn run(
        &mut self,
        budget: &mut usize,
        output: &mut Output,
        account: &mut Account,
    ) -> Result<(), Exhausted> {
        while *budget > 0
            && let Some(message) = self.queue.front_mut()
        {
            let done = if message.is_plain {
                None
            } else {
                message.compress(&mut self.compression, account)?
            };
            match done {
                Some(bytes) => *budget = budget.saturating_sub(Compression::cost(bytes)),
                None => {
                    if let Some(message) = self.queue.pop_front() {
                        let compressed = !message.is_plain;
                        message.send(compressed, output, account);
                    }
                }
            }
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        Ok(())
    }

    /// What waits goes out as it is.
    pub(super) fn send_plain(&mut self, output: &mut Output, account: &mut Account) {
        for message in std::mem::take(&mut self.queue) {
            message.send(false, output, account);
        }
    }

    /// What waits is given up; returns its tickets.
    pub(super) fn clear(&mut self, account: &mut Account) -> usize {
        let messages = std::mem::take(&mut self.queue);
        messages
            .into_iter()
            .map(|message| message.release(account))
            .sum()
    }

    /// Gives everything back.
    pub(super) fn release(&mut self, account: &mut Account) -> usize {
        self.compression.release(account);
        self.clear(account)
    }
}
