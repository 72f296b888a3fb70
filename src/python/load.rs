//! `_core.Load`: a load for a server.

use crate::load::{Load, Plan, Trust};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::time::Duration;

/// Messages, failed clients, why the first has failed, wrong answers, mean and longest latency, the quantiles.
type Found = (u64, usize, Option<String>, u64, f64, f64, Vec<f64>);

/// A load for a WebSocket server that echoes, made by threads of its own from now on.
///
/// It connects to `url`, then keeps messages of `size` bytes in flight for `seconds`. `wss://` needs `ca_pem`, the
/// certificates to trust. OSError if there are no threads or event queues, ValueError for a time or certificates that
/// are none.
#[pyclass(frozen, name = "Load", module = "echoserver._core")]
pub(super) struct PyLoad(Load);

#[pymethods]
impl PyLoad {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    #[pyo3(signature = (url, *, ca_pem, clients, in_flight, size, is_binary, seconds, threads))]
    fn new(
        url: String,
        ca_pem: Option<&[u8]>,
        clients: usize,
        in_flight: usize,
        size: usize,
        is_binary: bool,
        seconds: f64,
        threads: usize,
    ) -> PyResult<Self> {
        let time = Duration::try_from_secs_f64(seconds)
            .map_err(|error| PyValueError::new_err(format!("seconds={seconds}: {error}")))?;
        let trust = ca_pem
            .map(Trust::new)
            .transpose()
            .map_err(PyValueError::new_err)?;
        let plan = Plan {
            url,
            trust,
            clients,
            in_flight,
            size,
            is_binary,
            time,
            threads,
        };
        Ok(Self(Load::start(plan)?))
    }

    /// Clients that have connected so far.
    #[getter]
    fn connected(&self) -> usize {
        self.0.connected()
    }

    /// Answers so far.
    #[getter]
    fn answered(&self) -> u64 {
        self.0.answered()
    }

    /// What has come of it, once it is over; None if that is not within `seconds`.
    ///
    /// Answers within the time, clients that failed, why the first of them did, answers that were not what was sent;
    /// and how long answers took, in seconds: the mean, the longest, and these quantiles.
    fn wait(&self, py: Python<'_>, seconds: f64, quantiles: Vec<f64>) -> Option<Found> {
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let report = py.detach(|| self.0.wait(time))?;
        let latencies = &report.latencies;
        let quantiles = quantiles
            .into_iter()
            .map(|quantile| in_seconds(latencies.value_at_quantile(quantile)));
        Some((
            report.messages,
            report.failed,
            report.failure,
            report.wrong,
            latencies.mean() / 1e9,
            in_seconds(latencies.max()),
            quantiles.collect(),
        ))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "three digits of it are measured"
)]
fn in_seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
