//! What a script begins with: how the server is set up, and what its handler wants.

use super::super::Script;
use crate::config::Config;
use crate::handler::Wants;
use crate::protocol::extensions::Deflate;
use std::time::Duration;

const LIMITS: [usize; 4] = [125, 3000, 70_000, 64 << 20];

/// What a script begins with.
pub(super) struct Options {
    pub(super) flags: usize,
    pub(super) limit: usize,
    pub(super) config: Config,
    pub(super) wants: Wants,
}

impl Options {
    pub(super) fn new(script: &mut Script<'_>) -> Self {
        let (flags, others, time) = (script.size(), script.size(), script.size());
        let when = |bit, wants| {
            if flags & bit == 0 {
                Wants::NOTHING
            } else {
                wants
            }
        };
        let wants = when(1, Wants::TEXT)
            | when(2, Wants::BINARY)
            | when(4, Wants::OPEN)
            | when(8, Wants::HANDSHAKE)
            | Wants::CLOSE;
        let limit = LIMITS[others % 4];
        let takes_turns = others & 64 != 0;
        let deflate = Deflate {
            threshold: if others & 32 == 0 { 0 } else { 20 },
            server_no_context_takeover: takes_turns,
            client_no_context_takeover: takes_turns,
            ..Deflate::default()
        };
        let seconds = |bits: usize| match time >> bits & 3 {
            0 => None,
            seconds => Some(Duration::from_secs(4 * seconds as u64)),
        };
        let config = Config {
            max_message_size: limit,
            memory_limit: if others & 4 == 0 {
                1 << 30
            } else {
                4000 + 2500 * script.size()
            },
            max_send_queue: if others & 8 == 0 { 16 << 20 } else { 1000 },
            compression: (flags & 16 != 0).then_some(deflate),
            idle_timeout: seconds(0),
            ping_interval: seconds(2),
            ping_timeout: seconds(4).unwrap_or(Duration::from_secs(20)),
            close_timeout: seconds(6).unwrap_or_default(),
            ..Config::default()
        };
        Self {
            flags,
            limit,
            config,
            wants,
        }
    }

    pub(super) fn has_little_memory(&self) -> bool {
        self.config.memory_limit < 1 << 30
    }

    pub(super) fn has_deflate(&self) -> bool {
        self.config.compression.is_some()
    }
}
