//! Keyword arguments to [`Config`]. Types are checked here, values in `Config::check`; every error names the argument
//! and its value.

use super::adopting;
use super::argument::Argument;
use super::clock;
use super::tls;
use crate::config::Config;
use crate::protocol::extensions::Deflate;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::time::Duration;

/// The options of a server, from a dictionary that has all of them.
pub(super) fn config(options: &Bound<'_, PyDict>) -> PyResult<Config> {
    let get = |name: &'static str| Argument::new(options, name);
    let config = Config {
        port: get("port")?.port()?,
        host: get("host")?.optional(Argument::texts)?.unwrap_or_default(),
        uds: get("uds")?.optional(Argument::path)?,
        uds_mode: get("uds_mode")?.optional(Argument::mode)?,
        sock: get("sock")?
            .optional(adopting::sockets)?
            .unwrap_or_default(),
        backlog: get("backlog")?.optional(Argument::size)?,
        reuse_port: get("reuse_port")?.boolean()?,
        proxy_from: get("proxy_from")?.list(Argument::text)?,
        subprotocols: get("subprotocols")?.list(Argument::text)?,
        origins: get("origins")?
            .optional(|origins| origins.list(|origin| origin.optional(Argument::text)))?,
        compression: get("compression")?.optional(Argument::deflate)?,
        max_message_size: get("max_message_size")?.size()?,
        max_connections: get("max_connections")?.optional(Argument::size)?,
        memory_limit: get("memory_limit")?.size()?,
        max_send_queue: get("max_send_queue")?.size()?,
        open_timeout: get("open_timeout")?.timeout()?,
        close_timeout: get("close_timeout")?.seconds()?,
        drain_delay: get("drain_delay")?.seconds()?,
        drain_spread: get("drain_spread")?.seconds()?,
        idle_timeout: get("idle_timeout")?.optional(Argument::timeout)?,
        ping_interval: get("ping_interval")?.optional(Argument::timeout)?,
        ping_timeout: get("ping_timeout")?.timeout()?,
        clock: get("clock")?.optional(|clock| clock::option(&clock))?,
        record: get("record")?.optional(Argument::size)?,
        faults: get("faults")?.faults()?,
        fault_urls: get("fault_urls")?.boolean()?,
        page: get("page")?.boolean()?,
        health: get("health")?.boolean()?,
        metrics: get("metrics")?.boolean()?,
        seed: get("seed")?.optional(Argument::seed)?,
        workers: get("workers")?.optional(Argument::size)?,
        server_header: get("server_header")?.text()?,
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
    // No list is of all interfaces.
    defaults.set_item("host", py.None())?;
    defaults.set_item("uds", config.uds)?;
    defaults.set_item("uds_mode", config.uds_mode)?;
    // No socket is that none was given.
    defaults.set_item("sock", py.None())?;
    defaults.set_item("backlog", config.backlog)?;
    defaults.set_item("reuse_port", config.reuse_port)?;
    defaults.set_item(
        "proxy_from",
        pyo3::types::PyTuple::new(py, config.proxy_from)?,
    )?;
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
    defaults.set_item("drain_delay", seconds(config.drain_delay))?;
    defaults.set_item("drain_spread", seconds(config.drain_spread))?;
    defaults.set_item("idle_timeout", config.idle_timeout.map(seconds))?;
    defaults.set_item("ping_interval", config.ping_interval.map(seconds))?;
    defaults.set_item("ping_timeout", seconds(config.ping_timeout))?;
    defaults.set_item("clock", py.None())?;
    defaults.set_item("record", config.record)?;
    defaults.set_item("faults", pyo3::types::PyTuple::empty(py))?;
    defaults.set_item("fault_urls", config.fault_urls)?;
    defaults.set_item("page", config.page)?;
    defaults.set_item("health", config.health)?;
    defaults.set_item("metrics", config.metrics)?;
    defaults.set_item("seed", config.seed)?;
    defaults.set_item("workers", config.workers)?;
    defaults.set_item("server_header", config.server_header)?;
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
