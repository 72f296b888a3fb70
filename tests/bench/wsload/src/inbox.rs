//! What comes back on one connection: frames become messages, and messages are compared with what was sent.

use crate::deflate::Inflater;
use crate::messages::{
    CLOSE, CONTINUATION, FIN, Messages, PING, PONG, RSV1, parse_server_header, push_client_frame,
};

/// So many replies of each connection are asked for their size: the same messages, however fast the server is.
pub(crate) const SIZED: u64 = 8;

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

/// What the payloads of a connection's messages pass through.
#[derive(Default)]
struct Check {
    /// How many messages are compared.
    verify: u64,
    /// How much of the current message has come.
    offset: usize,
}

impl Check {
    fn compare(&mut self, sent: &Messages, number: u64, chunk: &[u8]) -> Result<(), String> {
        let end = self.offset + chunk.len();
        let Some(part) = sent.payload(number).get(self.offset..end) else {
            return Err("echo is longer than the message".into());
        };
        if number < self.verify && part != chunk {
            return Err(format!("message {number} differs"));
        }
        self.offset = end;
        Ok(())
    }
}

/// The receiving side of a connection.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Messages received whole.
    pub(crate) received: u64,
    /// Pongs that are owed, ready to be sent.
    pub(crate) pongs: Vec<u8>,
    /// Payload bytes, as they came, of the first of them ([`SIZED`]).
    pub(crate) sized_bytes: u64,
    check: Check,
    header: Vec<u8>,
    frame: Option<Frame>,
    in_message: bool,
    /// The message is compressed.
    is_small: bool,
    inflater: Option<Inflater>,
    control: Vec<u8>,
}

impl Inbox {
    /// Compares the payloads of the first `verify` messages.
    pub(crate) fn new(verify: u64, compressed: bool) -> Self {
        Self {
            check: Check { verify, offset: 0 },
            inflater: compressed.then(Inflater::new),
            ..Self::default()
        }
    }

    /// Takes bytes of a plain TCP echo.
    pub(crate) fn feed_tcp(&mut self, sent: &Messages, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let size = sent.payload(self.received).len();
            let (chunk, rest) = bytes.split_at(bytes.len().min(size - self.check.offset));
            self.check.compare(sent, self.received, chunk)?;
            bytes = rest;
            if self.check.offset == size {
                self.message_ends(sent)?;
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
        if !self.header.is_empty() || self.in_message || sent.compressed {
            return Ok(bytes);
        }
        loop {
            let (echo, header) = sent.echo(self.received);
            let compared = match self.received < self.check.verify {
                true => echo,
                false => &echo[..header],
            };
            if bytes.len() < echo.len() || !bytes.starts_with(compared) {
                return Ok(bytes);
            }
            bytes = &bytes[echo.len()..];
            self.received += 1;
        }
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
        let small = frame.first & RSV1 != 0;
        let may_be_small = self.inflater.is_some() && !self.in_message && frame.opcode() < CLOSE;
        if frame.first & 0x30 != 0 || small && !may_be_small {
            return Err(format!("reserved bits in {:#x}", frame.first));
        }
        if frame.opcode() >= CLOSE {
            self.control.clear();
        } else if (frame.opcode() == CONTINUATION) != self.in_message {
            return Err(format!("opcode {} out of sequence", frame.opcode()));
        } else if !self.in_message {
            self.is_small = small;
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
        if self.received < SIZED {
            self.sized_bytes += chunk.len() as u64;
        }
        let mut take = |piece: &[u8]| self.check.compare(sent, self.received, piece);
        match &mut self.inflater {
            Some(inflater) if self.is_small => {
                inflater.part(chunk, &mut take)?;
                if whole && fin {
                    inflater.end(&mut take)?;
                }
            }
            _ => take(chunk)?,
        }
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
        let (len, size) = (self.check.offset, sent.payload(self.received).len());
        if len != size {
            return Err(format!("echo has {len} bytes, not {size}"));
        }
        self.check.offset = 0;
        self.received += 1;
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
    use crate::deflate::deflate;
    use crate::messages::TEXT;
    use crate::options::Options;

    fn messages(args: &str) -> Messages {
        let args = format!("--port 1 {args}");
        let args = args.split_whitespace().map(str::to_string);
        Messages::new(&Options::parse(args).unwrap())
    }

    fn echoes(sent: &Messages) -> Vec<u8> {
        let mut wire = vec![0x89, 1, b'p'];
        for number in 0..3 {
            wire.extend_from_slice(sent.echo(number).0);
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
        let sent = messages("--size 300");
        let wire = echoes(&sent);
        for step in [1, 2, 3, 7, 299, 305, wire.len()] {
            let mut inbox = Inbox::new(u64::MAX, false);
            for part in wire.chunks(step) {
                inbox.feed(&sent, part).unwrap();
            }
            assert_eq!(inbox.received, 4, "in steps of {step}");
            assert_eq!(inbox.pongs.len(), 6 + 1 + 6);
        }
    }

    #[test]
    fn a_wrong_byte_a_wrong_length_and_a_wrong_opcode_are_noticed() {
        let sent = messages("--size 300");
        let good = sent.echo(0).0.to_vec();
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
                Inbox::new(1, false).feed(&sent, &wire).is_err(),
                "byte {at} = {wrong}"
            );
        }
    }
    #[test]
    fn compressed_echoes_are_compared_too() {
        let sent = messages("--size 100,60000 --text --deflate 15");
        let mut wire = vec![];
        for number in 0..4 {
            let small = deflate(sent.payload(number));
            let (first, second) = small.split_at(small.len() / 2);
            for (start, part) in [(RSV1 | TEXT, first), (FIN, second)] {
                wire.extend_from_slice(&[start, 126]);
                wire.extend_from_slice(&(part.len() as u16).to_be_bytes());
                wire.extend_from_slice(part);
            }
        }
        for step in [1, 100, wire.len()] {
            let mut inbox = Inbox::new(u64::MAX, true);
            for part in wire.chunks(step) {
                inbox.feed(&sent, part).unwrap();
            }
            assert_eq!(inbox.received, 4, "in steps of {step}");
        }
        let end = wire.len() - 20;
        wire[end] ^= 1;
        assert!(Inbox::new(u64::MAX, true).feed(&sent, &wire).is_err());
        wire[0] = TEXT;
        assert!(Inbox::new(0, true).feed(&sent, &wire).is_err());
    }
}
