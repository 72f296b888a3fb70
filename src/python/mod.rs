//! The binding: `echoserver._core`. Knows only the public face of the rest of the crate; argument checks, callbacks
//! and exceptions are here, behaviour is not.
//!
//! The `///` of what Python sees is copied from its stub, `_core.pyi`: `tests/python/docstrings.py`.

#![allow(
    clippy::doc_markdown,
    reason = "docstrings name Python's exceptions as Python does, without backticks"
)]

mod address;
mod adopting;
mod answers;
mod argument;
mod asyncio;
mod at_fork;
mod attributes;
mod broadcast;
mod calls;
mod catching_up;
mod client;
mod clock;
mod control;
mod coroutine;
mod crossing;
mod dispatcher;
mod doorbell;
mod down;
mod drain;
mod driving;
mod enter;
mod errors;
mod events;
mod faults;
mod flushing;
mod fork;
mod handshake;
mod head;
mod imported;
mod link;
mod load;
mod lock;
mod log;
mod on_thread;
mod options;
mod outgoing;
mod recording;
mod runner;
mod server;
mod shared;
mod thread;
mod tls;
mod values;
mod waiting;
mod wanted;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// pyo3 has one set of types for a process, and notices a second interpreter only if the first has them already.
fn refuse_subinterpreters(py: Python<'_>) -> PyResult<()> {
    let Ok(interpreters) = py
        .import("_interpreters")
        .or_else(|_| py.import("_xxsubinterpreters"))
    else {
        return Ok(());
    };
    let current = interpreters.call_method0("get_current")?;
    if current.eq(interpreters.call_method0("get_main")?)? {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "echoserver can't be used in a subinterpreter; import it in the main interpreter",
    ))
}

/// Ends, as the interpreter does, the thread that completes futures of event loops; from then on there is none.
#[pyfunction]
fn finish(py: Python<'_>) {
    py.detach(crossing::finish);
}

/// The native half of `echoserver`; import the names from there.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::argument::checked_timeout;
    #[pymodule_export]
    use super::asyncio::inbox::{Held, Mail};
    #[pymodule_export]
    use super::asyncio::task::Pump;
    #[pymodule_export]
    use super::asyncio::turn::Reader;
    #[pymodule_export]
    use super::client::{PyClient, at_end};
    #[pymodule_export]
    use super::clock::PyManualClock;
    #[pymodule_export]
    use super::down::Down;
    #[pymodule_export]
    use super::errors::shown;
    #[pymodule_export]
    use super::faults::{PyFault, check_fault, violations};
    #[pymodule_export]
    use super::finish;
    #[pymodule_export]
    use super::handshake::{PyAccept, PyRequest, PyResponse};
    #[pymodule_export]
    use super::load::PyLoad;
    use super::options;
    #[pymodule_export]
    use super::recording::PyRecord;
    #[pymodule_export]
    use super::server::PyServer;
    #[pymodule_export]
    use super::thread::NativeThread;
    #[pymodule_export]
    use super::tls::{PyTls, PyTlsInfo, ca_file, password_file};
    #[pymodule_export]
    use super::values::NoReply;
    #[pymodule_export]
    use super::waiting::keep_for_ever;
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::refuse_subinterpreters(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("CALLBACKS", super::calls::names(module.py())?)?;
        module.add("DEFAULTS", options::defaults(module.py())?)?;
        module.add("FAULTS", super::faults::table(module.py())?)?;
        module.add("DEFLATE_DEFAULTS", options::deflate_defaults(module.py())?)?;
        module.add("NO_REPLY", module.getattr("NoReply")?.call0()?)?;
        super::at_fork::register(module)
    }
}
