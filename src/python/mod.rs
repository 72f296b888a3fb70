//! The binding: `echoserver._core`. Knows only the public face of the rest of the crate; argument checks, callbacks
//! and exceptions are here, behaviour is not.

mod client;
mod dispatcher;
mod errors;
mod link;
mod options;
mod server;

use pyo3::prelude::*;

/// The native half of `echoserver`; import the names from there.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::client::PyClient;
    #[pymodule_export]
    use super::dispatcher::NoReply;
    #[pymodule_export]
    use super::server::PyServer;
    use super::{Bound, PyAnyMethods, PyModule, PyModuleMethods, PyResult, options};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("DEFAULTS", options::defaults(module.py())?)?;
        module.add("NO_REPLY", module.getattr("NoReply")?.call0()?)
    }
}
