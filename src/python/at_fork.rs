//! What has to happen around a fork of this process.

use super::crossing;
use super::fork;
use crate::sockets;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

#[pyfunction]
fn before_fork(py: Python<'_>) {
    // Another thread may be at a fork, and needs the interpreter to finish it.
    py.detach(|| {
        sockets::before_fork();
        crossing::before_fork();
    });
    fork::before_fork();
}

#[pyfunction]
fn after_fork_in_parent() {
    fork::after_fork_in_parent();
    crossing::after_fork();
    sockets::after_fork_in_parent();
}

#[pyfunction]
fn after_fork_in_child(py: Python<'_>) -> PyResult<()> {
    fork::look();
    crossing::after_fork();
    let numbers = sockets::after_fork_in_child();
    if numbers.is_empty() {
        return Ok(());
    }
    let close = py
        .import(intern!(py, "os"))?
        .getattr(intern!(py, "close"))?;
    for number in numbers {
        // One that is closed already is what is wanted.
        let _ = close.call1((number,));
    }
    Ok(())
}

/// Has Python call the hooks at each fork, where there are forks.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let os = py.import(intern!(py, "os"))?;
    if !os.hasattr(intern!(py, "register_at_fork"))? {
        return Ok(());
    }
    let hooks = [
        ("before", wrap_pyfunction!(before_fork, module)?),
        (
            "after_in_parent",
            wrap_pyfunction!(after_fork_in_parent, module)?,
        ),
        (
            "after_in_child",
            wrap_pyfunction!(after_fork_in_child, module)?,
        ),
    ];
    os.call_method(
        intern!(py, "register_at_fork"),
        (),
        Some(&hooks.into_py_dict(py)?),
    )?;
    Ok(())
}
