//! A TLS connection as a stream of plaintext, on rustls' unbuffered interface.
//!
//! Strategy. The worker has one buffer for ciphertext that comes and one for ciphertext that goes, used by one
//! connection at a time: as many records as a read brings are decrypted from the one, and what is written together
//! becomes as few records as there can be (16 KiB each) in the other, sent with one call. A connection keeps only what
//! must survive: the rest of an incomplete record, and ciphertext that the socket did not take.

mod outgoing;
mod traits;

use super::scratch::Scratch;
use crate::endpoint::Peer;
use crate::protocol::account::Account;
use crate::server::desk::Desk;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{ProtocolVersion, ServerConfig};
use std::fmt;
use std::io::{self, ErrorKind};
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of each of a worker's ciphertext buffers: eight records, more than a WebSocket client has in flight as a
/// rule, and together with the plaintext still within the second-level cache.
const BUFFER: usize = (128 << 10) + 512;
/// Plaintext that is encrypted together.
const TOGETHER: usize = 128 << 10;
/// Ciphertext that is read beyond the room for plaintext: a client hello, and what records cost.
const BEYOND: usize = 4 << 10;
/// Bytes of the largest record: header, and what TLS 1.2 allows (RFC 5246 section 6.2.3).
const MAX_RECORD: usize = 5 + (16 << 10) + 2048;
/// Bytes of a handshake message that is not complete: the largest that rustls takes, of 64 KiB, in records of one byte
/// each, which are 23 bytes long (RFC 8446 section 5.2).
const MAX_HELD: usize = (64 << 10) * 24;
/// The type of records that carry handshake messages.
const HANDSHAKE: u8 = 22;

/// What reading waits for. Only rustls knows when it has enough: a whole record may bring half a handshake message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incoming {
    /// For bytes from the client: rustls was shown everything that is held, and it is not enough.
    NeedsInput,
    /// For room: rustls was not shown everything that is held.
    NoRoom,
    /// For nothing: `close_notify` or the end of the stream has come.
    Done,
    /// For nothing: rustls has refused what came, or we have. Nothing is decrypted or encrypted after it.
    Failed,
    /// For the end: our `close_notify` is written, and what comes is not looked at any more.
    Ignored,
}

/// `io` with TLS over it.
pub(super) struct TlsStream<S> {
    io: S,
    tls: Box<UnbufferedServerConnection>,
    desk: Rc<Desk>,
    peer: Peer,
    account: Account,
    charged: usize,
    /// Ciphertext that rustls has not done with. It decrypts and joins in place and remembers where, so that it has to
    /// be shown these very bytes again, with more behind them.
    held: Vec<u8>,
    /// Plaintext that had no room.
    beyond: Vec<u8>,
    /// Ciphertext that the socket has not taken.
    unsent: Vec<u8>,
    incoming: Incoming,
    is_reported: bool,
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// A connection that has to be opened with [`Self::poll_open`]; `first` is what was read of it already.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn new(
        io: S,
        config: Arc<ServerConfig>,
        first: Vec<u8>,
        peer: Peer,
        desk: Rc<Desk>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            io,
            tls: Box::new(UnbufferedServerConnection::new(config)?),
            account: Account::new(desk.shared.memory.clone()),
            charged: 0,
            desk,
            peer,
            held: first,
            beyond: Vec::new(),
            unsent: Vec::new(),
            incoming: Incoming::NoRoom,
            is_reported: false,
        })
    }

    /// What the handshake has agreed on.
    pub(super) const fn agreed(&self) -> &UnbufferedServerConnection {
        &self.tls
    }

    /// The stream below, for the end after a failure.
    pub(super) const fn io(&mut self) -> &mut S {
        &mut self.io
    }

    /// Does the handshake. `UnexpectedEof` if the client leaves in the middle of it; `InvalidData` if one of the two
    /// refuses, and then the alert was sent.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            if !self.is_reading() {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            // What comes right behind the client's last handshake message is kept for later.
            ready!(self.poll_decrypt(cx, &mut ReadBuf::new(&mut [])))?;
        }
        if self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            // The client has what it needs. The tickets for its next time go out with the answer to its request: that
            // is one system call less, and some clients that write and read from two threads don't like to be told
            // something while they write (websockets' threads with Python 3.11's ssl lose their request).
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx)
    }

    /// Whether plaintext may still come.
    const fn is_reading(&self) -> bool {
        matches!(self.incoming, Incoming::NeedsInput | Incoming::NoRoom)
    }

    /// Decrypts what one read brings, or what is held if that had no room.
    fn poll_decrypt(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let was_open = !self.tls.is_handshaking();
        if !was_open && let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        let unsent = self.unsent.len();
        let len = self.held.len();
        let polled = if len <= MAX_RECORD {
            let desk = self.desk.clone();
            let mut scratch = desk.tls.borrow_mut();
            let incoming = room(&mut scratch.incoming);
            incoming[..len].copy_from_slice(&self.held);
            let end = incoming.len().min(len + into.remaining() + BEYOND);
            let (rest, polled) = self.look(cx, &mut incoming[..end], len, into);
            if polled.is_ready() {
                self.held = incoming[rest].to_vec();
            }
            polled
        } else {
            // Not copied for each few bytes that come.
            let mut incoming = mem::take(&mut self.held);
            incoming.resize(len + BEYOND, 0);
            let (rest, polled) = self.look(cx, &mut incoming, len, into);
            incoming.truncate(rest.end);
            incoming.drain(..rest.start);
            if incoming.len() <= MAX_RECORD {
                incoming.shrink_to_fit();
            }
            self.held = incoming;
            polled
        };
        let result = ready!(polled).and_then(|()| self.afford());
        if self.incoming == Incoming::Failed {
            self.held = Vec::new();
        }
        self.settle();
        let is_urgent = if was_open {
            self.unsent.len() > unsent
        } else {
            result.is_err() || self.tls.is_handshaking()
        };
        if is_urgent && let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(result.and(Err(error)));
        }
        Poll::Ready(result)
    }

    /// Shows rustls the first `len` bytes of a buffer, with what one read brings behind them if it needs that. Returns
    /// which bytes rustls has not done with.
    fn look(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        mut len: usize,
        into: &mut ReadBuf<'_>,
    ) -> (Range<usize>, Poll<io::Result<()>>) {
        if self.incoming == Incoming::NeedsInput {
            let mut read = ReadBuf::new(&mut buffer[len..]);
            let polled = Pin::new(&mut self.io).poll_read(cx, &mut read);
            let read = read.filled().len();
            if read == 0 {
                if matches!(polled, Poll::Ready(Ok(()))) {
                    // Without `close_notify`: WebSocket has an end of its own, so nothing can be cut off unnoticed.
                    self.incoming = Incoming::Done;
                }
                return (0..len, polled);
            }
            len += read;
        }
        let (done, result) = self.decrypt(&mut buffer[..len], into);
        let result = match result {
            Ok(incoming) => {
                self.incoming = incoming;
                Ok(())
            }
            Err(error) => Err(self.fail(&error, &mut buffer[done..len])),
        };
        (done..len, Poll::Ready(result))
    }

    /// Decrypts records as long as they have room, at least one. Returns how many bytes are done with, and what has to
    /// come before it is called again.
    fn decrypt(
        &mut self,
        bytes: &mut [u8],
        into: &mut ReadBuf<'_>,
    ) -> (usize, Result<Incoming, rustls::Error>) {
        let before = into.filled().len();
        let mut done = 0;
        loop {
            let next = record_len(&bytes[done..]);
            if into.filled().len() > before && next.is_some_and(|len| len > into.remaining()) {
                return (done, Ok(Incoming::NoRoom));
            }
            if bytes.get(done) == Some(&HANDSHAKE)
                && !self.tls.is_handshaking()
                && self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_2)
            {
                // rustls answers with a warning, `no_renegotiation`.
                self.report("the client wants to renegotiate, which is not supported");
            }
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(&mut bytes[done..]);
            match state {
                Err(error) => return (done + discard, Err(error)),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = match record {
                            Ok(record) => record,
                            Err(error) => return (done + discard, Err(error)),
                        };
                        discard += record.discard;
                        let fits = record.payload.len().min(into.remaining());
                        into.put_slice(&record.payload[..fits]);
                        self.beyond.extend_from_slice(&record.payload[fits..]);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.unsent),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    return (bytes.len(), Ok(Incoming::Done));
                }
                Ok(_) => return (done + discard, Ok(Incoming::NeedsInput)),
            }
            done += discard;
        }
    }

    /// Reads no further. The error for the connection.
    fn refuse(&mut self, reason: &str) -> io::Error {
        self.incoming = Incoming::Failed;
        self.report(reason);
        io::Error::new(ErrorKind::InvalidData, reason)
    }

    /// Whether there is memory for a handshake message that takes more than one record.
    fn afford(&mut self) -> io::Result<()> {
        if self.incoming != Incoming::NeedsInput || self.held.len() <= MAX_RECORD {
            return Ok(());
        }
        if self.held.len() > MAX_HELD {
            return Err(self.refuse("a handshake message is in too many records"));
        }
        let more = self.kept().saturating_sub(self.charged);
        if self.account.charge(more).is_err() {
            return Err(self.refuse("memory_limit has no room for a handshake message"));
        }
        self.charged += more;
        Ok(())
    }

    /// Tells the handler why TLS with this client failed, once.
    pub(super) fn report(&mut self, reason: &str) {
        if !mem::replace(&mut self.is_reported, true) {
            let was_open = !self.tls.is_handshaking();
            self.desk.report_tls(self.peer, reason, was_open);
        }
    }

    fn kept(&self) -> usize {
        self.held.len() + self.beyond.len() + self.unsent.len()
    }

    /// Charges what is kept; an idle connection keeps nothing.
    fn settle(&mut self) {
        let kept = self.kept();
        if kept > self.charged {
            // At most two records and one write per connection: not refused, but it leaves less to others.
            let _ = self.account.charge_anyway(kept - self.charged);
        } else if kept < self.charged {
            self.account.release(self.charged - kept);
        }
        self.charged = kept;
    }
}

/// The whole of a buffer, which is made at the first use.
fn room(buffer: &mut Vec<u8>) -> &mut [u8] {
    if buffer.is_empty() {
        buffer.resize(BUFFER, 0);
    }
    buffer
}

/// Bytes of the record that begins here, without its header.
fn record_len(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, _, _, high, low, ..] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// Appends a handshake message or an alert, encrypted if it is time for that, to what is to be sent.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, unsent: &mut Vec<u8>) {
    // Asked for its size, rustls changes nothing.
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        let start = unsent.len();
        unsent.resize(start + needed.required_size, 0);
        let len = data.encode(&mut unsent[start..]).unwrap_or(0);
        unsent.truncate(start + len);
    }
}
