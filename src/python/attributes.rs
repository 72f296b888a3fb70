//! The application's own attributes of an object.

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};
use std::sync::OnceLock;

/// No `dict` of PyO3's: CPython 3.11 and 3.12 make that one before the rest of the object is written, making it may run
/// the collector, and the collector then looks at fields that are none (PyO3 0.30).
#[derive(Default)]
pub(super) struct Attributes(OnceLock<Py<PyDict>>);

impl Attributes {
    pub(super) fn dict<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        // Made before and not under the cell's lock: it may run the collector, and so code that comes here again.
        if self.0.get().is_none() {
            // Set by another meanwhile: that one is as good.
            let _ = self.0.set(PyDict::new(py).unbind());
        }
        self.0.get_or_init(|| PyDict::new(py).unbind()).bind(py)
    }

    /// # Errors
    /// `AttributeError`, in the words of Python, if a `class` has none of that name.
    pub(super) fn get<'py>(
        &self,
        class: &str,
        name: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let own = self.0.get().map(|own| own.bind(name.py()));
        let found = own.and_then(|own| own.get_item(name).transpose());
        found.transpose()?.ok_or_else(|| {
            PyAttributeError::new_err(format!("'{class}' object has no attribute '{name}'"))
        })
    }

    /// # Errors
    /// `AttributeError` if the class itself has one of that name.
    pub(super) fn set(
        &self,
        class: &Bound<'_, PyType>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if class.hasattr(name)? {
            let class = class.name()?;
            return Err(PyAttributeError::new_err(format!(
                "attribute '{name}' of '{class}' objects can't be set"
            )));
        }
        self.dict(name.py()).set_item(name, value)
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.get().map_or(Ok(()), |own| visit.call(own))
    }
}
