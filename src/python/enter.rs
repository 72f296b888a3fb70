//! The way from here into Python code, the application's or our own.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::hint::black_box;
use std::mem;
use std::thread;

/// Calls Python code, which may run when the interpreter ends. A thread that asks for the interpreter then is ended by
/// unwinding, which Rust may not survive, and what its frames drop is not theirs any more: it parks for ever instead, as
/// pyo3 has it do where pyo3 asks. So nothing may be owned between here and the interpreter.
pub(super) fn enter<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    enter_with(callable, arguments, None)
}

/// The same, with arguments by name.
pub(super) fn enter_with<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    struct Parked;
    impl Drop for Parked {
        fn drop(&mut self) {
            while !thread::panicking() {
                thread::park();
            }
        }
    }
    // The compiler takes it for granted that a function of Python's does not unwind, and would leave the guard out.
    let call = black_box(call_it as Call);
    let parked = Parked;
    let result = call(callable, arguments, options);
    mem::forget(parked);
    result
}

type Call = for<'a, 'py> fn(
    &'a Bound<'py, PyAny>,
    &'a Bound<'py, PyTuple>,
    Option<&'a Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>>;

fn call_it<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    callable.call(arguments, options)
}

/// As [`enter`], with arguments that are no tuple of Python's yet.
pub(super) fn call<'py, A>(
    callable: &Bound<'py, PyAny>,
    arguments: A,
) -> PyResult<Bound<'py, PyAny>>
where
    A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    PyErr: From<A::Error>,
{
    let arguments = arguments.into_pyobject(callable.py())?;
    enter(callable, &arguments)
}

/// The same for a method of an object.
pub(super) fn call_method<'py, A>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    arguments: A,
) -> PyResult<Bound<'py, PyAny>>
where
    A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    PyErr: From<A::Error>,
{
    call(&object.getattr(name)?, arguments)
}
