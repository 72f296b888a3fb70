//! Certificates and keys from PEM files. Every error names the option, the file, and what is wrong with it.

use super::reading::{MAX_FILE, TOO_LONG, read_file};
use super::reason;
use crate::error::Error;
use crate::tls::{Password, Patience};
use pkcs8::der::{Decode, Encode, SecretDocument};
use pkcs8::{EncryptedPrivateKeyInfoRef, der};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use std::path::Path;
use std::sync::Arc;
use x509_cert::Certificate;

/// How the two legacy forms say that they are encrypted.
const LEGACY: &str = "Proc-Type: 4,ENCRYPTED";
const BEGIN_ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END_ENCRYPTED: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// A file that an option names.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) option: &'static str,
    pub(super) path: &'a Path,
    pub(super) patience: Patience<'a>,
}

impl Source<'_> {
    /// What is wrong with the file's content.
    pub(super) fn wrong(self, reason: impl Into<String>) -> Error {
        Error::Content {
            option: self.option,
            path: self.path.to_owned(),
            reason: reason.into(),
        }
    }

    fn read(self) -> Result<Vec<u8>, Error> {
        let bytes = read_file(self.option, self.path, MAX_FILE + 1, self.patience)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(self.wrong(TOO_LONG));
        }
        Ok(bytes)
    }

    fn not_pem(self, error: &pem::Error) -> Error {
        self.wrong(format!("is no correct PEM: {}", reason::not_pem(error)))
    }

    /// All certificates, at least one.
    pub(super) fn certificates(self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let bytes = self.read()?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| self.not_pem(&error))?;
        if certificates.is_empty() {
            return Err(self.wrong("has no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
        }
        Ok(certificates)
    }

    /// The first private key.
    pub(super) fn key(self, password: Option<&Password>) -> Result<PrivateKeyDer<'static>, Error> {
        let bytes = self.read()?;
        let text = String::from_utf8_lossy(&bytes);
        if text.contains(LEGACY) {
            let path = self.path.display();
            return Err(self.wrong(format!(
                "has the legacy encryption of PEM, which is weak and not supported; convert the key: \
                 openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in {path} -out {path}.new"
            )));
        }
        if let Some(start) = text.find(BEGIN_ENCRYPTED) {
            let end = text[start..]
                .find(END_ENCRYPTED)
                .ok_or_else(|| self.wrong("is cut off: the encrypted key has no end"))?;
            return self.encrypted_key(&text[start..start + end + END_ENCRYPTED.len()], password);
        }
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
            pem::Error::NoItemsFound => {
                self.wrong("has no private key in PEM (-----BEGIN PRIVATE KEY-----)")
            }
            error => self.not_pem(&error),
        })
    }

    fn encrypted_key(
        self,
        text: &str,
        password: Option<&Password>,
    ) -> Result<PrivateKeyDer<'static>, Error> {
        let Some(Password(password)) = password else {
            return Err(self.wrong("is encrypted, and no password is given"));
        };
        // Its decoder wants one kind of line end.
        let text = text.replace('\r', "");
        let (_label, document) = SecretDocument::from_pem(&text)
            .map_err(|error| self.wrong(format!("is no correct PEM: {error}")))?;
        let encrypted = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes())
            .map_err(|error| self.unknown_encryption(&error))?;
        let key = encrypted.decrypt(password).map_err(|error| match error {
            pkcs8::Error::EncryptedPrivateKey(error) if is_unsupported(error) => {
                self.unknown_encryption(&error)
            }
            _ => self.wrong("can't be decrypted: the password is wrong"),
        })?;
        Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
    }

    fn unknown_encryption(self, error: &dyn std::fmt::Display) -> Error {
        let path = self.path.display();
        self.wrong(format!(
            "is encrypted in a way that is not supported ({error}); convert it: \
             openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in {path} -out {path}.new"
        ))
    }

    /// Demands certificates of clients that one of the file's signs.
    pub(super) fn verifier(
        self,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in self.certificates()?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| {
                let reason = match error {
                    rustls::Error::InvalidCertificate(error) => reason::certificate(&error),
                    error => reason::sentence(&error),
                };
                self.wrong(format!("certificate {} of it is bad: {reason}", index + 1))
            })?;
        }
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| self.wrong(error.to_string()))
    }
}

fn is_unsupported(error: pkcs8::pkcs5::Error) -> bool {
    use pkcs8::pkcs5::Error;
    matches!(
        error,
        Error::AlgorithmParametersInvalid { .. }
            | Error::NoPbes1CryptSupport
            | Error::UnsupportedAlgorithm { .. }
    )
}

pub(super) fn parse(certificate: &[u8]) -> der::Result<Certificate> {
    Certificate::from_der(certificate)
}

/// Who a certificate belongs to (RFC 4514).
pub(super) fn subject(certificate: &[u8]) -> der::Result<String> {
    parse(certificate).map(|certificate| certificate.tbs_certificate().subject().to_string())
}

/// Whether this public key is the one that a certificate is about.
pub(super) fn is_for(certificate: &[u8], public: &[u8]) -> bool {
    let key = parse(certificate).and_then(|certificate| {
        certificate
            .tbs_certificate()
            .subject_public_key_info()
            .to_der()
    });
    key.is_ok_and(|key| key == public)
}
