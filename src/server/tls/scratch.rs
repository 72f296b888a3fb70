//! A worker's buffers for ciphertext.

/// A worker's buffers, made when its first TLS client comes.
#[derive(Debug, Default)]
pub(in crate::server) struct Scratch {
    pub(super) incoming: Vec<u8>,
    pub(super) outgoing: Vec<u8>,
    /// Small pieces that are to become one record.
    pub(super) joined: Vec<u8>,
}
