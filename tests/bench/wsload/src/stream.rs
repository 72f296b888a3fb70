//! A connection's bytes, plain or through TLS.

use crate::sys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// What is handed to TLS at once: two full records.
const TLS_PART: usize = 32 << 10;

/// A socket as rustls wants it.
struct Socket(i32);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        sys::recv(self.0, buffer)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sys::send(self.0, bytes)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes both ways; closed when dropped.
pub(crate) struct Stream {
    pub(crate) fd: i32,
    tls: Option<Box<ClientConnection>>,
}

impl Stream {
    pub(crate) fn plain(fd: i32) -> Self {
        Self { fd, tls: None }
    }

    /// Shakes hands on a socket that blocks.
    pub(crate) fn tls(fd: i32, config: &Arc<ClientConfig>) -> Result<Self, String> {
        let mut stream = Self::plain(fd);
        let name = ServerName::try_from("localhost").expect("a host name");
        let tls = ClientConnection::new(config.clone(), name);
        let mut tls = tls.map_err(|e| format!("TLS: {e}"))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut Socket(fd))
                .map_err(|e| format!("TLS: {e}"))?;
        }
        stream.tls = Some(Box::new(tls));
        Ok(stream)
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The cipher suite that was agreed on.
    pub(crate) fn cipher(&self) -> Option<String> {
        let suite = self.tls.as_ref()?.negotiated_cipher_suite()?;
        Some(format!("{:?}", suite.suite()))
    }

    /// Sends as much as the socket takes; less than all, or `None`, means that it would block.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let Some(tls) = &mut self.tls else {
            return sys::send(self.fd, bytes);
        };
        let mut sent = 0;
        while sent < bytes.len() && flush(tls, self.fd)? {
            let end = bytes.len().min(sent + TLS_PART);
            sent += tls.writer().write(&bytes[sent..end])?;
        }
        flush(tls, self.fd)?;
        Ok((sent > 0).then_some(sent))
    }

    /// Sends what TLS still has; to be called when the socket can be written to again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => flush(tls, self.fd).map(drop),
            None => Ok(()),
        }
    }

    /// `None` means that there is nothing yet, 0 that it is the end.
    pub(crate) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(tls) = &mut self.tls else {
            return sys::recv(self.fd, buffer);
        };
        loop {
            match tls.reader().read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                other => return other.map(Some),
            }
            match tls.read_tls(&mut Socket(self.fd)) {
                Ok(0) => return Ok(Some(0)),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(e),
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Sends all of it on a socket that blocks.
    pub(crate) fn send_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.send(bytes)? {
                Some(n) => bytes = &bytes[n..],
                None => return Err(io::Error::new(io::ErrorKind::TimedOut, "send timed out")),
            }
        }
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        sys::close(self.fd);
    }
}

/// True when nothing is left.
fn flush(tls: &mut ClientConnection, fd: i32) -> io::Result<bool> {
    while tls.wants_write() {
        match tls.write_tls(&mut Socket(fd)) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// The settings of all connections: any certificate will do, as the one of a benchmark is made for it.
pub(crate) fn tls_config() -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider's own versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
