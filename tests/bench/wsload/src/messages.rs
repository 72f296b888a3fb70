//! What is sent: random messages, framed and masked once, then sent round and round.
//! Also the client half of the frame format, as much as a load generator needs.

use crate::deflate::deflate;
use crate::options::Options;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
pub(crate) const FIN: u8 = 0x80;
/// This message is compressed (RFC 7692 section 6).
pub(crate) const RSV1: u8 = 0x40;

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

/// A message as it comes back: a server's header, if it is not compressed, and the payload.
struct Echo {
    bytes: Vec<u8>,
    header: usize,
}

/// The messages a connection sends, in a ring.
pub(crate) struct Messages {
    pub(crate) wire: Vec<u8>,
    /// `starts[i]..starts[i + 1]` is message `i` on the wire.
    pub(crate) starts: Vec<usize>,
    /// No write passes one of these; empty: writes are as large as can be.
    pub(crate) cuts: Vec<usize>,
    echoes: Vec<Echo>,
    pub(crate) opcode: u8,
    pub(crate) compressed: bool,
}

/// Something that compresses to about a quarter, as the JSON of an application does.
fn record(rng: &mut Rng, out: &mut Vec<u8>) {
    const WORDS: [&str; 16] = [
        "alpha",
        "order",
        "client",
        "message",
        "temperature",
        "pending",
        "north",
        "invoice",
        "sensor",
        "update",
        "reply",
        "window",
        "customer",
        "degree",
        "history",
        "value",
    ];
    let mut word = || WORDS[(rng.next() >> 32) as usize % WORDS.len()];
    let (kind, name, state, note) = (word(), word(), word(), [word(), word(), word()].join(" "));
    let (id, value) = (rng.next() >> 36, (rng.next() >> 48) as f64 / 100.0);
    let text = format!(
        "{{\"id\":{id},\"type\":\"{kind}\",\"name\":\"{name}\",\"value\":{value},\"state\":\"{state}\",\"note\":\"{note}\"}}\n"
    );
    out.extend_from_slice(text.as_bytes());
}

fn payload(rng: &mut Rng, size: usize, o: &Options) -> Vec<u8> {
    if o.deflate.is_some() {
        let mut text = vec![];
        while text.len() < size {
            record(rng, &mut text);
        }
        text.truncate(size);
        return text;
    }
    let bytes = std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten();
    match o.text {
        true => bytes.map(|b| b' ' + b % 95).take(size).collect(),
        false => bytes.take(size).collect(),
    }
}

impl Messages {
    /// At most 8 MiB of messages where that is more than two, so that they are not what evicts the caches of the server.
    pub(crate) fn new(o: &Options) -> Self {
        let mean = o.sizes.iter().sum::<usize>() / o.sizes.len();
        let count = ((8 << 20) / (mean + 16)).clamp(2, 256);
        let mut rng = Rng::new(77);
        let mut made = Self {
            wire: vec![],
            starts: vec![0],
            cuts: vec![],
            echoes: vec![],
            opcode: if o.text { TEXT } else { BINARY },
            compressed: o.deflate.is_some(),
        };
        for size in o
            .sizes
            .iter()
            .cycle()
            .take(count.next_multiple_of(o.sizes.len()))
        {
            let payload = payload(&mut rng, *size, o);
            made.push(&payload, &mut rng, o);
        }
        made
    }

    fn push(&mut self, payload: &[u8], rng: &mut Rng, o: &Options) {
        let start = self.wire.len();
        if o.tcp {
            self.wire.extend_from_slice(payload);
        } else if self.compressed {
            self.push_frames(RSV1, &deflate(payload), rng, o.fragments);
        } else {
            self.push_frames(0, payload, rng, o.fragments);
        }
        let end = self.wire.len();
        self.starts.push(end);
        if o.segments > 1 {
            let step = (end - start).div_ceil(o.segments).max(1);
            self.cuts.extend((start..end).step_by(step).skip(1));
            self.cuts.push(end);
        }
        let mut bytes = vec![];
        if !self.compressed {
            bytes.push(FIN | self.opcode);
            push_length(payload.len(), 0, &mut bytes);
        }
        let header = bytes.len();
        bytes.extend_from_slice(payload);
        self.echoes.push(Echo { bytes, header });
    }

    fn push_frames(&mut self, rsv: u8, payload: &[u8], rng: &mut Rng, fragments: usize) {
        for i in 0..fragments {
            let part = payload.len() * i / fragments..payload.len() * (i + 1) / fragments;
            let opcode = if i == 0 {
                rsv | self.opcode
            } else {
                CONTINUATION
            };
            let fin = if i + 1 == fragments { FIN } else { 0 };
            let mask = (rng.next() as u32).to_le_bytes();
            push_client_frame(fin | opcode, mask, &payload[part], &mut self.wire);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.echoes.len()
    }

    fn of(&self, number: u64) -> &Echo {
        &self.echoes[(number % self.len() as u64) as usize]
    }

    /// The payload of a connection's message `number`.
    pub(crate) fn payload(&self, number: u64) -> &[u8] {
        let echo = self.of(number);
        &echo.bytes[echo.header..]
    }

    /// The unfragmented echo of a connection's message `number`, and the length of its header; that is 0 where replies
    /// are compressed.
    pub(crate) fn echo(&self, number: u64) -> (&[u8], usize) {
        let echo = self.of(number);
        (&echo.bytes, echo.header)
    }

    /// Message `index` of the ring as it goes over the wire.
    pub(crate) fn frame(&self, index: usize) -> &[u8] {
        &self.wire[self.starts[index]..self.starts[index + 1]]
    }

    /// How far one write may go that begins at `from` and would end at `to`.
    pub(crate) fn cut(&self, from: usize, to: usize) -> usize {
        let next = self.cuts.partition_point(|cut| *cut <= from);
        self.cuts.get(next).map_or(to, |cut| to.min(*cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &str) -> Options {
        let args = format!("--port 1 {args}");
        Options::parse(args.split_whitespace().map(str::to_string)).unwrap()
    }

    #[test]
    fn frames_unmask_to_their_payloads() {
        let messages = Messages::new(&options("--size 300 --text"));
        let frame = messages.frame(1);
        assert_eq!(frame.len(), 8 + 300);
        let mask = &frame[4..8];
        let payload: Vec<u8> = frame[8..]
            .iter()
            .enumerate()
            .map(|(i, b)| b ^ mask[i & 3])
            .collect();
        assert_eq!(payload, messages.payload(1));
    }

    #[test]
    fn headers_of_all_three_sizes_are_parsed() {
        for (len, header) in [(125, 2), (126, 4), (65535, 4), (65536, 10)] {
            let messages = Messages::new(&options(&format!("--size {len}")));
            let (echo, echo_header) = messages.echo(0);
            assert_eq!(echo_header, header);
            let expected = Some((header, len as u64));
            assert_eq!(parse_server_header(echo), Ok(expected));
            assert_eq!(parse_server_header(&echo[..header - 1]), Ok(None));
        }
    }

    #[test]
    fn sizes_are_mixed_and_fragments_and_segments_counted() {
        let messages = Messages::new(&options("--size 1,40,3000 --fragments 5 --segments 4"));
        assert_eq!(messages.len() % 3, 0);
        for (number, size) in [(0, 1), (1, 40), (2, 3000), (3, 1)] {
            assert_eq!(messages.payload(number).len(), size);
            let frame = messages.frame(number as usize);
            assert_eq!(
                frame.len(),
                size + 5 * 6 + if size == 3000 { 10 } else { 0 }
            );
            assert_eq!(frame[0], BINARY);
        }
        let (from, to) = (messages.starts[2], messages.starts[3]);
        let mut at = from;
        let mut writes = 0;
        while at < to {
            at = messages.cut(at, messages.wire.len());
            writes += 1;
        }
        assert_eq!((at, writes), (to, 4));
    }
}
