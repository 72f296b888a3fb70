//! What goes out: plaintext into records, and records to the socket, as far as it takes them.

use super::super::reason;
use super::{BEYOND, Incoming, TlsStream, encode};
use rustls::server::ServerConnectionData;
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};
use std::io::{self, ErrorKind};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Has rustls write something into a buffer; the number of bytes. What has to go before it is in `unsent`.
    pub(super) fn write_with(
        &mut self,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        if self.incoming == Incoming::Failed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(&mut self.held);
            let mut failure = None;
            match state {
                Err(error) => failure = Some(error),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let written = write(&mut traffic).map_err(io::Error::other);
                    self.held.drain(..discard);
                    return written;
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                self.beyond.extend_from_slice(record.payload);
                            }
                            Err(error) => {
                                failure = Some(error);
                                break;
                            }
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.unsent),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.incoming = Incoming::Done,
                Ok(_) => return Err(ErrorKind::BrokenPipe.into()),
            }
            if let Some(error) = failure {
                let mut held = mem::take(&mut self.held);
                return Err(self.fail(&error, &mut held[discard..]));
            }
            self.held.drain(..discard);
        }
    }

    /// Encrypts and sends as much as the socket takes; the rest is kept.
    pub(super) fn put(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        outgoing: &mut [u8],
    ) -> io::Result<()> {
        let written = self.write_with(|traffic| traffic.encrypt(data, outgoing));
        if written.is_err() {
            // The alert, as far as the socket takes it: there is no later.
            let _ = self.poll_send(cx);
        }
        let len = written?;
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
    pub(super) fn poll_send_most(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.len() <= BEYOND {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx)
    }

    /// Sends what the socket did not take before.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
    pub(super) fn fail(&mut self, error: &rustls::Error, rest: &mut [u8]) -> io::Error {
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
        self.refuse(&reason::sentence(error))
    }
}
