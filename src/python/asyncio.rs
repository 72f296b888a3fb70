//! The runner `loop`: the dispatcher as turns on an event loop, which a byte on a socket pair starts, once for all that is
//! queued. Coroutines go on in tasks.
//!
//! Everything here but the reader's end happens on the thread of the loop. No lock is held while Python code runs. What
//! has to cross from one loop to another is rare, and not here.

mod closing;
pub(super) mod event_loop;
pub(super) mod inbox;
mod line;
mod on_loop;
pub(super) mod task;
pub(super) mod turn;
