//! The frame engine against tungstenite's: the same bytes, the same messages and the same verdict, or a difference that
//! is listed in `DIFFERENCES`.
//!
//! tungstenite looks at a frame when it has all of it, our engine at each byte. So where ours has failed, tungstenite gets
//! the frame's missing bytes as zeros and has to fail there too: at the same frame, for a reason of the same class.
#![no_main]

mod engine;

use echoserver::protocol::violation::Violation;
use echoserver::tungstenite::protocol::{Role, WebSocketConfig};
use echoserver::tungstenite::{Error, Message, WebSocket};
use engine::{Found, Input, Outcome, run};
use libfuzzer_sys::fuzz_target;
use std::io::{self, Read, Write};

/// Our close code, that of tungstenite's error, and why both are right.
const DIFFERENCES: &[(u16, u16, &str)] = &[
    (
        1002,
        1009,
        "tungstenite compares the length before it looks at anything else: top bit, RSV bits, masking, order of fragments",
    ),
    (
        1002,
        1007,
        "a close frame with a bad code and a bad reason: tungstenite looks at the reason first",
    ),
];

/// What tungstenite takes and we must refuse (RFC 6455 section 5.2): a length that is not in its shortest form. With a
/// control frame the form alone is too long, which our engine tells before it knows the length.
const NON_MINIMAL: [&str; 2] = [
    "length is not in its shortest form",
    "control frame over 125 bytes",
];

/// What tungstenite refuses and we must take: IANA has registered 1014, "Bad Gateway".
const BAD_GATEWAY: [u8; 2] = 1014_u16.to_be_bytes();

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::new(bytes) else {
        return;
    };
    let ours = run(&input, &input.reads, usize::MAX);
    let padding = if ours.violation.is_some() {
        input.limit + 14
    } else {
        0
    };
    let (theirs, verdict) = tungstenite(&input, padding);

    if let Some(Found::Close(payload)) = ours.found.last()
        && payload.starts_with(&BAD_GATEWAY)
    {
        let last = theirs.len() - 1;
        assert_eq!(theirs[last], refused_close());
        assert_eq!(theirs[..last], ours.found[..last]);
        return;
    }
    let Outcome { found, violation } = &ours;
    let Some(violation) = violation else {
        assert_eq!(&theirs, found);
        assert_eq!(verdict, None);
        return;
    };
    if NON_MINIMAL
        .iter()
        .any(|rule| violation.reason.contains(rule))
    {
        assert!(theirs.starts_with(found));
        return;
    }
    let (theirs, verdict) = close_code_as_error(theirs, verdict, found.len());
    assert_eq!(&theirs, found, "{violation} against {verdict:?}");
    assert!(
        is_alike(violation, verdict),
        "{violation} against {verdict:?}"
    );
});

/// What tungstenite finds in the input with `padding` zeros, and the close code for the error that it ends with.
fn tungstenite(input: &Input<'_>, padding: usize) -> (Vec<Found>, Option<u16>) {
    let stream = Stream {
        left: input.wire,
        padding,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(input.limit))
        .max_frame_size(Some(input.limit))
        .read_buffer_size(1024)
        .write_buffer_size(0);
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut found = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => found.push(Found::Text(text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => found.push(Found::Binary(bytes.to_vec())),
            Ok(Message::Ping(payload)) => found.push(Found::Ping(payload.to_vec())),
            Ok(Message::Pong(payload)) => found.push(Found::Pong(payload.to_vec())),
            Ok(Message::Close(close)) => {
                found.push(Found::Close(close.map_or(Vec::new(), |close| {
                    let code = u16::from(close.code).to_be_bytes();
                    [&code, close.reason.as_bytes()].concat()
                })));
                return (found, None);
            }
            Ok(Message::Frame(frame)) => panic!("read a raw frame: {frame}"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (found, None);
            }
            Err(Error::Protocol(_)) => return (found, Some(1002)),
            Err(Error::Utf8(_)) => return (found, Some(1007)),
            Err(Error::Capacity(_)) => return (found, Some(1009)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// tungstenite reports a close code that may not be sent as a close with a code of its own, which is its error 1002.
fn close_code_as_error(
    mut theirs: Vec<Found>,
    verdict: Option<u16>,
    ours: usize,
) -> (Vec<Found>, Option<u16>) {
    if theirs.len() == ours + 1 && theirs.last() == Some(&refused_close()) {
        theirs.pop();
        return (theirs, Some(1002));
    }
    (theirs, verdict)
}

fn refused_close() -> Found {
    let reason: &[u8] = b"Protocol violation";
    Found::Close([&1002_u16.to_be_bytes(), reason].concat())
}

fn is_alike(ours: &Violation, theirs: Option<u16>) -> bool {
    let Some(theirs) = theirs else {
        return false;
    };
    ours.code == theirs
        || DIFFERENCES
            .iter()
            .any(|(our, their, _)| (*our, *their) == (ours.code, theirs))
}

/// Gives the input, then zeros, then nothing yet; takes everything.
struct Stream<'a> {
    left: &'a [u8],
    padding: usize,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.left.is_empty() {
            return self.left.read(buffer);
        }
        if self.padding == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = buffer.len().min(self.padding);
        buffer[..len].fill(0);
        self.padding -= len;
        Ok(len)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
