//! A TLS connection as a stream of plaintext, on rustls' unbuffered interface.
//!
//! Strategy. The worker has one buffer for ciphertext that comes and one for ciphertext that goes, used by one
//! connection at a time: as many records as a read brings are decrypted from the one, and what is written together
//! becomes as few records as there can be (16 KiB each) in the other, sent with one call. A connection keeps only what
//! must survive: the rest of an incomplete record, and ciphertext that the socket did not take.

mod traits;

use crate::memory::Account;
use crate::server::worker::Worker;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ProtocolVersion, ServerConfig};
use std::fmt;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr;
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
/// A record's header: type, version, length (RFC 8446 section 5.1).
const HEADER: usize = 5;
/// The type of records that carry handshake messages.
const HANDSHAKE: u8 = 22;

/// A worker's buffers, made when its first TLS client comes.
#[derive(Debug, Default)]
pub(in crate::server) struct Scratch {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Small pieces that are to become one record.
    joined: Vec<u8>,
}

/// What reading gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incoming {
    Plaintext,
    /// `close_notify` or the end of the stream has come, or TLS has failed.
    Nothing,
    /// Our `close_notify` is written: what comes is not looked at any more, only awaited.
    Ciphertext,
}

/// `io` with TLS over it.
pub(super) struct TlsStream<S> {
    io: S,
    tls: Box<UnbufferedServerConnection>,
    worker: Rc<Worker>,
    peer: SocketAddr,
    account: Account,
    charged: usize,
    /// Ciphertext that is no whole record yet, or had no room as plaintext.
    held: Vec<u8>,
    /// Plaintext that had no room.
    beyond: Vec<u8>,
    /// Ciphertext that the socket has not taken.
    unsent: Vec<u8>,
    incoming: Incoming,
    is_reported: bool,
    /// What was held at first is not looked at yet.
    is_fresh: bool,
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
        peer: SocketAddr,
        worker: Rc<Worker>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            io,
            tls: Box::new(UnbufferedServerConnection::new(config)?),
            account: Account::new(worker.shared.memory.clone()),
            charged: 0,
            worker,
            peer,
            held: first,
            beyond: Vec::new(),
            unsent: Vec::new(),
            incoming: Incoming::Plaintext,
            is_reported: false,
            is_fresh: true,
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
            if self.incoming != Incoming::Plaintext {
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

    /// Decrypts what one read brings, or what is held if that is a whole record.
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
        let worker = self.worker.clone();
        let mut scratch = worker.tls.borrow_mut();
        let incoming = room(&mut scratch.incoming);
        let mut len = self.held.len();
        incoming[..len].copy_from_slice(&self.held);
        if !mem::take(&mut self.is_fresh) && !is_whole(&self.held) {
            let end = incoming.len().min(len + into.remaining() + BEYOND);
            let mut read = ReadBuf::new(&mut incoming[len..end]);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            let read = read.filled().len();
            if read == 0 {
                // Without `close_notify`: WebSocket has an end of its own, so nothing can be cut off unnoticed.
                self.incoming = Incoming::Nothing;
                return Poll::Ready(Ok(()));
            }
            len += read;
        }
        let (done, result) = self.decrypt(&mut incoming[..len], into);
        let result = result.map_err(|error| self.fail(&error, &mut incoming[done..len]));
        // What rustls has not done with has to be shown to it again.
        if self.held.len() != len - done || done > 0 {
            self.held = incoming[done..len].to_vec();
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

    /// Decrypts records as long as they have room, at least one. Returns how many bytes are done with.
    fn decrypt(
        &mut self,
        bytes: &mut [u8],
        into: &mut ReadBuf<'_>,
    ) -> (usize, Result<(), rustls::Error>) {
        let before = into.filled().len();
        let mut done = 0;
        loop {
            let next = record_len(&bytes[done..]);
            if into.filled().len() > before && next.is_some_and(|len| len > into.remaining()) {
                return (done, Ok(()));
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
            let mut waits = false;
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
                    self.incoming = Incoming::Nothing;
                    return (bytes.len(), Ok(()));
                }
                // It has to see more.
                Ok(_) => waits = true,
            }
            done += discard;
            if waits {
                return (done, Ok(()));
            }
        }
    }

    /// Has rustls write something into a buffer; the number of bytes. What has to go before it is in `unsent`.
    fn write_with(
        &mut self,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(&mut self.held);
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    let mut rest = self.held.split_off(discard);
                    return Err(self.fail(&error, &mut rest));
                }
            };
            match state {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let written = write(&mut traffic).map_err(io::Error::other);
                    self.held.drain(..discard);
                    return written;
                }
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        self.beyond.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, &mut self.unsent),
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.incoming = Incoming::Nothing,
                _ => return Err(ErrorKind::BrokenPipe.into()),
            }
            self.held.drain(..discard);
        }
    }

    /// Encrypts and sends as much as the socket takes; the rest is kept.
    fn put(&mut self, cx: &mut Context<'_>, data: &[u8], outgoing: &mut [u8]) -> io::Result<()> {
        let len = self.write_with(|traffic| traffic.encrypt(data, outgoing))?;
        let ciphertext = &outgoing[..len];
        let mut sent = 0;
        if self.unsent.is_empty()
            && let Poll::Ready(taken) = Pin::new(&mut self.io).poll_write(cx, ciphertext)
        {
            sent = taken?;
        }
        self.unsent.extend_from_slice(&ciphertext[sent..]);
        self.settle();
        Ok(())
    }

    /// Sends what was kept before, unless it is so little that it can go with what follows.
    fn poll_send_most(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.len() <= BEYOND {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx)
    }

    /// Sends what the socket did not take before.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                self.unsent = Vec::new();
            }
            self.settle();
        }
        Poll::Ready(Ok(()))
    }

    /// The alert for what is wrong, to be sent, and the error for the connection.
    fn fail(&mut self, error: &rustls::Error, rest: &mut [u8]) -> io::Error {
        let mut done = 0;
        // No further than that: it would look at what is wrong once more.
        while self.tls.wants_write() {
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(&mut rest[done..]);
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.unsent),
                _ => break,
            }
            done += discard;
        }
        self.incoming = Incoming::Nothing;
        let reason = error.to_string();
        self.report(&reason);
        io::Error::new(ErrorKind::InvalidData, reason)
    }

    /// Tells the handler why TLS with this client failed, once.
    pub(super) fn report(&mut self, reason: &str) {
        if !mem::replace(&mut self.is_reported, true) {
            self.worker.report_tls(self.peer, reason);
        }
    }

    /// Charges what is kept; an idle connection keeps nothing.
    fn settle(&mut self) {
        let kept = self.held.len() + self.beyond.len() + self.unsent.len();
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

fn is_whole(bytes: &[u8]) -> bool {
    record_len(bytes).is_some_and(|len| bytes.len() >= HEADER + len)
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
