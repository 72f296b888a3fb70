//! Keyword arguments to [`Config`]. Types are checked here, values in `Config::check`; every error names the argument
//! and its value.

use super::errors::{shown, type_name};
use super::tls;
use crate::config::Config;
use crate::error::Error;
use crate::protocol::extensions::Deflate;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString};
use std::time::Duration;

/// The options of a server, from a dictionary that has all of them.
pub(super) fn config(options: &Bound<'_, PyDict>) -> PyResult<Config> {
    let get = |name: &'static str| Argument::new(options, name);
    let config = Config {
        port: get("port")?.port()?,
        host: get("host")?.optional(Argument::text)?,
        subprotocols: get("subprotocols")?.list(Argument::text)?,
        origins: get("origins")?
            .optional(|origins| origins.list(|origin| origin.optional(Argument::text)))?,
        compression: get("compression")?.optional(Argument::deflate)?,
        max_message_size: get("max_message_size")?.size()?,
        max_connections: get("max_connections")?.optional(Argument::size)?,
        memory_limit: get("memory_limit")?.size()?,
        max_send_queue: get("max_send_queue")?.size()?,
        open_timeout: get("open_timeout")?.seconds()?,
        close_timeout: get("close_timeout")?.seconds()?,
        idle_timeout: get("idle_timeout")?.optional(Argument::seconds)?,
        ping_interval: get("ping_interval")?.optional(Argument::seconds)?,
        ping_timeout: get("ping_timeout")?.seconds()?,
        workers: get("workers")?.optional(Argument::size)?,
        server_name: get("server_name")?.text()?,
        tls: get("tls")?.optional(tls::option)?,
    };
    config.check()?;
    Ok(config)
}

/// The defaults by name, for the test that compares them with the Python signature.
pub(super) fn defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let config = Config::default();
    let seconds = |timeout: Duration| timeout.as_secs_f64();
    let defaults = PyDict::new(py);
    defaults.set_item("port", config.port)?;
    defaults.set_item("host", config.host)?;
    defaults.set_item(
        "subprotocols",
        pyo3::types::PyTuple::new(py, config.subprotocols)?,
    )?;
    defaults.set_item("origins", config.origins)?;
    defaults.set_item("compression", config.compression.map(|_| "deflate"))?;
    defaults.set_item("max_message_size", config.max_message_size)?;
    defaults.set_item("max_connections", config.max_connections)?;
    defaults.set_item("memory_limit", config.memory_limit)?;
    defaults.set_item("max_send_queue", config.max_send_queue)?;
    defaults.set_item("open_timeout", seconds(config.open_timeout))?;
    defaults.set_item("close_timeout", seconds(config.close_timeout))?;
    defaults.set_item("idle_timeout", config.idle_timeout.map(seconds))?;
    defaults.set_item("ping_interval", config.ping_interval.map(seconds))?;
    defaults.set_item("ping_timeout", seconds(config.ping_timeout))?;
    defaults.set_item("workers", config.workers)?;
    defaults.set_item("server_name", config.server_name)?;
    defaults.set_item("tls", py.None())?;
    Ok(defaults)
}

/// The defaults of `Deflate`, likewise.
pub(super) fn deflate_defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let deflate = Deflate::default();
    let defaults = PyDict::new(py);
    defaults.set_item(
        "server_no_context_takeover",
        deflate.server_no_context_takeover,
    )?;
    defaults.set_item(
        "client_no_context_takeover",
        deflate.client_no_context_takeover,
    )?;
    defaults.set_item("server_max_window_bits", deflate.server_max_window_bits)?;
    defaults.set_item("client_max_window_bits", deflate.client_max_window_bits)?;
    defaults.set_item("level", deflate.level)?;
    defaults.set_item("threshold", deflate.threshold)?;
    Ok(defaults)
}

/// One argument's name and value.
pub(super) struct Argument<'py> {
    name: &'static str,
    /// Which parameter of the `Deflate` that was given.
    parameter: Option<&'static str>,
    value: Bound<'py, PyAny>,
}

impl<'py> Argument<'py> {
    fn new(options: &Bound<'py, PyDict>, name: &'static str) -> PyResult<Self> {
        let value = options
            .get_item(name)?
            .ok_or_else(|| PyTypeError::new_err(format!("missing option {name}")))?;
        Ok(Self::of(name, value))
    }

    /// For a value that is no option, such as the timeout of a method.
    pub(super) const fn of(name: &'static str, value: Bound<'py, PyAny>) -> Self {
        Self {
            name,
            parameter: None,
            value,
        }
    }

    pub(super) const fn value(&self) -> &Bound<'py, PyAny> {
        &self.value
    }

    pub(super) fn optional<T>(self, read: impl FnOnce(Self) -> PyResult<T>) -> PyResult<Option<T>> {
        if self.value.is_none() {
            Ok(None)
        } else {
            read(self).map(Some)
        }
    }

    fn list<T>(self, read: impl Fn(Self) -> PyResult<T>) -> PyResult<Vec<T>> {
        // A string is a sequence of strings too, but never meant as one.
        if self.value.is_instance_of::<PyString>() || self.value.is_instance_of::<PyBytes>() {
            return Err(self.wrong_type("a sequence of strings"));
        }
        let Ok(items) = self.value.try_iter() else {
            return Err(self.wrong_type("a sequence of strings"));
        };
        items.map(|item| read(Self::of(self.name, item?))).collect()
    }

    pub(super) fn text(self) -> PyResult<String> {
        match self.value.cast::<PyString>() {
            Ok(text) => Ok(text.to_str()?.to_owned()),
            Err(_) => Err(self.wrong_type("a str")),
        }
    }

    /// `"deflate"` or a `Deflate`.
    fn deflate(self) -> PyResult<Deflate> {
        let value = &self.value;
        if let Ok(text) = value.cast::<PyString>() {
            return if text.to_str()? == "deflate" {
                Ok(Deflate::default())
            } else {
                Err(self.bad_value("must be 'deflate', a Deflate, or None"))
            };
        }
        let class = value
            .py()
            .import("echoserver.compression")?
            .getattr("Deflate")?;
        if !value.is_instance(&class)? {
            return Err(self.wrong_type("'deflate', a Deflate, or None"));
        }
        let get = |parameter: &'static str| {
            Ok::<_, PyErr>(Self {
                name: self.name,
                parameter: Some(parameter),
                value: value.getattr(parameter)?,
            })
        };
        Ok(Deflate {
            server_no_context_takeover: get("server_no_context_takeover")?.boolean()?,
            client_no_context_takeover: get("client_no_context_takeover")?.boolean()?,
            server_max_window_bits: get("server_max_window_bits")?.small("must be 9 to 15")?,
            client_max_window_bits: get("client_max_window_bits")?.small("must be 9 to 15")?,
            level: get("level")?.small("must be 0 to 9")?,
            threshold: get("threshold")?.size()?,
        })
    }

    pub(super) fn boolean(self) -> PyResult<bool> {
        match self.value.cast::<PyBool>() {
            Ok(value) => Ok(value.is_true()),
            Err(_) => Err(self.wrong_type("a bool")),
        }
    }

    fn port(self) -> PyResult<u16> {
        self.int("an int")?
            .extract()
            .map_err(|_error| self.out_of_range("must be 0 to 65535"))
    }

    /// Of a response; which ones there are is not decided here.
    pub(super) fn status(self) -> PyResult<u16> {
        self.int("an int")?
            .extract()
            .map_err(|_error| self.bad_value("must be 300 to 599"))
    }

    /// A small number, whose range `Config::check` knows.
    fn small(self, reason: &'static str) -> PyResult<u8> {
        let int = self.int("an int")?;
        int.extract().map_err(|_error| self.bad_value(reason))
    }

    fn size(self) -> PyResult<usize> {
        let int = self.int("an int")?;
        int.extract().map_err(|_error| match int.lt(0) {
            Ok(true) => self.bad_value("must not be negative"),
            _ => self.out_of_range("is more than this machine can address"),
        })
    }

    /// Seconds; not negative, finite.
    pub(super) fn seconds(self) -> PyResult<Duration> {
        let value = &self.value;
        let is_number = value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>();
        if !is_number || value.is_instance_of::<PyBool>() {
            return Err(self.wrong_type("a number of seconds"));
        }
        let seconds: f64 = value
            .extract()
            .map_err(|_error| self.out_of_range("is too large for seconds"))?;
        if seconds < 0.0 {
            return Err(self.bad_value("must not be negative"));
        }
        Duration::try_from_secs_f64(seconds)
            .map_err(|_error| self.bad_value("must be finite seconds"))
    }

    fn int(&self, expected: &str) -> PyResult<Bound<'py, PyInt>> {
        match self.value.cast::<PyInt>() {
            Ok(int) if !int.is_instance_of::<PyBool>() => Ok(int.clone()),
            _ => Err(self.wrong_type(expected)),
        }
    }

    pub(super) fn wrong_type(&self, expected: &str) -> PyErr {
        let actual = type_name(&self.value);
        PyTypeError::new_err(format!(
            "{}={}: must be {expected}, not {actual}",
            self.name,
            self.shown()
        ))
    }

    fn out_of_range(&self, reason: &str) -> PyErr {
        PyOverflowError::new_err(format!("{}={}: {reason}", self.name, self.shown()))
    }

    pub(super) fn bad_value(&self, reason: &'static str) -> PyErr {
        PyValueError::new_err(
            Error::Invalid {
                option: self.name,
                value: self.shown(),
                reason,
            }
            .to_string(),
        )
    }

    fn shown(&self) -> String {
        let value = shown(&self.value);
        match self.parameter {
            Some(parameter) => format!("Deflate({parameter}={value})"),
            None => value,
        }
    }
}
