//! A TLS client at the other end of the stream in memory: rustls' buffered one, with its records in the test's hands.

use super::Simulation;
use super::records::{PROVIDER, Records};
use super::stream::{Peer, Temper};
use super::watch::Watched;
use crate::server::tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, LazyLock, Mutex};
use tokio::task::spawn_local;

pub(super) const VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// A client that speaks TLS.
#[derive(Debug)]
pub(super) struct TlsPeer {
    pub(super) peer: Peer,
    pub(super) tls: ClientConnection,
    pub(super) received: Vec<u8>,
    /// Takes at most that many bytes at once from the wire, and then lets the server go on.
    pub(super) sip: usize,
    pub(super) records: Arc<Mutex<Records>>,
}

impl TlsPeer {
    pub(super) fn new(
        simulation: &Simulation,
        temper: Temper,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        let anchor = CertificateDer::from(simulation.server.tls_anchors().unwrap());
        roots.add(anchor).unwrap();
        let config = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self::over(connect(simulation, temper), config)
    }

    /// A client with a chain of certificates, of a server that asks for one; the server's TLS is not used.
    pub(super) fn certified(
        simulation: &Simulation,
        temper: Temper,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let config = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(MUTUAL.roots.clone())
            .with_client_auth_cert(MUTUAL.chain.clone(), MUTUAL.key.clone_key())
            .unwrap();
        let peer = connect_with(simulation, temper, MUTUAL.server.clone());
        Self::over(peer, config)
    }

    fn over(peer: Peer, config: ClientConfig) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        tls.set_buffer_limit(None);
        Self {
            peer,
            tls,
            received: Vec::new(),
            sip: usize::MAX,
            records: Arc::default(),
        }
    }

    /// Records from now on have at most that many bytes of plaintext.
    pub(super) fn cut(&mut self, size: usize) {
        self.records.lock().unwrap().size = size;
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        Records::attend(&self.records);
        self.tls.writer().write_all(bytes.as_ref()).unwrap();
    }

    /// What TLS wants to be sent.
    pub(super) fn written(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out).unwrap();
        }
        self.records.lock().unwrap().fill_in(&out)
    }

    pub(super) fn flush(&mut self) {
        let out = self.written();
        self.peer.send(out);
    }

    /// Decrypts what has come.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), rustls::Error> {
        Records::attend(&self.records);
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).unwrap();
            self.tls.process_new_packets()?;
            let read = self.tls.reader().read_to_end(&mut self.received);
            assert!(!read.is_err_and(|error| error.kind() != ErrorKind::WouldBlock));
        }
        Ok(())
    }

    /// One exchange with the server; `false` at the end, with or without `close_notify`.
    pub(super) async fn step(&mut self) -> bool {
        self.flush();
        self.peer.take_only(self.sip);
        let bytes = self.peer.read_any().await;
        self.take(&bytes).unwrap();
        !bytes.is_empty()
    }

    pub(super) async fn handshake(&mut self) {
        while self.tls.is_handshaking() {
            assert!(self.step().await, "ended in the handshake");
        }
        self.flush();
    }
}

/// A connection to the TLS port.
pub(super) fn connect(simulation: &Simulation, temper: Temper) -> Peer {
    let config = simulation.server.shared.tls.as_ref().unwrap().config();
    connect_with(simulation, temper, config)
}

fn connect_with(simulation: &Simulation, temper: Temper, config: Arc<ServerConfig>) -> Peer {
    let (newcomer, peer) = simulation.newcomer(temper);
    spawn_local(Watched::new(tls::serve(newcomer, config), peer.watcher()));
    peer
}

/// What server and client need to know each other by their certificates.
struct Mutual {
    server: Arc<ServerConfig>,
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

static MUTUAL: LazyLock<Mutual> = LazyLock::new(|| {
    let authority = |names: Vec<String>| {
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let top =
        CertifiedIssuer::self_signed(authority(Vec::new()), KeyPair::generate().unwrap()).unwrap();
    // More than one short record even if it is alone in one.
    let names = (0..40).map(|number| format!("{number}.example")).collect();
    let key = KeyPair::generate().unwrap();
    let middle = CertifiedIssuer::signed_by(authority(names), key, &top).unwrap();
    let issue = |issuer: &CertifiedIssuer<'_, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::from(key))
    };
    let mut roots = RootCertStore::empty();
    roots.add(top.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone())
            .build()
            .unwrap();
    let (certificate, key) = issue(&top);
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&VERSIONS)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (certificate, key) = issue(&middle);
    Mutual {
        server: Arc::new(server),
        roots,
        chain: vec![certificate, middle.der().clone()],
        key,
    }
});
