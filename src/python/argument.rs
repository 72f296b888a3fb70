//! One argument of a call: its type is checked here, and an error names it and its value.

use super::errors::{shown, type_name};
use crate::config::{MAX_TIMEOUT, MIN_TIMEOUT, TOO_LONG, TOO_SHORT};
use crate::error::{Error, quoted, shortened};
use crate::faults::grammar::{self, Place};
use crate::faults::plan::Plan;
use crate::order::NOT_SENDABLE;
use crate::protocol::extensions::Deflate;
use crate::protocol::request::is_token;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

/// Why text can't be sent.
pub(super) const SURROGATE: &str = "has a lone surrogate, which UTF-8 can't express";

/// One argument's name and value.
pub(super) struct Argument<'py> {
    name: &'static str,
    /// Which parameter of the `Deflate` that was given.
    parameter: Option<&'static str>,
    value: Bound<'py, PyAny>,
}

/// An argument that need not be given; of any type, so that an error can name it.
pub(super) enum Given<'py> {
    Default,
    Value(Bound<'py, PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = Infallible;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> Result<Self, Infallible> {
        Ok(Self::Value(value.to_owned()))
    }
}

impl<'py> Given<'py> {
    /// Its value, if it has one.
    pub(super) fn read<T>(
        self,
        name: &'static str,
        read: impl FnOnce(Argument<'py>) -> PyResult<T>,
    ) -> PyResult<Option<T>> {
        match self {
            Self::Default => Ok(None),
            Self::Value(value) => read(Argument::of(name, value)).map(Some),
        }
    }
}

impl<'py> Argument<'py> {
    pub(super) fn new(options: &Bound<'py, PyDict>, name: &'static str) -> PyResult<Self> {
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

    pub(super) fn list<T>(self, read: impl Fn(Self) -> PyResult<T>) -> PyResult<Vec<T>> {
        // A string is a sequence of strings too, but never meant as one.
        if self.value.is_instance_of::<PyString>() || self.value.is_instance_of::<PyBytes>() {
            return Err(self.wrong_type("a sequence of strings"));
        }
        let Ok(items) = self.value.try_iter() else {
            return Err(self.wrong_type("a sequence of strings"));
        };
        items.map(|item| read(Self::of(self.name, item?))).collect()
    }

    /// One text, or several, but not none.
    pub(super) fn texts(self) -> PyResult<Vec<String>> {
        if self.value.is_instance_of::<PyString>() {
            return Ok(vec![self.text()?]);
        }
        let value = &self.value;
        if value.is_instance_of::<PyBytes>() || value.try_iter().is_err() {
            return Err(self.wrong_type("a str or a sequence of strings"));
        }
        let whole = Self::of(self.name, self.value.clone());
        let texts = self.list(Self::text)?;
        if texts.is_empty() {
            return Err(whole.bad_value("must have at least one, or be None"));
        }
        Ok(texts)
    }

    pub(super) fn text(self) -> PyResult<String> {
        self.str().map(str::to_owned)
    }

    fn str(&self) -> PyResult<&str> {
        match self.value.cast::<PyString>() {
            Ok(text) => self.utf8(text),
            Err(_) => Err(self.wrong_type("a str")),
        }
    }

    /// A `str` as it is sent: one with half a character, as file names may have, is none that can be.
    pub(super) fn utf8<'a>(&self, text: &'a Bound<'py, PyString>) -> PyResult<&'a str> {
        text.to_str().map_err(|_error| self.bad_value(SURROGATE))
    }

    /// A name, such as that of a subprotocol.
    pub(super) fn token(self) -> PyResult<String> {
        let text = self.str()?;
        if is_token(text.as_bytes()) {
            Ok(text.to_owned())
        } else {
            Err(self.bad_value("must be a token (RFC 9110 section 5.6.2)"))
        }
    }

    /// `"deflate"` or a `Deflate`.
    pub(super) fn deflate(self) -> PyResult<Deflate> {
        let value = &self.value;
        if let Ok(text) = value.cast::<PyString>() {
            return if self.utf8(text)? == "deflate" {
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

    pub(super) fn port(self) -> PyResult<u16> {
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
    pub(super) fn small(self, reason: &'static str) -> PyResult<u8> {
        let int = self.int("an int")?;
        int.extract().map_err(|_error| self.bad_value(reason))
    }

    /// Permissions of a file; which there are is not decided here.
    pub(super) fn mode(self) -> PyResult<u32> {
        let int = self.int("an int")?;
        int.extract()
            .map_err(|_error| self.bad_value("must be 0 to 0o777, or None"))
    }

    pub(super) fn size(self) -> PyResult<usize> {
        let int = self.int("an int")?;
        int.extract().map_err(|_error| match int.lt(0) {
            Ok(true) => self.bad_value("must not be negative"),
            _ => self.out_of_range("is more than this machine can address"),
        })
    }

    /// Faults as they are written, in one text or several.
    pub(super) fn faults(self) -> PyResult<Plan> {
        let text = if self.value.is_instance_of::<PyString>() {
            self.str()?.to_owned()
        } else {
            let value = Self::of(self.name, self.value.clone());
            value.list(Argument::text)?.join("&")
        };
        grammar::parse(&text, Place::Server).map_err(|wrong| {
            let text = shortened(&quoted(&text)).into_owned();
            PyValueError::new_err(format!("{}={text}: {wrong}", self.name))
        })
    }

    /// What chance comes from.
    pub(super) fn seed(self) -> PyResult<u64> {
        let int = self.int("an int")?;
        int.extract()
            .map_err(|_error| self.bad_value("must be 0 to 2**64 - 1, or None"))
    }

    /// A code for a close frame; which may be sent is not decided here.
    pub(super) fn close_code(self) -> PyResult<i64> {
        self.int("an int")?
            .extract()
            .map_err(|_error| self.bad_value(NOT_SENDABLE))
    }

    /// A `str` or `os.PathLike`.
    pub(super) fn path(self) -> PyResult<PathBuf> {
        let path: PathBuf = self.value.extract().map_err(|error: PyErr| {
            // What its `__fspath__` raises is its own.
            if error.is_instance_of::<PyTypeError>(self.value.py()) {
                self.wrong_type("a path")
            } else {
                error
            }
        })?;
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(self.bad_value("has a NUL, which no path can have"));
        }
        Ok(path)
    }

    /// Seconds of a timeout that can't be nothing.
    pub(super) fn timeout(self) -> PyResult<Duration> {
        let timeout = self.seconds()?;
        if timeout < MIN_TIMEOUT {
            return Err(self.bad_value(TOO_SHORT));
        }
        Ok(timeout)
    }

    /// Seconds by which a clock can be advanced.
    pub(super) fn advance(self) -> PyResult<Duration> {
        let seconds = self.seconds()?;
        if seconds > MAX_TIMEOUT {
            return Err(self.bad_value(TOO_LONG));
        }
        Ok(seconds)
    }

    /// Seconds; not negative, finite.
    pub(super) fn seconds(&self) -> PyResult<Duration> {
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
        if !seconds.is_finite() {
            return Err(self.bad_value("must be finite seconds"));
        }
        Duration::try_from_secs_f64(seconds)
            .map_err(|_error| self.out_of_range("is too large for seconds"))
    }

    pub(super) fn int(&self, expected: &str) -> PyResult<Bound<'py, PyInt>> {
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

    pub(super) fn out_of_range(&self, reason: &str) -> PyErr {
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

    pub(super) fn shown(&self) -> String {
        let value = shown(&self.value);
        match self.parameter {
            Some(parameter) => format!("Deflate({parameter}={value})"),
            None => value,
        }
    }
}

/// A timeout of the package's own calls, checked.
#[pyfunction]
pub(super) fn checked_timeout(timeout: Option<Bound<'_, PyAny>>) -> PyResult<Option<f64>> {
    Ok(seconds("timeout", timeout)?.map(|timeout| timeout.as_secs_f64()))
}

/// A timeout of a method: seconds, or `None`.
pub(super) fn seconds(
    name: &'static str,
    value: Option<Bound<'_, PyAny>>,
) -> PyResult<Option<Duration>> {
    value.map_or(Ok(None), |value| {
        Argument::of(name, value).optional(|argument| argument.seconds())
    })
}
