//! A limit of bytes that somebody else sets.

/// A number of bytes, and what it is called where it is set, for the reason of a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its name, in one word of memory: every connection has one.
    pub name: &'static &'static str,
    /// Bytes.
    pub bytes: usize,
}

impl Limit {
    /// A limit of that name.
    #[must_use]
    pub const fn new(name: &'static &'static str, bytes: usize) -> Self {
        Self { name, bytes }
    }
}
