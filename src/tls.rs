//! TLS as it is asked for, and as a client got it. The cryptography is in `server::tls`.

use std::fmt;
use std::path::PathBuf;

/// Asked from time to time while a file is waited for, which may be a pipe: `false` gives up.
pub type Patience<'a> = &'a dyn Fn() -> bool;

/// Where a server's certificate comes from.
///
/// ```
/// use echoserver::{config::Config, handler::Echo, server::Server, tls::Tls};
/// use std::sync::Arc;
///
/// let tls = Tls::SelfSigned { names: vec!["echo.example".into()], flaw: None };
/// let config = Config { host: vec!["127.0.0.1".into()], port: 0, tls: Some(tls), ..Config::default() };
/// let server = Server::bind(config, Arc::new(Echo))?;
/// // The authority that clients have to trust, until the server ends.
/// assert!(server.ca_pem().is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----")));
/// # Ok::<(), echoserver::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// A fresh authority, which signs a certificate for `localhost`, `127.0.0.1`, `::1`, the host that is listened on, and
    /// these names.
    SelfSigned {
        /// Names or addresses; such as can't be in a certificate are left out.
        names: Vec<String>,
        /// What is wrong with the certificate. Default `None`: nothing.
        flaw: Option<Flaw>,
    },
    /// Files, which are read at the start and at each reload.
    Files(TlsFiles),
}

/// Why a client must refuse a self-signed certificate although it trusts the authority (RFC 5280 section 6.1.3, RFC 9525
/// section 6). For tests of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It was valid until yesterday.
    Expired,
    /// It is for `wrong-host.invalid` (RFC 2606 section 2), and for no other name and no address.
    WrongHost,
}

/// Certificate and key in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead to one the clients trust.
    pub certfile: PathBuf,
    /// The private key of the first of them: PKCS#8, PKCS#1 or SEC1.
    pub keyfile: PathBuf,
    /// Opens the key if that is encrypted PKCS#8.
    pub password: Option<Password>,
    /// The authorities of the clients' certificates. Default `None`: clients are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// The oldest version of the protocol that is spoken. Default 1.2.
    pub min_version: MinVersion,
}

/// The password of a key; never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Password(pub Vec<u8>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'***'")
    }
}

/// The oldest version of TLS that is spoken; 1.1 and older are never (RFC 8996).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// What the TLS handshake with a client agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite's name at IANA.
    pub cipher: String,
    /// The name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// The application protocol: `http/1.1`, or none if the client offered none.
    pub alpn: Option<String>,
    /// Who the client's certificate says it is (RFC 4514), and the certificate in DER; it was verified.
    pub peer: Option<(String, Vec<u8>)>,
}
