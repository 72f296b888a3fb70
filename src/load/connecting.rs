//! How a client of the load gets its connection: TCP, TLS where the URL wants it, and the upgrade.

use super::trust::Trust;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// TCP, or TLS over it. To look up which costs nothing beside a system call.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<W: AsyncRead + AsyncWrite + Unpin> Wire for W {}

pub(super) type Socket = WebSocketStream<Box<dyn Wire>>;

/// Connects, or says why not. `trust` is for `wss://`.
pub(super) async fn connect(
    url: &str,
    trust: Option<&Trust>,
    config: WebSocketConfig,
) -> Result<Socket, String> {
    let request = url
        .into_client_request()
        .map_err(|error| error.to_string())?;
    let uri = request.uri();
    let is_secure = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let host = uri.host().unwrap_or_default();
    // An address of IPv6.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, port))
        .await
        .map_err(|error| error.to_string())?;
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let wire: Box<dyn Wire> = if is_secure {
        let trust = trust.ok_or("nothing says which certificates to trust")?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_invalid| format!("{host} can't be the name in a certificate"))?;
        let connector = TlsConnector::from(trust.config());
        let tls = connector.connect(name, tcp).await;
        Box::new(tls.map_err(|error| no_tls(&error))?)
    } else {
        Box::new(tcp)
    };
    let connecting = client_async_with_config(request, wire, Some(config));
    let (socket, _) = connecting.await.map_err(|error| error.to_string())?;
    Ok(socket)
}

/// Why TLS with the server failed.
fn no_tls(error: &io::Error) -> String {
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref());
    match reason {
        Some(Error::InvalidCertificate(reason)) if is_from_nobody(reason) => {
            "the server's certificate comes from nobody who is trusted".into()
        }
        Some(Error::InvalidCertificate(reason)) => {
            format!("the server's certificate is refused: {reason}")
        }
        Some(Error::InvalidMessage(_)) => "what answers there speaks no TLS".into(),
        Some(reason) => format!("no TLS with the server: {reason}"),
        None => format!("the connection broke in the TLS handshake: {error}"),
    }
}

/// Whether the certificate has nobody who is trusted for its issuer. Of one that has signed itself, as `openssl req -x509`
/// makes it, webpki says first that it is an authority's, in a type that rustls does not show.
fn is_from_nobody(reason: &CertificateError) -> bool {
    match reason {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(other) => other.0.to_string() == "CaUsedAsEndEntity",
        _ => false,
    }
}
