//! The writing half of a record layer in the test's hands: rustls makes a client's messages, and the test decides which
//! records they are in, and makes up others, with the keys that rustls has agreed on.

use rustls::crypto::cipher::{
    AeadKey, Iv, KeyBlockShape, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls12AeadAlgorithm,
    Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::ring::cipher_suite;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};

/// What rustls writes instead of records that are made here.
const MADE: u8 = 0xee;
const HEADER: usize = 5;
const HANDSHAKE: u8 = 22;

/// One client's records.
#[derive(Default)]
pub(super) struct Records {
    /// Bytes of plaintext in a record, at most; 0: no limit.
    pub(super) size: usize,
    version: Option<ProtocolVersion>,
    encrypter: Option<Box<dyn MessageEncrypter>>,
    next: u64,
    made: VecDeque<Vec<u8>>,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// Whose encrypters are made.
    static CURRENT: RefCell<Arc<Mutex<Records>>> = RefCell::default();
}

impl Records {
    /// Has encrypters that are made from now on on this thread write here.
    pub(super) fn attend(records: &Arc<Mutex<Self>>) {
        CURRENT.set(records.clone());
    }

    fn pieces<'a>(&self, payload: &'a [u8]) -> Vec<&'a [u8]> {
        match self.size {
            _ if payload.is_empty() => vec![payload],
            0 => payload.chunks(16 << 10).collect(),
            size => payload.chunks(size).collect(),
        }
    }

    /// This as records, encrypted if it is time for that.
    pub(super) fn make(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        for piece in self.pieces(payload) {
            if let (Some(encrypter), Some(version)) = (&mut self.encrypter, self.version) {
                let message = OutboundPlainMessage {
                    typ: kind.into(),
                    version,
                    payload: OutboundChunks::Single(piece),
                };
                let record = encrypter.encrypt(message, self.next).unwrap();
                self.next += 1;
                records.extend(record.encode());
            } else {
                let len = u16::try_from(piece.len()).unwrap().to_be_bytes();
                records.extend([kind, 3, 3].into_iter().chain(len).chain(piece.to_vec()));
            }
        }
        records
    }

    /// What rustls has written, with the records that are made here in their places.
    pub(super) fn fill_in(&mut self, mut written: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        while let [kind, _, _, high, low, ..] = *written {
            let end = HEADER + usize::from(u16::from_be_bytes([high, low]));
            let (record, rest) = written.split_at(end);
            written = rest;
            match kind {
                MADE => records.extend(self.made.pop_front().unwrap()),
                HANDSHAKE => {
                    for piece in self.pieces(&record[HEADER..]) {
                        let len = u16::try_from(piece.len()).unwrap().to_be_bytes();
                        records.extend([&record[..3], &len, piece].concat());
                    }
                }
                _ => records.extend(record),
            }
        }
        records
    }
}

/// What rustls believes to be an encrypter.
struct Marker(Arc<Mutex<Records>>);

impl Marker {
    fn boxed(
        encrypter: Box<dyn MessageEncrypter>,
        version: ProtocolVersion,
    ) -> Box<dyn MessageEncrypter> {
        let records = CURRENT.with_borrow(Clone::clone);
        let mut guard = records.lock().unwrap();
        guard.encrypter = Some(encrypter);
        guard.version = Some(version);
        guard.next = 0;
        drop(guard);
        Box::new(Self(records))
    }
}

impl MessageEncrypter for Marker {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        _sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let mut records = self.0.lock().unwrap();
        let made = records.make(message.typ.into(), &message.payload.to_vec());
        records.made.push_back(made);
        let nothing = PrefixedPayload::with_capacity(0);
        Ok(OutboundOpaqueMessage::new(
            ContentType::Unknown(MADE),
            ProtocolVersion::TLSv1_2,
            nothing,
        ))
    }

    fn encrypted_payload_len(&self, _len: usize) -> usize {
        0
    }
}

struct Aead13(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for Aead13 {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Marker::boxed(self.0.encrypter(key, iv), ProtocolVersion::TLSv1_3)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

struct Aead12(&'static dyn Tls12AeadAlgorithm);

impl Tls12AeadAlgorithm for Aead12 {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        let encrypter = self.0.encrypter(key, iv, extra);
        Marker::boxed(encrypter, ProtocolVersion::TLSv1_2)
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }
}

const fn common(common: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: common.confidentiality_limit,
    }
}

fn with_marker(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&suite.common),
                hkdf_provider: suite.hkdf_provider,
                aead_alg: Box::leak(Box::new(Aead13(suite.aead_alg))),
                quic: None,
            })))
        }
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&suite.common),
                prf_provider: suite.prf_provider,
                kx: suite.kx,
                sign: suite.sign,
                aead_alg: Box::leak(Box::new(Aead12(suite.aead_alg))),
            })))
        }
    }
}

/// ring, with records that are made here.
pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let suites = [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ];
    Arc::new(CryptoProvider {
        cipher_suites: suites.map(with_marker).to_vec(),
        ..ring::default_provider()
    })
});
