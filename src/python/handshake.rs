//! `Request`, which `on_handshake` is asked about, and its answers: `Response` and `Accept`.

use super::address;
use super::argument::{Argument, SURROGATE};
use super::errors;
use super::head::{self, since_epoch};
use super::link::Link;
use super::tls::PyTlsInfo;
use super::values::payload;
use crate::admission::{Decision, Request};
use crate::protocol::head::Head;
use crate::protocol::http::{Fields, Response};
use crate::protocol::message::Kind;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMapping, PyString, PyTuple};
use std::sync::Arc;

/// A client's upgrade request (RFC 6455 section 4.1), as `on_handshake` is asked about it.
///
/// It has passed the server's own checks: method, version, key, `origins`. The server makes them. Thread-safe; stays
/// readable.
#[pyclass(frozen, weakref, name = "Request", module = "echoserver")]
pub(super) struct PyRequest {
    request: Arc<Request>,
    link: Arc<Link>,
}

impl PyRequest {
    pub(super) fn new(request: &Arc<Request>, link: &Arc<Link>) -> Self {
        Self {
            request: request.clone(),
            link: link.clone(),
        }
    }
}

#[pymethods]
impl PyRequest {
    /// Method of the request: GET, since no other can upgrade.
    #[getter]
    fn method(&self) -> &str {
        self.request.head().map_or("GET", |head| head.method())
    }

    /// Path of the requested URL, without the query, as the client wrote it (not percent-decoded).
    #[getter]
    fn path(&self) -> &str {
        self.request.head().map_or("", |head| head.path())
    }

    /// Query of the requested URL, without the question mark; "" if there is none.
    #[getter]
    fn query(&self) -> &str {
        self.request.head().map_or("", |head| head.query())
    }

    /// The request's headers: a mapping with case-insensitive names, repeated fields joined by a comma.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        head::headers(py, self.request.head())
    }

    /// The request's header lines, as they came; bytes beyond ASCII as Latin-1.
    #[getter]
    fn raw_headers(&self) -> Vec<(String, String)> {
        head::raw_headers(self.request.head())
    }

    /// The `Origin` header (RFC 6455 section 10.2): which page a browser connects for.
    #[getter]
    fn origin(&self) -> Option<String> {
        self.request.head()?.field_joined("origin")
    }

    /// The subprotocols that the client offers, the one that it likes best first (RFC 6455 section 4.1).
    #[getter]
    fn subprotocols<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let head = self.request.head();
        let offers: Vec<_> = head.iter().flat_map(Head::subprotocols).collect();
        PyTuple::new(py, offers)
    }

    /// IP address and port of the client; IPv4 is shown as such also on a dual-stack socket.
    ///
    /// ("unix:", 0) on a Unix socket, whose clients have no address.
    #[getter]
    fn peer(&self, py: Python<'_>) -> (String, u16) {
        address::peer(py, self.request.peer)
    }

    /// IP address and port of the balancer that has connected for the client (`proxy_from`), or None.
    ///
    /// ("unix:", 0) for one that has connected to a Unix socket.
    #[getter]
    fn proxied_by(&self, py: Python<'_>) -> Option<(String, u16)> {
        let balancer = self.request.proxied_by;
        balancer.map(|balancer| address::peer(py, balancer))
    }

    /// When it had come, in seconds since the epoch, as `time.time()`.
    #[getter]
    fn time(&self) -> f64 {
        since_epoch(self.request.time)
    }

    /// Status of the response, 101 for a client; None before there is one, and if there never was.
    #[getter]
    fn status(&self) -> Option<u16> {
        self.link.settle();
        self.request.status()
    }

    /// What the TLS handshake agreed on; None without TLS.
    #[getter]
    fn tls(&self, py: Python<'_>) -> Option<PyTlsInfo> {
        PyTlsInfo::of(py, self.request.tls.as_deref())
    }

    fn __repr__(&self) -> String {
        let target = self.request.head().map_or("", |head| head.target());
        let peer = self.request.peer;
        format!("<Request {} {target} from {peer}>", self.method())
    }
}

/// An HTTP response, returned by `on_handshake` to refuse a client. Immutable, and may be used again.
///
/// - `status`: 300 to 599. 401 wants a WWW-Authenticate header, 3xx a Location.
/// - `headers`: a mapping, or pairs of name and value, which may repeat a name; sent in their order, characters up to
///   U+00FF as one byte each. Server and Date replace the server's. Upgrade, Connection, Content-Length,
///   Transfer-Encoding and Sec-WebSocket-Accept, -Extensions and -Protocol are the server's own.
/// - `body`: `str`, sent as UTF-8 with `Content-Type: text/plain; charset=utf-8` unless `headers` have another, or
///   bytes-like, of which `headers` say what it is.
///
/// The connection ends after it. ValueError for a status out of range, for a name that is no token (RFC 9110 section
/// 5.6.2) or the server's own, for a value with control characters or with space at its ends, and for a 304 with a
/// body; TypeError for other types.
#[pyclass(frozen, name = "Response", module = "echoserver")]
pub(super) struct PyResponse {
    response: Response,
}

#[pymethods]
impl PyResponse {
    #[new]
    #[pyo3(signature = (status, headers=None, body=None), text_signature = "(status, headers=(), body=b'')")]
    fn new(
        status: Bound<'_, PyAny>,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let status = Argument::of("status", status).status()?;
        let fields = fields(headers)?;
        let Some(body) = body else {
            let response = Response::new(status, fields, Vec::new())?;
            return Ok(Self { response });
        };
        let Some(payload) = payload(body)? else {
            let actual = body.get_type().name()?;
            let message = format!("body must be str or bytes-like, not {actual}");
            return Err(PyTypeError::new_err(message));
        };
        let bytes = payload.bytes().map_err(|_error| surrogate("body", body))?;
        let response = match (payload.kind, str::from_utf8(bytes)) {
            (Kind::Text, Ok(text)) => Response::text(status, fields, text)?,
            _ => Response::new(status, fields, bytes.to_vec())?,
        };
        Ok(Self { response })
    }

    /// The status.
    #[getter]
    fn status(&self) -> u16 {
        self.response.status()
    }

    /// Names and values of the header lines.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.response.fields().lines())
    }

    /// The body.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.response.body())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (headers, body) = (self.headers(py)?.repr()?, self.body(py).repr()?);
        Ok(format!("Response({}, {headers}, {body})", self.status()))
    }
}

/// Returned by `on_handshake` to let a client in with headers or a subprotocol. Immutable, and may be used again.
///
/// - `headers`: header lines to add to the 101, such as Set-Cookie; as those of Response.
/// - `subprotocol`: one that the client offers (RFC 6455 section 4.2.2), whether or not it is among the `subprotocols`
///   of the server. None leaves the choice to those.
///
/// ValueError for headers as those of Response, and for a subprotocol that is no token. One that the client does not
/// offer is an error of the callback: 500.
#[pyclass(frozen, name = "Accept", module = "echoserver")]
pub(super) struct PyAccept {
    fields: Fields,
    subprotocol: Option<String>,
}

#[pymethods]
impl PyAccept {
    #[new]
    #[pyo3(signature = (headers=None, subprotocol=None), text_signature = "(headers=(), subprotocol=None)")]
    fn new(
        headers: Option<&Bound<'_, PyAny>>,
        subprotocol: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let fields = fields(headers)?;
        let subprotocol = subprotocol
            .map(|name| Argument::of("subprotocol", name).token())
            .transpose()?;
        Ok(Self {
            fields,
            subprotocol,
        })
    }

    /// Names and values of the header lines.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.fields.lines())
    }

    /// The subprotocol to choose.
    #[getter]
    fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let headers = self.headers(py)?.repr()?;
        let subprotocol = self.subprotocol.as_deref().into_pyobject(py)?.repr()?;
        Ok(format!("Accept({headers}, {subprotocol})"))
    }
}

/// Whether it is one of these answers.
pub(super) fn is_answer(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyAccept>() || object.is_instance_of::<PyResponse>()
}

/// The rules for what `on_handshake` returns: `None` accepts, as does `Accept`, and `Response` refuses.
pub(super) fn decision(
    name: impl FnOnce() -> String,
    answer: &Bound<'_, PyAny>,
) -> PyResult<Decision> {
    if answer.is_none() {
        return Ok(Decision::accept());
    }
    if let Ok(accept) = answer.cast::<PyAccept>() {
        let accept = accept.get();
        return Ok(Decision::Accept {
            fields: accept.fields.clone(),
            subprotocol: accept.subprotocol.clone(),
        });
    }
    if let Ok(response) = answer.cast::<PyResponse>() {
        return Ok(Decision::Refuse(response.get().response.clone()));
    }
    Err(PyTypeError::new_err(format!(
        "{} returned {}, not None, Accept or Response",
        name(),
        answer.get_type().name()?
    )))
}

/// Text that can't be sent.
fn surrogate(argument: &'static str, value: &Bound<'_, PyAny>) -> PyErr {
    let argument = Argument::of(argument, value.clone());
    argument.bad_value(SURROGATE)
}

/// Header lines from a mapping or from pairs, in their order.
fn fields(headers: Option<&Bound<'_, PyAny>>) -> PyResult<Fields> {
    let mut fields = Fields::default();
    let Some(headers) = headers else {
        return Ok(fields);
    };
    let wrong = |shown: &Bound<'_, PyAny>| -> PyErr {
        PyTypeError::new_err(format!(
            "headers={}: must be a mapping of str to str, or pairs of str",
            errors::shown(shown)
        ))
    };
    let lines = match headers.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) if headers.is_instance_of::<PyString>() => return Err(wrong(headers)),
        Err(_) => headers.clone(),
    };
    for line in lines.try_iter().map_err(|_error| wrong(headers))? {
        let line = line?;
        if !line.is_instance_of::<PyTuple>() && !line.is_instance_of::<PyList>() {
            return Err(wrong(&line));
        }
        let pair: Vec<Bound<'_, PyAny>> = line.extract()?;
        let [name, value] = &pair[..] else {
            return Err(wrong(&line));
        };
        match (name.cast::<PyString>(), value.cast::<PyString>()) {
            (Ok(name), Ok(value)) => match (name.to_str(), value.to_str()) {
                (Ok(name), Ok(value)) => fields.push(name, value)?,
                _ => return Err(surrogate("headers", &line)),
            },
            _ => return Err(wrong(&line)),
        }
    }
    Ok(fields)
}
