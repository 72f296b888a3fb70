//! Faults: what a server does to its clients that it should not, so that a test sees what they do then. All of it is in
//! one [table]; who sets a fault says when it acts, and a [script](script::Script) answers for one connection "what
//! now?". Does nothing by itself: no I/O, no thread, and time comes in as a value.

pub mod action;
pub mod fault;
pub mod grammar;
pub mod hits;
pub mod plan;
mod random;
pub mod registry;
pub mod script;
pub mod selector;
pub mod shape;
pub mod table;
pub mod url;
pub mod values;
pub mod violations;
