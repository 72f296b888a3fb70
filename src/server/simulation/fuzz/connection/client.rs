//! What the client says, how it cuts that, and what it hears.

use super::Play;
use crate::protocol::close;
use crate::server::simulation::{BINARY, CLOSE, TEXT, frame};

impl Play<'_> {
    pub(super) fn request_len(&self) -> usize {
        let end = self.said.windows(4).position(|end| end == b"\r\n\r\n");
        end.unwrap() + 4
    }

    pub(super) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        if !self.done.end {
            self.said.extend(bytes.as_ref());
        }
    }

    pub(super) fn content(&mut self, size: usize) -> Vec<u8> {
        self.number += 1;
        let mut content = format!("m{}", self.number).into_bytes();
        content.resize(content.len() + size * size, b'x');
        content
    }

    pub(super) fn say_message(&mut self, size: usize, variant: usize) {
        let content = self.content(size);
        self.say(frame([TEXT, BINARY][variant % 2], content));
    }

    pub(super) fn say_compressed(&mut self, size: usize, variant: usize) {
        // What was said after the client's end is not compressed either.
        if self.done.end || self.codec.is_none() {
            return;
        }
        let content = self.content(size);
        let at = self.said.len() - self.request_len();
        if let (Some(codec), Some(plain)) = (&mut self.codec, &mut self.plain) {
            let frame = codec.frame([TEXT, BINARY][variant % 2], &content);
            plain.insert(at, content);
            self.said.extend(frame);
        }
    }

    pub(super) fn say_close(&mut self, variant: usize) {
        let payload = match variant {
            0 => Vec::new(),
            1 => vec![3],
            2 => close::payload(1005, ""),
            3 => close::payload(3000, "bye"),
            _ => close::payload(close::NORMAL, ""),
        };
        self.say(frame(CLOSE, payload));
    }

    /// Changes a bit of what is not sent yet.
    pub(super) fn garble(&mut self, at: usize, bit: usize) {
        let from = self.sent.max(self.request_len());
        if let Some(byte) = self.said[from..].get_mut(at) {
            *byte ^= 1 << (bit % 8);
            self.is_garbled |= self.options.has_deflate();
        }
    }

    pub(super) fn deliver(&mut self, len: usize) {
        let end = self.sent.saturating_add(len).min(self.said.len());
        self.peer.send(&self.said[self.sent..end]);
        self.sent = end;
    }

    pub(super) fn hear(&mut self) {
        let bytes = self.peer.take_received();
        self.hearing.hear(&bytes, &mut self.codec);
    }
}
