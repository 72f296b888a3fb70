//! What the workers are to tell: the sum of what the parts of the binding want.

use super::lock::lock;
use crate::handler::Wants;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// For whom.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whom {
    Callbacks,
    Iterators,
    /// Python's logging: who comes, and what there was of who goes, only if it is at DEBUG when the server starts.
    Log,
    /// Nobody: `echo` is off.
    Silence,
    /// Answers to handshakes that were given beforehand.
    Handshakes,
    /// The door of an event loop that is not asyncio's.
    Door,
    /// Who is told of the frames of a message.
    Frames,
}

#[derive(Debug)]
pub(super) struct Wanted {
    parts: Mutex<[Wants; 7]>,
    sum: AtomicU32,
}

impl Wanted {
    pub(super) fn new() -> Self {
        let wanted = Self {
            parts: Mutex::new([Wants::NOTHING; 7]),
            sum: AtomicU32::default(),
        };
        wanted.set(Whom::Log, Wants::REFUSAL);
        wanted
    }

    /// From the next read on.
    pub(super) fn set(&self, whom: Whom, wants: Wants) {
        let mut parts = lock(&self.parts);
        parts[whom as usize] = wants;
        let sum = parts.iter().fold(Wants::NOTHING, |sum, part| sum | *part);
        self.sum.store(sum.bits(), Ordering::SeqCst);
    }

    pub(super) fn of(&self, whom: Whom) -> Wants {
        lock(&self.parts)[whom as usize]
    }

    /// All together; cheap.
    pub(super) fn sum(&self) -> Wants {
        Wants::from_bits(self.sum.load(Ordering::Relaxed))
    }
}
