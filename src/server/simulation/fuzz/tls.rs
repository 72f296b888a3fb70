//! A TLS client that does what a script says: any records, any cuts, both versions.

use super::{MAX_STEPS, Script};
use crate::server::simulation::records::Records;
use crate::server::simulation::stream::Temper;
use crate::server::simulation::tls_peer::{TlsPeer, VERSIONS};
use crate::server::simulation::{Config, Duration, REQUEST, Simulation, TEXT, frame, settle};

/// Plays a script.
///
/// # Panics
/// With a finding.
pub fn tls(script: &[u8]) {
    let mut script = Script(script);
    let flags = script.size();
    let config = Config {
        memory_limit: if flags & 4 == 0 { 8 << 20 } else { 60_000 },
        ..Config::default()
    };
    Simulation::echo(config, async |simulation| {
        let temper = if flags & 2 == 0 {
            Temper::even()
        } else {
            Temper::moody(script.size() as u64)
        };
        let version = VERSIONS[flags & 1];
        let mut player = Player {
            // With little memory it may be refused.
            is_proper: flags & 4 == 0,
            client: TlsPeer::certified(simulation, temper, version),
            pending: Vec::new(),
            expected: Vec::new(),
            updates: 0,
            is_deaf: false,
        };
        player.client.send(REQUEST);
        for _ in 0..MAX_STEPS {
            let Some(step) = script.byte() else { break };
            player.step(step, &mut script).await;
        }
        player.finish().await;
    });
}

struct Player {
    client: TlsPeer,
    /// Ciphertext that is not sent yet.
    pending: Vec<u8>,
    /// What the server has to send if the client is proper.
    expected: Vec<u8>,
    /// Updates of keys that nothing was sent between.
    updates: usize,
    is_proper: bool,
    /// The client has failed or said goodbye: it says nothing more, and rustls must not be shown more.
    is_deaf: bool,
}

impl Player {
    async fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step % 12 {
            3 | 5 | 10 if self.is_deaf => {}
            0 => {
                self.is_proper = false;
                self.pending.extend(script.bytes());
            }
            1 => self.client.cut(script.size()),
            2 => {
                let len = script.size();
                self.deliver(len).await;
            }
            3 => {
                let text = "x".repeat(script.size().min(125));
                self.client.send(frame(TEXT, &text));
                self.expected.push(TEXT);
                self.expected.push(u8::try_from(text.len()).unwrap());
                self.expected.extend(text.bytes());
                self.updates = 0;
            }
            4 => {
                self.is_proper = false;
                let kind = 20 + script.byte().unwrap_or_default() % 5;
                self.collect();
                let record = self
                    .client
                    .records
                    .lock()
                    .unwrap()
                    .make(kind, script.bytes());
                self.pending.extend(record);
            }
            5 if self.updates < 10 && !self.client.tls.is_handshaking() => {
                Records::attend(&self.client.records);
                // There are no updates in 1.2.
                if self.client.tls.refresh_traffic_keys().is_ok() {
                    self.updates += 1;
                }
            }
            6 => self.client.peer.take_only(16 * script.size()),
            7 => self.hear(),
            8 => {
                self.is_proper = false;
                self.client.peer.send_end();
            }
            9 => {
                self.is_proper = false;
                tokio::time::advance(Duration::from_millis(100 * script.size() as u64)).await;
            }
            10 => {
                self.is_proper = false;
                Records::attend(&self.client.records);
                self.client.tls.send_close_notify();
                self.is_deaf = true;
            }
            11 => {
                self.collect();
                let at = script.size();
                if let Some(byte) = self.pending.get_mut(at) {
                    self.is_proper = false;
                    *byte ^= 1 << (step / 12 % 8);
                }
            }
            _ => {}
        }
    }

    fn collect(&mut self) {
        let written = self.client.written();
        self.pending.extend(written);
    }

    /// Sends that many bytes, or all with 0.
    async fn deliver(&mut self, len: usize) {
        self.collect();
        let len = match len {
            0 => self.pending.len(),
            len => len.min(self.pending.len()),
        };
        let rest = self.pending.split_off(len);
        self.client.peer.send(&self.pending);
        self.pending = rest;
        settle().await;
    }

    /// Reads what has come.
    fn hear(&mut self) {
        let bytes = self.client.peer.take_received();
        if !self.is_deaf && self.client.take(&bytes).is_err() {
            self.is_deaf = true;
            assert!(!self.is_proper, "the client was not understood");
        }
    }

    async fn finish(mut self) {
        self.client.peer.take_only(usize::MAX);
        // Until nobody has anything to say.
        let wire = self.client.peer.watcher();
        loop {
            let happened = wire.happened();
            self.deliver(0).await;
            self.hear();
            if wire.happened() == happened && !self.client.tls.wants_write() {
                break;
            }
        }
        if self.is_proper {
            assert!(!self.client.tls.is_handshaking());
            let head = b"HTTP/1.1 101 ";
            assert!(self.client.received.starts_with(head));
            assert!(self.client.received.ends_with(&self.expected));
            assert!(!self.client.peer.is_over());
        }
        self.client.peer.send_end();
        self.client.peer.expect_drop().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the fuzzer's, without its patience.
    #[test]
    fn random_scripts_find_nothing_in_tls() {
        let mut temper = Temper::moody(11);
        for number in 0..150 {
            let len = temper.below(80);
            // The settings, then steps; in every other script only those of a proper client.
            let mut script = vec![u8::try_from(temper.below(256)).unwrap()];
            for _ in 0..len {
                let step = match number % 2 {
                    0 => [1, 2, 2, 2, 3, 5, 6, 7][temper.below(8)],
                    _ => temper.below(96),
                };
                script.push(u8::try_from(step).unwrap());
                script.push(u8::try_from(temper.below(256)).unwrap());
            }
            tls(&script);
        }
    }
}
