//! One message at the door: it is compressed, and goes out in one frame or, where a doorkeeper wants that, in several.

use super::super::doorkeeper::{Cut, Doorkeeper};
use super::super::output::Output;
use crate::protocol::account::{Account, Exhausted};
use crate::protocol::deflate::compressing::Compression;
use crate::protocol::frame::{Opcode, RSV1, server_header};
use crate::protocol::partial::{Chunk, Partial};
use std::collections::VecDeque;
use std::mem;

/// Bytes compressed in one step, about a millisecond at level 6; longer echoes go through the queue. In shorter steps a
/// thread with many such clients would do little but fetch their contexts into its cache.
pub(in crate::protocol::sending) const STEP: usize = 64 << 10;
/// What a message at the door costs beside its payload.
const COST: usize = size_of::<Message>() + 64;
/// Payload that is rather copied behind other output than sent as a piece of its own.
const SMALL: usize = 4 << 10;
/// What a byte costs of the budget that goes out where a doorkeeper decides is this part of one: whether it is copied or
/// not, it may be one that the doorkeeper has made, of a message that had none.
const PASSED: usize = 4;
/// What a frame costs of it beside its bytes: as long as it takes to make one, so much is inflated.
const FRAME: usize = 64;

/// What that many bytes cost of the budget that go out in one frame, or would have if a doorkeeper had let them.
pub(in crate::protocol::sending) const fn passed(len: usize) -> usize {
    len / PASSED + FRAME
}

/// A message that is to be sent.
#[derive(Debug)]
pub(super) struct Message {
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
    /// How often it is to be sent again.
    again: usize,
    /// What is left of it, where a doorkeeper decides about each frame.
    frames: Option<Box<Frames>>,
}

/// How far a message has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more to do.
    More,
    /// It is on its way, and has nothing more to do with the door.
    Done,
    /// It is not to be sent, nor anything after it.
    Cut(Cut),
}

impl Message {
    /// What is charged for it, beside its payload.
    pub(super) const COST: usize = COST;

    pub(super) fn new(
        opcode: Option<Opcode>,
        mut payload: Vec<Chunk>,
        is_plain: bool,
        ticket: usize,
        again: usize,
    ) -> Self {
        if payload.is_empty() {
            payload.push(Chunk::new(Vec::new(), 0));
        }
        Self {
            opcode,
            len: total(&payload),
            payload,
            is_plain,
            ticket,
            chunks: 0,
            bytes: 0,
            compressed: Partial::NEW,
            again,
            frames: None,
        }
    }

    pub(super) const fn ticket(&mut self) -> &mut usize {
        &mut self.ticket
    }

    /// Does the next thing that there is to do.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing more can be compressed after it.
    pub(super) fn step(
        &mut self,
        compression: Option<&mut Compression>,
        doorkeeper: Option<&dyn Doorkeeper>,
        budget: &mut usize,
        output: &mut Output,
        account: &mut Account,
    ) -> Result<Step, Exhausted> {
        if let Some(frames) = &mut self.frames {
            if let Some(cut) = doorkeeper.and_then(Doorkeeper::frame) {
                return Ok(Step::Cut(cut));
            }
            let sent = frames.send_next(output, account);
            *budget = budget.saturating_sub(passed(sent));
            return Ok(self.after_frame(output));
        }
        if let Some(compression) = compression.filter(|_| !self.is_plain)
            && let Some(bytes) = self.compress(compression, account)?
        {
            *budget = budget.saturating_sub(Compression::cost(bytes));
            return Ok(Step::More);
        }
        // What was decided stays so, also where nobody decides any more.
        let is_decided = doorkeeper.is_some() || self.again > 0;
        let Some(opcode) = self.opcode.filter(|_| is_decided) else {
            if self.opcode.is_none() {
                *budget = budget.saturating_sub(passed(self.len));
            }
            self.send(!self.is_plain, output, account);
            return Ok(Step::Done);
        };
        let frames = self.frames(opcode, output, account);
        let size = doorkeeper.map_or(usize::MAX, |doorkeeper| doorkeeper.fragment(frames.left));
        self.frames = Some(Box::new(Frames { size, ..frames }));
        Ok(Step::More)
    }

    /// Whether the frame that was sent was the last one.
    fn after_frame(&mut self, output: &mut Output) -> Step {
        if self.frames.as_ref().is_some_and(|frames| !frames.is_over) {
            return Step::More;
        }
        self.frames = None;
        if self.again > 0 {
            self.again -= 1;
            (self.chunks, self.bytes) = (0, 0);
            return Step::More;
        }
        output.set_last_ticket(mem::take(&mut self.ticket));
        Step::Done
    }

    /// The payload as it goes out: compressed, itself, or a copy if it is to be sent again.
    fn frames(&mut self, opcode: Opcode, output: &mut Output, account: &mut Account) -> Frames {
        let mut first = opcode as u8;
        let payload = if !self.is_plain {
            first |= RSV1;
            mem::take(&mut self.compressed).into_chunks()
        } else if self.again > 0 {
            let copies = self.payload.iter().map(|chunk| {
                let (copy, fits) = chunk.copy(account);
                if !fits {
                    output.note_over();
                }
                copy
            });
            copies.collect()
        } else {
            mem::take(&mut self.payload)
        };
        if self.again == 0 {
            free(mem::take(&mut self.payload), account);
        }
        Frames {
            left: total(&payload),
            payload: payload.into(),
            size: usize::MAX,
            first,
            is_over: false,
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

    /// Hands the message over as one frame: compressed, or as it is. One that is on its way has its rest in one.
    pub(super) fn send(&mut self, compressed: bool, output: &mut Output, account: &mut Account) {
        let payload = mem::take(&mut self.payload);
        let in_part = mem::take(&mut self.compressed);
        if let Some(mut frames) = self.frames.take() {
            frames.size = usize::MAX;
            frames.send_next(output, account);
            free(payload, account);
            in_part.release(account);
        } else if let Some(opcode) = self.opcode.filter(|_| compressed) {
            free(payload, account);
            output.extend(compressed_frame(in_part, opcode));
        } else {
            in_part.release(account);
            send_plain(self.opcode, self.len, payload, output, account);
        }
        output.set_last_ticket(mem::take(&mut self.ticket));
    }

    /// Gives it up, what is left of it; returns its ticket.
    pub(super) fn release(self, account: &mut Account) -> usize {
        account.release(COST);
        self.compressed.release(account);
        free(self.payload, account);
        if let Some(frames) = self.frames {
            free(frames.payload, account);
        }
        self.ticket
    }
}

/// What is left of a message that goes out in frames.
#[derive(Debug)]
struct Frames {
    payload: VecDeque<Chunk>,
    left: usize,
    /// Payload bytes of one frame at most.
    size: usize,
    /// The first byte of the next frame, without FIN.
    first: u8,
    is_over: bool,
}

impl Frames {
    /// Sends the next frame, and returns how many bytes it has.
    fn send_next(&mut self, output: &mut Output, account: &mut Account) -> usize {
        let len = self.left.min(self.size);
        self.is_over = len == self.left;
        self.left -= len;
        let (header, header_len) = server_header(self.first, self.is_over, len);
        output.append(&header[..header_len], account);
        // Only the first frame says what it is.
        self.first = Opcode::Continuation as u8;
        if self.is_over && len > SMALL {
            for chunk in mem::take(&mut self.payload) {
                push(chunk, output, account);
            }
            return header_len + len;
        }
        let mut wanted = len;
        while wanted > 0
            && let Some(chunk) = self.payload.front_mut()
        {
            let piece = chunk.bytes();
            let piece = &piece[..piece.len().min(wanted)];
            wanted -= piece.len();
            output.append(piece, account);
            let taken = piece.len();
            chunk.advance(taken);
            if chunk.bytes().is_empty()
                && let Some(chunk) = self.payload.pop_front()
            {
                chunk.free(account);
            }
        }
        if self.is_over {
            free(mem::take(&mut self.payload), account);
        }
        header_len + len
    }
}

/// Bytes of a payload.
pub(super) fn total(payload: &[Chunk]) -> usize {
    payload.iter().map(|chunk| chunk.bytes().len()).sum()
}

fn free(payload: impl IntoIterator<Item = Chunk>, account: &mut Account) {
    payload.into_iter().for_each(|chunk| chunk.free(account));
}

fn push(chunk: Chunk, output: &mut Output, account: &mut Account) {
    if chunk.bytes().is_empty() {
        chunk.free(account);
    } else {
        output.push(chunk);
    }
}

/// A message, or without `opcode` whole frames, as it is.
pub(super) fn send_plain(
    opcode: Option<Opcode>,
    len: usize,
    payload: Vec<Chunk>,
    output: &mut Output,
    account: &mut Account,
) {
    if let Some(opcode) = opcode {
        let (header, header_len) = server_header(opcode as u8, true, len);
        output.keep(header[..header_len].to_vec(), account);
    }
    for chunk in payload {
        push(chunk, output, account);
    }
}

/// A compressed payload as the frame it is sent in.
pub(super) fn compressed_frame(payload: Partial, opcode: Opcode) -> Vec<Chunk> {
    let len = payload.len();
    let mut chunks = payload.into_frame(opcode, len);
    if let Some(first) = chunks.first_mut() {
        first.set_bits(RSV1);
    }
    chunks
}
