//! `TLS`, which says where certificate and key are, and `TLSInfo`, what a client's handshake agreed on.

use super::argument::{Argument, Given, SURROGATE};
use super::waiting;
use crate::server::{MAX_FILE, TOO_LONG, read_file};
use crate::tls::{Flaw, MinVersion, Password, Tls, TlsFacts, TlsFiles};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::ffi::OsStr;

/// The values of `tls` that ask for an authority of the server's own, and what is wrong with its certificate.
const SELF_SIGNED: [(&str, Option<Flaw>); 3] = [
    ("self-signed", None),
    ("expired", Some(Flaw::Expired)),
    ("wrong-host", Some(Flaw::WrongHost)),
];
/// Bytes that are read of a password's file; a device may have a line without an end.
const MAX_PASSWORD: u64 = 1 << 17;

/// Certificate and key of a server, in PEM files: `EchoServer(tls=TLS("cert.pem", "key.pem"))`.
///
/// Immutable, and equal to another with the same arguments. The files are read when the server is made and at each
/// `EchoServer.reload_tls()`; only then errors in them are found.
///
/// - `certfile`: the server's certificate, then the intermediate ones (RFC 8446 section 4.4.2).
/// - `keyfile`: its private key: PKCS#8, encrypted or not, PKCS#1 or SEC1; RSA of 2048 to 8192 bits, ECDSA on P-256 or
///   P-384, Ed25519. It may be the same file.
/// - `password`: of an encrypted key. The legacy encryption of PEM is not supported; the error has the command that
///   converts such a key.
/// - `client_ca`: certificates of authorities. If given, every client has to show a certificate that one of them has
///   signed (mutual TLS), which `Client.tls` then tells.
/// - `min_version`: the oldest version of TLS that is spoken.
///
/// TypeError for what is no path or password, ValueError for a NUL in a path and for another version.
#[pyclass(frozen, eq, hash, name = "TLS", module = "echoserver")]
#[derive(PartialEq, Eq, Hash)]
pub(super) struct PyTls(TlsFiles);

#[pymethods]
impl PyTls {
    #[new]
    #[pyo3(
        signature = (certfile, keyfile, password=None, client_ca=None, min_version=Given::Default),
        text_signature = "(certfile, keyfile, password=None, client_ca=None, min_version='1.2')"
    )]
    fn new(
        certfile: Bound<'_, PyAny>,
        keyfile: Bound<'_, PyAny>,
        password: Option<&Bound<'_, PyAny>>,
        client_ca: Option<Bound<'_, PyAny>>,
        min_version: Given<'_>,
    ) -> PyResult<Self> {
        let password = password.map(|password| {
            if let Ok(text) = password.cast::<PyString>() {
                // The value is nobody's business.
                let text = text
                    .to_str()
                    .map_err(|_error| PyValueError::new_err(format!("password: {SURROGATE}")))?;
                Ok(Password(text.as_bytes().to_vec()))
            } else if let Ok(bytes) = password.cast::<PyBytes>() {
                Ok(Password(bytes.as_bytes().to_vec()))
            } else {
                let actual = password.get_type().name()?;
                Err(PyTypeError::new_err(format!(
                    "password: must be str, bytes or None, not {actual}"
                )))
            }
        });
        Ok(Self(TlsFiles {
            certfile: Argument::of("certfile", certfile).path()?,
            keyfile: Argument::of("keyfile", keyfile).path()?,
            password: password.transpose()?,
            client_ca: client_ca
                .map(|file| Argument::of("client_ca", file).path())
                .transpose()?,
            min_version: min_version
                .read("min_version", min_version_of)?
                .unwrap_or_default(),
        }))
    }

    /// As given.
    #[getter]
    fn certfile(&self) -> &OsStr {
        self.0.certfile.as_os_str()
    }

    /// As given.
    #[getter]
    fn keyfile(&self) -> &OsStr {
        self.0.keyfile.as_os_str()
    }

    /// As given.
    #[getter]
    fn client_ca(&self) -> Option<&OsStr> {
        self.0.client_ca.as_deref().map(AsRef::as_ref)
    }

    /// As given.
    #[getter]
    const fn min_version(&self) -> &'static str {
        match self.0.min_version {
            MinVersion::Tls12 => "1.2",
            MinVersion::Tls13 => "1.3",
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let shown = |path: Option<&OsStr>| path.into_pyobject(py)?.repr();
        let password = self.0.password.as_ref().map_or("None", |_| "'***'");
        Ok(format!(
            "TLS(certfile={}, keyfile={}, password={password}, client_ca={}, min_version='{}')",
            shown(Some(self.certfile()))?,
            shown(Some(self.keyfile()))?,
            shown(self.client_ca())?,
            self.min_version(),
        ))
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "as the other readers of an argument"
)]
fn min_version_of(value: Argument<'_>) -> PyResult<MinVersion> {
    let Ok(text) = value.value().cast::<PyString>() else {
        return Err(value.wrong_type("\"1.2\" or \"1.3\""));
    };
    match value.utf8(text)? {
        "1.2" => Ok(MinVersion::Tls12),
        "1.3" => Ok(MinVersion::Tls13),
        _ => Err(value.bad_value("must be \"1.2\" or \"1.3\"; older ones are broken (RFC 8996)")),
    }
}

/// What a program finds in the file of a key's password.
#[pyfunction]
pub(super) fn password_file<'py>(
    py: Python<'py>,
    path: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    contents(py, "password_file", path, MAX_PASSWORD)
}

/// What a client finds in the file of the authorities that it trusts.
#[pyfunction]
pub(super) fn ca_file<'py>(
    py: Python<'py>,
    path: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    const NAME: &str = "ca";
    let bytes = contents(py, NAME, path.clone(), MAX_FILE + 1)?;
    if bytes.as_bytes().len() as u64 > MAX_FILE {
        let reason = format!("{NAME}: {TOO_LONG}");
        return Err(PyOSError::new_err((None::<i32>, reason, path.unbind())));
    }
    Ok(bytes)
}

/// At most so many bytes of a file. A signal may end the wait for it, as it can't for Python's own reading if it comes
/// just before that.
fn contents<'py>(
    py: Python<'py>,
    name: &'static str,
    path: Bound<'py, PyAny>,
    most: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    let path = Argument::of(name, path).path()?;
    let bytes = waiting::patiently(py, |patience| read_file(name, &path, most, patience))?;
    Ok(PyBytes::new(py, &bytes))
}

/// The option `tls`: a `TLS`, or the word.
#[expect(
    clippy::needless_pass_by_value,
    reason = "as the other readers of an argument"
)]
pub(super) fn option(value: Argument<'_>) -> PyResult<Tls> {
    if let Ok(tls) = value.value().cast::<PyTls>() {
        return Ok(Tls::Files(tls.get().0.clone()));
    }
    let Ok(word) = value.value().cast::<PyString>() else {
        return Err(value.wrong_type("\"self-signed\", a TLS, or None"));
    };
    let Some((_, flaw)) = SELF_SIGNED.iter().find(|(known, _)| word == known) else {
        return Err(value.bad_value("must be \"self-signed\", a TLS, or None"));
    };
    let socket = word.py().import("socket")?;
    let name: Option<String> = socket.call_method0("gethostname")?.extract().ok();
    Ok(Tls::SelfSigned {
        names: name.into_iter().collect(),
        flaw: *flaw,
    })
}

/// What the TLS handshake with a client agreed on: `Client.tls`. Immutable.
#[pyclass(frozen, get_all, name = "TLSInfo", module = "echoserver")]
pub(super) struct PyTlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    version: &'static str,
    /// The cipher suite's name at IANA, such as `TLS_AES_128_GCM_SHA256`.
    cipher: String,
    /// The host name that the client asked for (SNI, RFC 6066 section 3); None if it asked for an address.
    server_name: Option<String>,
    /// `http/1.1` if the client offered application protocols (RFC 7301), else None.
    alpn: Option<String>,
    /// The subject of the client's certificate (RFC 4514), such as `CN=probe 7,O=Example`; None without one.
    ///
    /// The certificate was verified with `client_ca`.
    peer_subject: Option<String>,
    /// The client's certificate in DER, as `ssl.SSLSocket.getpeercert(True)` has it.
    peer_certificate: Option<Py<PyBytes>>,
}

impl PyTlsInfo {
    /// The only way from the core's facts to Python.
    pub(super) fn of(py: Python<'_>, facts: Option<&TlsFacts>) -> Option<Self> {
        facts.map(|facts| Self {
            version: facts.version,
            cipher: facts.cipher.clone(),
            server_name: facts.server_name.clone(),
            alpn: facts.alpn.clone(),
            peer_subject: facts.peer.as_ref().map(|(subject, _)| subject.clone()),
            peer_certificate: facts
                .peer
                .as_ref()
                .map(|(_, certificate)| PyBytes::new(py, certificate).unbind()),
        })
    }
}

#[pymethods]
impl PyTlsInfo {
    fn __repr__(&self) -> String {
        let shown = |text: &Option<String>| {
            text.as_ref().map_or_else(
                || "None".to_owned(),
                |text| format!("'{}'", text.escape_debug()),
            )
        };
        format!(
            "<TLSInfo {} {} server_name={} alpn={} peer_subject={}>",
            self.version,
            self.cipher,
            shown(&self.server_name),
            shown(&self.alpn),
            shown(&self.peer_subject)
        )
    }
}
