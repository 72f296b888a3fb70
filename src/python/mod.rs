//! The binding: `echoserver._core`. Knows only the public face of the rest of the crate; argument checks, callbacks
//! and exceptions are here, behaviour is not.

mod client;
mod dispatcher;
mod errors;
mod link;
mod options;
mod outgoing;
mod server;

use pyo3::prelude::*;

#[pyfunction]
fn after_fork_in_child() {
    link::count_fork();
}

/// The native half of `echoserver`; import the names from there.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::client::PyClient;
    #[pymodule_export]
    use super::dispatcher::NoReply;
    use super::options;
    #[pymodule_export]
    use super::server::PyServer;
    use pyo3::prelude::*;
    use pyo3::types::IntoPyDict;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("DEFAULTS", options::defaults(module.py())?)?;
        module.add("NO_REPLY", module.getattr("NoReply")?.call0()?)?;
        let os = module.py().import("os")?;
        if os.hasattr("register_at_fork")? {
            let after_in_child = wrap_pyfunction!(super::after_fork_in_child, module)?;
            let hook = [("after_in_child", after_in_child)].into_py_dict(module.py())?;
            os.call_method("register_at_fork", (), Some(&hook))?;
        }
        Ok(())
    }
}
