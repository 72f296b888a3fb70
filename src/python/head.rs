//! The head of an upgrade request as Python objects; what `Request` and `Client` have in common.

use super::enter::call;
use super::imported::imported;
use crate::protocol::head::Head;
use pyo3::prelude::*;
use std::time::SystemTime;

/// The header lines as they came.
pub(super) fn raw_headers(head: Option<Head<'_>>) -> Vec<(String, String)> {
    // Header values are bytes; latin-1 shows each as one character (RFC 9110 section 5.5).
    let text = |value: &[u8]| value.iter().map(|&byte| char::from(byte)).collect();
    head.map_or_else(Vec::new, |head| {
        head.fields()
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect()
    })
}

/// The header lines as a mapping.
pub(super) fn headers<'py>(py: Python<'py>, head: Option<Head<'_>>) -> PyResult<Bound<'py, PyAny>> {
    let class = imported(py)?.headers.bind(py);
    call(class, (raw_headers(head),))
}

/// Seconds since the epoch, as `time.time()` has them.
pub(super) fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
