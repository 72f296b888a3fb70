//! What a server must not send: bytes, each with its rule and the close code with which a strict client fails the
//! connection (RFC 6455 section 7.1.7). Each is complete in itself; nothing has to be sent before it.

use crate::protocol::frame::server_header;

/// Bytes that no server may send.
#[derive(Debug)]
pub struct Violation {
    /// What is wrong.
    pub name: &'static str,
    /// The rule: a section of RFC 6455, or of RFC 7692 where it says so.
    pub section: &'static str,
    /// The close code of a strict client.
    pub code: u16,
    /// Whether permessage-deflate has to be agreed for it. For others such bytes begin with a reserved bit.
    pub compression: bool,
    data: fn() -> Vec<u8>,
}

impl PartialEq for Violation {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Violation {}

impl Violation {
    const fn new(
        name: &'static str,
        section: &'static str,
        code: u16,
        data: fn() -> Vec<u8>,
    ) -> Self {
        Self {
            name,
            section,
            code,
            compression: false,
            data,
        }
    }

    /// The same, where compression was agreed.
    const fn compressed(self) -> Self {
        Self {
            compression: true,
            ..self
        }
    }

    /// The bytes.
    #[must_use]
    pub fn data(&self) -> Vec<u8> {
        (self.data)()
    }
}

/// The one of that name, which may be written as in a URL: `length-not-minimal-16-bits`, and `rsv1` for `reserved bit 1`.
#[must_use]
pub fn violation(name: &str) -> Option<&'static Violation> {
    let bit = name.strip_prefix("rsv");
    let name = bit.map_or(name.into(), |bit| format!("reserved bit {bit}"));
    let is_it = |one: &&Violation| {
        one.name == name || one.name.replace(", ", " ").replace(' ', "-") == name
    };
    VIOLATIONS.iter().find(is_it)
}

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

const PROTOCOL: u16 = 1002;
const INVALID: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// The first bytes of a character of four.
const CUT: &[u8] = b"\xf0\x9f";

// Compressed with fixed codes, so that a part inflates to a part (RFC 1951 section 3.2.6). First a text with a reference
// to itself before it, where nothing was; then the text itself.
const REFERENCE: &[u8] = b"\x4a\xa6\xd4\x00\x00\x00";
const DEFLATED: &[u8] = b"\x4a\xce\xcf\x2d\x28\x4a\x2d\x2e\x4e\x4d\xd1\x51\x48\xcc\x4b\x51\xc8\xc9\xcf\x4b\x57\x48\xcd\
    \xcb\x2f\x4d\xcf\x50\x48\xcb\x2f\x52\x48\x54\x28\x4a\x4d\x4b\x2d\x4a\xcd\x4b\x4e\x55\x28\xc9\x57\x28\xcf\x48\x2c\x51\
    \x28\x4f\x2c\x56\x48\x4a\x05\xca\xa6\x2a\x64\x96\x00\x00";
/// A text that is no UTF-8.
const DEFLATED_BAD: &[u8] = b"\xfa\xff\x0f\x00";
const DEFLATED_PING: &[u8] = b"\x2a\xc8\xcc\x4b\x07\x00";
/// Where a compressed text is cut.
const HALF: usize = 20;

/// 64 KiB of zeros, as a block that refers to none before it: a bomb is this again and again.
const BLOCK: usize = 64 << 10;
const DEFLATED_BLOCK_HEAD: &[u8] = b"\xec\xc1\x01\x01\x00\x00\x00\x80\x90\xfe\xaf\xee\x08\x0a";
const DEFLATED_BLOCK_ZEROS: usize = 63;
const DEFLATED_BLOCK_END: &[u8] = b"\x6a\x00\x00\x00\xff\xff";
/// What is left off at the end of a message (RFC 7692 section 7.2.1).
const TAIL: usize = 4;

/// A server's frame in its shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let (header, len) = server_header(first, false, payload.len());
    [&header[..len], payload].concat()
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A compressed message of that many zeros, a thousandth as long.
fn bomb(size: usize) -> Vec<u8> {
    let zeros = [0; DEFLATED_BLOCK_ZEROS];
    let block = [DEFLATED_BLOCK_HEAD, &zeros, DEFLATED_BLOCK_END].concat();
    let mut bomb = block.repeat(size / BLOCK);
    bomb.truncate(bomb.len() - TAIL);
    bomb
}

/// All of them.
pub const VIOLATIONS: &[Violation] = &[
    Violation::new("reserved bit 1", "5.2", PROTOCOL, || {
        frame(FIN | RSV1 | TEXT, b"rsv1")
    }),
    Violation::new("reserved bit 2", "5.2", PROTOCOL, || {
        frame(FIN | RSV2 | TEXT, b"rsv2")
    }),
    Violation::new("reserved bit 3", "5.2", PROTOCOL, || {
        frame(FIN | RSV3 | TEXT, b"rsv3")
    }),
    Violation::new("reserved data opcode", "5.2", PROTOCOL, || {
        frame(FIN | 3, b"opcode 3")
    }),
    Violation::new("reserved control opcode", "5.2", PROTOCOL, || {
        frame(FIN | 0xb, b"opcode 11")
    }),
    Violation::new("masked", "5.1", PROTOCOL, || {
        b"\x81\x84\x01\x02\x03\x04lcpo".to_vec()
    }),
    Violation::new("length not minimal, 16 bits", "5.2", PROTOCOL, || {
        b"\x81\x7e\x00\x05short".to_vec()
    }),
    Violation::new("length not minimal, 64 bits", "5.2", PROTOCOL, || {
        b"\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x05short".to_vec()
    }),
    Violation::new("length beyond 63 bits", "5.2", PROTOCOL, || {
        [&[FIN | BINARY, 127], &(1_u64 << 63).to_be_bytes()[..]].concat()
    }),
    Violation::new("length of a terabyte", "7.4.1", TOO_BIG, || {
        [&[FIN | BINARY, 127], &(1_u64 << 40).to_be_bytes()[..]].concat()
    }),
    Violation::new("fragmented ping", "5.5", PROTOCOL, || {
        frame(PING, b"no FIN")
    }),
    Violation::new("fragmented close", "5.5", PROTOCOL, || {
        frame(CLOSE, &1000_u16.to_be_bytes())
    }),
    Violation::new("ping of 126 bytes", "5.5", PROTOCOL, || {
        frame(FIN | PING, &[0; 126])
    }),
    Violation::new("continuation without a message", "5.4", PROTOCOL, || {
        frame(FIN | CONTINUATION, b"of what")
    }),
    Violation::new("message inside a message", "5.4", PROTOCOL, || {
        [frame(TEXT, b"not over"), frame(FIN | TEXT, b"another")].concat()
    }),
    Violation::new("text that is no UTF-8", "8.1", INVALID, || {
        frame(FIN | TEXT, b"\xff\xfe")
    }),
    Violation::new("text that is a surrogate", "8.1", INVALID, || {
        frame(FIN | TEXT, b"\xed\xa0\x80")
    }),
    Violation::new("text that ends in a character", "8.1", INVALID, || {
        frame(FIN | TEXT, CUT)
    }),
    Violation::new(
        "fragments that are no UTF-8 together",
        "8.1",
        INVALID,
        || [frame(TEXT, CUT), frame(FIN | CONTINUATION, b"?")].concat(),
    ),
    Violation::new("close reason that is no UTF-8", "5.5.1", INVALID, || {
        close(1000, b"\xff")
    }),
    Violation::new("close code 999", "7.4.2", PROTOCOL, || close(999, b"")),
    Violation::new("close code 1005", "7.4.1", PROTOCOL, || close(1005, b"")),
    Violation::new("close code 1006", "7.4.1", PROTOCOL, || close(1006, b"")),
    Violation::new("close code 1015", "7.4.1", PROTOCOL, || close(1015, b"")),
    Violation::new("close code 5000", "7.4.2", PROTOCOL, || close(5000, b"")),
    Violation::new("close of one byte", "5.5.1", PROTOCOL, || {
        frame(FIN | CLOSE, b"\x03")
    }),
    Violation::new(
        "compressed block of a reserved type",
        "RFC 7692 7.2.2",
        INVALID,
        || frame(FIN | RSV1 | TEXT, b"\x07"),
    )
    .compressed(),
    Violation::new(
        "compressed reference to nothing",
        "RFC 7692 7.2.2",
        INVALID,
        || frame(FIN | RSV1 | TEXT, REFERENCE),
    )
    .compressed(),
    Violation::new(
        "compressed message that is cut",
        "RFC 7692 7.2.2",
        INVALID,
        || frame(FIN | RSV1 | TEXT, &DEFLATED[..HALF]),
    )
    .compressed(),
    Violation::new("compressed text that is no UTF-8", "8.1", INVALID, || {
        frame(FIN | RSV1 | TEXT, DEFLATED_BAD)
    })
    .compressed(),
    Violation::new("compressed ping", "RFC 7692 6", PROTOCOL, || {
        frame(FIN | RSV1 | PING, DEFLATED_PING)
    })
    .compressed(),
    Violation::new("compressed continuation", "RFC 7692 6", PROTOCOL, || {
        let first = frame(RSV1 | TEXT, &DEFLATED[..HALF]);
        let last = frame(FIN | RSV1 | CONTINUATION, &DEFLATED[HALF..]);
        [first, last].concat()
    })
    .compressed(),
    Violation::new("bomb of 16 MiB", "7.4.1", TOO_BIG, || {
        frame(FIN | RSV1 | BINARY, &bomb(16 << 20))
    })
    .compressed(),
    Violation::new("bomb of 256 MiB", "7.4.1", TOO_BIG, || {
        frame(FIN | RSV1 | BINARY, &bomb(256 << 20))
    })
    .compressed(),
    Violation::new("message after the close", "5.5.1", 1000, || {
        [close(1000, b""), frame(FIN | TEXT, b"late")].concat()
    }),
];
