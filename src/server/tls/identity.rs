//! Who the server is to its clients: certificate, key and rules, as one configuration that can be replaced while
//! clients are connected.

use super::files::{self, Source};
use super::self_signed::Authority;
use crate::error::{Error, quoted_path};
use crate::tls::{Flaw, MinVersion, Patience, Tls, TlsFiles};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use std::cell::RefCell;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

/// The only protocol that WebSocket runs over here (RFC 6455 section 4.1).
const ALPN: &[u8] = b"http/1.1";
/// A name that nobody has (RFC 2606 section 2).
const WRONG_HOST: &str = "wrong-host.invalid";

/// A server's identity; its parts belong together and are replaced together.
#[derive(Debug)]
pub(in crate::server) struct Identity {
    tls: Tls,
    /// The names of a self-signed certificate.
    names: Vec<String>,
    authority: Option<Authority>,
    current: RwLock<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// What a client has to trust.
    anchors: Vec<CertificateDer<'static>>,
}

impl Identity {
    /// Reads the files, or makes an authority.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Content`]; [`Error::Start`] if the system has no randomness.
    pub(in crate::server) fn new(
        tls: &Tls,
        hosts: &[String],
        patience: Patience<'_>,
    ) -> Result<Self, Error> {
        let mut names = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
        let mut authority = None;
        if let Tls::SelfSigned { names: more, flaw } = tls {
            names.extend_from_slice(hosts);
            names.extend_from_slice(more);
            if *flaw == Some(Flaw::WrongHost) {
                names = vec![WRONG_HOST.to_owned()];
            }
            authority = Some(Authority::new().map_err(io::Error::other)?);
        }
        let current = RwLock::new(load(tls, authority.as_ref(), &names, patience)?);
        Ok(Self {
            tls: tls.clone(),
            names,
            authority,
            current,
        })
    }

    /// Reads the files again; of an authority, makes a new certificate. Connections from now on use it; those that
    /// are, and after an error all, stay with what they have.
    pub(in crate::server) fn reload(&self, patience: Patience<'_>) -> Result<(), Error> {
        let new = load(&self.tls, self.authority.as_ref(), &self.names, patience)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn current(&self) -> Current {
        // Nothing that can panic runs under the lock.
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(in crate::server) fn config(&self) -> Arc<ServerConfig> {
        self.current().config
    }

    /// The authority's certificate, if there is one.
    pub(in crate::server) fn ca_pem(&self) -> Option<&str> {
        self.authority.as_ref().map(Authority::pem)
    }

    /// What a client has to trust, in DER: the authority, or all certificates of the file.
    pub(in crate::server) fn anchors(&self) -> Vec<u8> {
        let anchors = self.current().anchors;
        anchors.iter().flat_map(|one| one.iter().copied()).collect()
    }
}

fn load(
    tls: &Tls,
    authority: Option<&Authority>,
    names: &[String],
    patience: Patience<'_>,
) -> Result<Current, Error> {
    let provider = Arc::new(ring::default_provider());
    match (tls, authority) {
        (Tls::Files(files), _) => from_files(files, provider, patience),
        (Tls::SelfSigned { flaw, .. }, Some(authority)) => {
            let is_expired = *flaw == Some(Flaw::Expired);
            let issued = authority.issue(names, is_expired);
            let (certificate, key) = issued.map_err(io::Error::other)?;
            let key = certified(&provider, vec![certificate], key).map_err(io::Error::other)?;
            Ok(Current {
                config: config(provider, key, MinVersion::Tls12, Arc::new(NoClientAuth))?,
                anchors: vec![authority.certificate().clone()],
            })
        }
        (Tls::SelfSigned { .. }, None) => Err(io::Error::other("no authority").into()),
    }
}

fn from_files(
    files: &TlsFiles,
    provider: Arc<CryptoProvider>,
    patience: Patience<'_>,
) -> Result<Current, Error> {
    let certfile = Source {
        option: "certfile",
        path: &files.certfile,
        patience,
    };
    let keyfile = Source {
        option: "keyfile",
        path: &files.keyfile,
        patience,
    };
    let chain = certfile.certificates()?;
    for (index, certificate) in chain.iter().enumerate() {
        // No more is asked of them: what is in them is for the clients to judge.
        files::parse(certificate).map_err(|error| {
            certfile.wrong(format!("certificate {} of it is bad: {error}", index + 1))
        })?;
    }
    let key = keyfile.key(files.password.as_ref())?;
    let key = certified(&provider, chain.clone(), key).map_err(|_unsupported| {
        keyfile.wrong(
            "has a key of a kind that is not supported; RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, and \
             Ed25519 are",
        )
    })?;
    // Not with `keys_match`, which would have the certificate be one that rustls takes from a peer.
    if let Some(public) = key.key.public_key()
        && !files::is_for(&chain[0], &public)
    {
        return Err(keyfile.wrong(format!(
            "is not the key of the first certificate in certfile={}",
            quoted_path(&files.certfile)
        )));
    }
    let verifier = match &files.client_ca {
        None => Arc::new(NoClientAuth) as Arc<dyn ClientCertVerifier>,
        Some(path) => Source {
            option: "client_ca",
            path,
            patience,
        }
        .verifier(provider.clone())?,
    };
    Ok(Current {
        config: config(provider, key, files.min_version, verifier)?,
        anchors: chain,
    })
}

fn certified(
    provider: &CryptoProvider,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    Ok(CertifiedKey::new(
        chain,
        provider.key_provider.load_private_key(key)?,
    ))
}

fn config(
    provider: Arc<CryptoProvider>,
    key: CertifiedKey,
    min_version: MinVersion,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<ServerConfig>, Error> {
    let versions = match min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12][..],
        MinVersion::Tls13 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(OneKey(Arc::new(key))));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

thread_local! {
    static SERVER_NAME: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The name that the last client hello on this thread asked for: rustls tells it to nobody but the resolver.
pub(super) fn take_server_name() -> Option<String> {
    SERVER_NAME.take()
}

/// The same key for every name: which one a client has asked for, it may decide for itself.
#[derive(Debug)]
struct OneKey(Arc<CertifiedKey>);

impl ResolvesServerCert for OneKey {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        SERVER_NAME.set(hello.server_name().map(String::from));
        Some(self.0.clone())
    }
}
