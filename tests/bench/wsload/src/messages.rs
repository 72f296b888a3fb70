//! What is sent: random messages, framed and masked once, then sent round and round.
//! Also the client half of the frame format, as much as a load generator needs.

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
pub(crate) const FIN: u8 = 0x80;

/// xorshift64*: fast, and the same in every run.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

fn push_length(len: usize, mask_bit: u8, out: &mut Vec<u8>) {
    match len {
        0..126 => out.push(mask_bit | len as u8),
        126..65536 => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Appends a masked frame; `first` is its first byte.
pub(crate) fn push_client_frame(first: u8, mask: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    push_length(payload.len(), 0x80, out);
    out.extend_from_slice(&mask);
    out.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i & 3]));
}

/// Header length and payload length of a server frame; `None` while it is incomplete.
pub(crate) fn parse_server_header(b: &[u8]) -> Result<Option<(usize, u64)>, String> {
    if b.len() < 2 {
        return Ok(None);
    }
    if b[1] & 0x80 != 0 {
        return Err("server frame is masked".into());
    }
    Ok(match (b[1], b) {
        (126, [_, _, x, y, ..]) => Some((4, u16::from_be_bytes([*x, *y]).into())),
        (127, [_, _, l0, l1, l2, l3, l4, l5, l6, l7, ..]) => Some((
            10,
            u64::from_be_bytes([*l0, *l1, *l2, *l3, *l4, *l5, *l6, *l7]),
        )),
        (126 | 127, _) => None,
        (n, _) => Some((2, n.into())),
    })
}

/// The messages a connection sends, in a ring.
pub(crate) struct Messages {
    pub(crate) wire: Vec<u8>,
    /// `starts[i]..starts[i + 1]` is message `i` on the wire.
    pub(crate) starts: Vec<usize>,
    pub(crate) payloads: Vec<Vec<u8>>,
    /// The header of an unfragmented echo.
    pub(crate) echo_header: Vec<u8>,
    pub(crate) opcode: u8,
    pub(crate) size: usize,
}

impl Messages {
    /// At most 8 MiB of messages, so that they are not what evicts the caches of the server.
    pub(crate) fn new(size: usize, text: bool, tcp: bool) -> Self {
        let count = ((8 << 20) / (size + 16)).clamp(2, 256);
        let mut rng = Rng::new(77);
        let opcode = if text { TEXT } else { BINARY };
        let mut echo_header = vec![FIN | opcode];
        push_length(size, 0, &mut echo_header);
        let mut made = Self {
            wire: vec![],
            starts: vec![0],
            payloads: vec![],
            echo_header,
            opcode,
            size,
        };
        for _ in 0..count {
            let bytes = std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten();
            let payload: Vec<u8> = match text {
                true => bytes.map(|b| b' ' + b % 95).take(size).collect(),
                false => bytes.take(size).collect(),
            };
            if tcp {
                made.wire.extend_from_slice(&payload);
            } else {
                let mask = (rng.next() as u32).to_le_bytes();
                push_client_frame(FIN | opcode, mask, &payload, &mut made.wire);
            }
            made.starts.push(made.wire.len());
            made.payloads.push(payload);
        }
        made
    }

    pub(crate) fn len(&self) -> usize {
        self.payloads.len()
    }

    /// The payload of a connection's message `number`.
    pub(crate) fn payload(&self, number: u64) -> &[u8] {
        &self.payloads[(number % self.len() as u64) as usize]
    }

    /// Message `index` of the ring as it goes over the wire.
    pub(crate) fn frame(&self, index: usize) -> &[u8] {
        &self.wire[self.starts[index]..self.starts[index + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_unmask_to_their_payloads() {
        let messages = Messages::new(300, true, false);
        let frame = messages.frame(1);
        assert_eq!(frame.len(), 8 + 300);
        let mask = &frame[4..8];
        let payload: Vec<u8> = frame[8..]
            .iter()
            .enumerate()
            .map(|(i, b)| b ^ mask[i & 3])
            .collect();
        assert_eq!(payload, messages.payloads[1]);
    }

    #[test]
    fn headers_of_all_three_sizes_are_parsed() {
        for (len, header) in [(125, 2), (126, 4), (65535, 4), (65536, 10)] {
            let messages = Messages::new(len, false, false);
            let expected = Some((header, len as u64));
            assert_eq!(parse_server_header(&messages.echo_header), Ok(expected));
            assert_eq!(
                parse_server_header(&messages.echo_header[..header - 1]),
                Ok(None)
            );
        }
    }
}
