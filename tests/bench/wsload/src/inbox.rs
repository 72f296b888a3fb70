//! What comes back on one connection: frames become messages, and messages are compared with what was sent.

use crate::messages::{
    CLOSE, CONTINUATION, FIN, Messages, PING, PONG, parse_server_header, push_client_frame,
};

/// A frame whose header has been read.
struct Frame {
    first: u8,
    left: u64,
}

impl Frame {
    fn opcode(&self) -> u8 {
        self.first & 0x0f
    }
}

/// The receiving side of a connection.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Messages received whole.
    pub(crate) received: u64,
    /// Pongs that are owed, ready to be sent.
    pub(crate) pongs: Vec<u8>,
    verify: u64,
    header: Vec<u8>,
    frame: Option<Frame>,
    in_message: bool,
    /// How much of the current message has come.
    offset: usize,
    control: Vec<u8>,
}

impl Inbox {
    /// Compares the payloads of the first `verify` messages.
    pub(crate) fn new(verify: u64) -> Self {
        Self {
            verify,
            ..Self::default()
        }
    }

    /// Takes bytes of a plain TCP echo.
    pub(crate) fn feed_tcp(&mut self, sent: &Messages, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let (chunk, rest) = bytes.split_at(bytes.len().min(sent.size - self.offset));
            self.compare(sent, chunk)?;
            bytes = rest;
            if self.offset == sent.size {
                self.offset = 0;
                self.received += 1;
            }
        }
        Ok(())
    }

    /// Takes bytes of a WebSocket connection, cut anywhere.
    pub(crate) fn feed(&mut self, sent: &Messages, mut bytes: &[u8]) -> Result<(), String> {
        loop {
            if self.frame.is_none() {
                bytes = self.whole_echoes(sent, bytes)?;
                bytes = self.read_header(bytes)?;
            }
            let Some(frame) = &mut self.frame else {
                return Ok(());
            };
            let (chunk, rest) = bytes.split_at(frame.left.min(bytes.len() as u64) as usize);
            frame.left -= chunk.len() as u64;
            bytes = rest;
            self.read_payload(sent, chunk)?;
            if bytes.is_empty() && self.frame.is_some() {
                return Ok(());
            }
        }
    }

    /// The usual case, kept short: unfragmented echoes that lie whole in `bytes`.
    fn whole_echoes<'a>(
        &mut self,
        sent: &Messages,
        mut bytes: &'a [u8],
    ) -> Result<&'a [u8], String> {
        let header = sent.echo_header.as_slice();
        if !self.header.is_empty() || self.in_message {
            return Ok(bytes);
        }
        while bytes.len() >= header.len() + sent.size && bytes.starts_with(header) {
            let (echo, rest) = bytes.split_at(header.len() + sent.size);
            if self.received < self.verify {
                self.compare(sent, &echo[header.len()..])?;
                self.offset = 0;
            }
            bytes = rest;
            self.received += 1;
        }
        Ok(bytes)
    }

    fn read_header<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8], String> {
        loop {
            if let Some((_, left)) = parse_server_header(&self.header)? {
                let frame = Frame {
                    first: self.header[0],
                    left,
                };
                self.header.clear();
                self.begin(&frame)?;
                self.frame = Some(frame);
                return Ok(bytes);
            }
            let [byte, rest @ ..] = bytes else {
                return Ok(bytes);
            };
            self.header.push(*byte);
            bytes = rest;
        }
    }

    fn begin(&mut self, frame: &Frame) -> Result<(), String> {
        if frame.first & 0x70 != 0 {
            return Err(format!("reserved bits in {:#x}", frame.first));
        }
        if frame.opcode() >= CLOSE {
            self.control.clear();
        } else if (frame.opcode() == CONTINUATION) != self.in_message {
            return Err(format!("opcode {} out of sequence", frame.opcode()));
        }
        Ok(())
    }

    fn read_payload(&mut self, sent: &Messages, chunk: &[u8]) -> Result<(), String> {
        let Some(frame) = &self.frame else {
            return Ok(());
        };
        let (opcode, fin, whole) = (frame.opcode(), frame.first & FIN != 0, frame.left == 0);
        if opcode >= CLOSE {
            self.control.extend_from_slice(chunk);
            if whole {
                self.frame = None;
                return self.control_frame(opcode);
            }
            return Ok(());
        }
        if opcode != CONTINUATION && opcode != sent.opcode {
            return Err(format!("echo has opcode {opcode}"));
        }
        if self.offset + chunk.len() > sent.size {
            return Err("echo is longer than the message".into());
        }
        self.compare(sent, chunk)?;
        if whole {
            self.frame = None;
            self.in_message = !fin;
            if fin {
                return self.message_ends(sent);
            }
        }
        Ok(())
    }

    fn message_ends(&mut self, sent: &Messages) -> Result<(), String> {
        if self.offset != sent.size {
            return Err(format!("echo has {} bytes, not {}", self.offset, sent.size));
        }
        self.offset = 0;
        self.received += 1;
        Ok(())
    }

    fn compare(&mut self, sent: &Messages, chunk: &[u8]) -> Result<(), String> {
        let end = self.offset + chunk.len();
        if self.received < self.verify && sent.payload(self.received)[self.offset..end] != *chunk {
            return Err(format!("message {} differs", self.received));
        }
        self.offset = end;
        Ok(())
    }

    fn control_frame(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            PING => push_client_frame(FIN | PONG, [9, 8, 7, 6], &self.control, &mut self.pongs),
            PONG => {}
            CLOSE => return Err(format!("server closed: {:?}", self.control)),
            _ => return Err(format!("unknown opcode {opcode}")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoes(sent: &Messages) -> Vec<u8> {
        let mut wire = vec![0x89, 1, b'p'];
        for number in 0..3 {
            wire.extend_from_slice(&sent.echo_header);
            wire.extend_from_slice(sent.payload(number));
        }
        // The fourth in two fragments, with an empty ping between them.
        wire.extend_from_slice(&[0x02, 100]);
        wire.extend_from_slice(&sent.payload(3)[..100]);
        wire.extend_from_slice(&[0x89, 0, 0x80, 200]);
        let split = wire.len() - 1;
        wire.splice(split.., [126, 0, 200]);
        wire.extend_from_slice(&sent.payload(3)[100..]);
        wire
    }

    #[test]
    fn echoes_are_understood_however_they_are_cut() {
        let sent = Messages::new(300, false, false);
        let wire = echoes(&sent);
        for step in [1, 2, 3, 7, 299, 305, wire.len()] {
            let mut inbox = Inbox::new(u64::MAX);
            for part in wire.chunks(step) {
                inbox.feed(&sent, part).unwrap();
            }
            assert_eq!(inbox.received, 4, "in steps of {step}");
            assert_eq!(inbox.pongs.len(), 6 + 1 + 6);
        }
    }

    #[test]
    fn a_wrong_byte_a_wrong_length_and_a_wrong_opcode_are_noticed() {
        let sent = Messages::new(300, false, false);
        let good = [sent.echo_header.as_slice(), sent.payload(0)].concat();
        for (at, wrong) in [
            (20, good[20] ^ 1),
            (3, 43),
            (3, 45),
            (0, 0x81),
            (0, 0x80),
            (0, 0xc2),
        ] {
            let mut wire = good.clone();
            wire[at] = wrong;
            wire.push(0);
            assert!(
                Inbox::new(1).feed(&sent, &wire).is_err(),
                "byte {at} = {wrong}"
            );
        }
    }
}
