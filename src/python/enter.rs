//! The way from here into code of the application.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::mem;
use std::thread;

/// Calls code of the application, which may run when the interpreter ends. A thread that asks for the interpreter then
/// is ended by unwinding, which Rust may not survive, and what its frames drop is not theirs any more: it parks for ever
/// instead, as pyo3 has it do where pyo3 asks. So nothing may be owned between here and the interpreter.
pub(super) fn enter<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    struct Parked;
    impl Drop for Parked {
        fn drop(&mut self) {
            while !thread::panicking() {
                thread::park();
            }
        }
    }
    let parked = Parked;
    let result = callable.call1(arguments);
    mem::forget(parked);
    result
}
