//! `Request`, which `on_handshake` is asked about, and its answers: `Response` and `Accept`.

use super::address;
use super::argument::{Argument, SURROGATE};
use super::errors;
use super::head;
use super::tls::PyTlsInfo;
use super::values::payload;
use crate::admission::{Decision, Request};
use crate::error::{Error, quoted};
use crate::protocol::head::Head;
use crate::protocol::http::{Fields, Response};
use crate::protocol::message::Kind;
use crate::protocol::request::is_token;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMapping, PyString, PyTuple};
use std::sync::Arc;

/// An upgrade request. Thread-safe; stays readable.
#[pyclass(frozen, weakref, name = "Request", module = "echoserver")]
pub(super) struct PyRequest {
    request: Arc<Request>,
}

impl PyRequest {
    pub(super) fn new(request: &Arc<Request>) -> Self {
        Self {
            request: request.clone(),
        }
    }
}

#[pymethods]
impl PyRequest {
    /// Method of the request.
    #[getter]
    fn method(&self) -> &str {
        self.request.head().map_or("GET", |head| head.method())
    }

    /// Path of the requested URL, without the query.
    #[getter]
    fn path(&self) -> &str {
        self.request.head().map_or("", |head| head.path())
    }

    /// Query of the requested URL, without the question mark.
    #[getter]
    fn query(&self) -> &str {
        self.request.head().map_or("", |head| head.query())
    }

    /// The headers: a mapping with case-insensitive names, repeated fields joined.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        head::headers(py, self.request.head())
    }

    /// The header lines, as they came.
    #[getter]
    fn raw_headers(&self) -> Vec<(String, String)> {
        head::raw_headers(self.request.head())
    }

    /// The `Origin` header.
    #[getter]
    fn origin(&self) -> Option<String> {
        self.request.head()?.field_joined("origin")
    }

    /// The subprotocols that the client offers, in its order.
    #[getter]
    fn subprotocols<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let head = self.request.head();
        let offers: Vec<_> = head.iter().flat_map(Head::subprotocols).collect();
        PyTuple::new(py, offers)
    }

    /// Address and port of the client.
    #[getter]
    fn peer(&self, py: Python<'_>) -> (String, u16) {
        address::pair(py, self.request.peer)
    }

    /// What the TLS handshake agreed on.
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

/// Answered by `on_handshake`, it refuses a client.
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

    /// 300 to 599.
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

/// Answered by `on_handshake`, it lets a client in and says how.
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
            .map(|name| Argument::of("subprotocol", name).text())
            .transpose()?;
        match subprotocol {
            Some(name) if !is_token(name.as_bytes()) => Err(Error::Invalid {
                option: "subprotocol",
                value: quoted(&name),
                reason: "must be a token (RFC 9110 section 5.6.2)",
            }
            .into()),
            subprotocol => Ok(Self {
                fields,
                subprotocol,
            }),
        }
    }

    /// Names and values of the header lines to add.
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
