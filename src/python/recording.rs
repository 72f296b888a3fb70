//! `_core.Record`: what clients did, as Python reads it. Waiting for more of it is Python's, in `echoserver.reading`.

use super::argument::seconds;
use super::catching_up::catch_up;
use super::crossing;
use super::handshake::PyRequest;
use super::head::since_epoch;
use super::link::Link;
use super::values::to_python;
use super::waiting;
use crate::client::Client;
use crate::protocol::message::Kind;
use crate::record::{Entry, Missing, Record, What, messages};
use crate::server::Server;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::sync::Arc;

/// What `story` returns.
type Story<'py> = (Bound<'py, PyList>, usize, Bound<'py, PyList>, bool);

/// What the clients of a server did. Nothing in it waits but `wait`.
///
/// What may be missing, because there was no room for it, is a RuntimeError.
#[pyclass(frozen, name = "Record", module = "echoserver._core")]
pub(super) struct PyRecord {
    /// As the workers have it: for a look at what callbacks have answered there is `record`.
    kept: Arc<Record>,
    link: Arc<Link>,
}

impl PyRecord {
    /// That of this server.
    ///
    /// # Errors
    /// `RuntimeError` if nothing is recorded.
    pub(super) fn of(link: &Arc<Link>) -> PyResult<Self> {
        match link.record.get() {
            Some(record) => Ok(Self {
                kept: record.clone(),
                link: link.clone(),
            }),
            None => Err(PyRuntimeError::new_err(
                "what clients do is not recorded: use echoserver.testing.EchoTestServer, \
                or EchoServer(..., record=16 * 2**20) for so many bytes of it",
            )),
        }
    }

    /// It, with all that callbacks have answered.
    ///
    /// # Errors
    /// As `catch_up`.
    fn record(&self, py: Python<'_>) -> PyResult<&Record> {
        catch_up(py, &self.link)?;
        Ok(&self.kept)
    }

    /// Has the workers forget it.
    ///
    /// # Errors
    /// As `catch_up`.
    pub(super) fn clear(&self, py: Python<'_>, core: &Server) -> PyResult<()> {
        // What is behind would be recorded after that.
        self.record(py)?;
        py.detach(|| core.clear_record());
        Ok(())
    }

    /// The next client that was not taken yet; with `path` the next of those that asked for it.
    pub(super) fn take_client(
        &self,
        py: Python<'_>,
        path: Option<&str>,
    ) -> PyResult<Option<Arc<Client>>> {
        let taken = self.record(py)?.take_client(path);
        taken.map_err(|Missing| self.missing())
    }

    /// All clients that there ever were.
    pub(super) fn clients(&self, py: Python<'_>) -> PyResult<Vec<Arc<Client>>> {
        let clients = self.record(py)?.clients();
        clients.map_err(|Missing| self.missing())
    }

    /// The next message of a client that was not taken yet, and whether the client is gone.
    pub(super) fn take_message<'py>(
        &self,
        py: Python<'py>,
        client: &Client,
    ) -> PyResult<(Option<Bound<'py, PyAny>>, bool)> {
        let taken = self.record(py)?.take_message(client);
        let (message, has_ended) = taken.map_err(|Missing| self.missing())?;
        let message = message.map(|(kind, payload)| to_python(py, kind, &payload));
        Ok((message.transpose()?, has_ended))
    }

    /// The payload of the next pong of a client that was not taken yet, and whether the client is gone.
    pub(super) fn take_pong<'py>(
        &self,
        py: Python<'py>,
        client: &Client,
    ) -> PyResult<(Option<Bound<'py, PyBytes>>, bool)> {
        let taken = self.record(py)?.take_pong(client);
        let (pong, has_ended) = taken.map_err(|Missing| self.missing())?;
        Ok((pong.map(|payload| PyBytes::new(py, &payload)), has_ended))
    }

    /// The messages since the beginning or `clear`, in the order in which they came, of all clients or of one.
    pub(super) fn listed<'py>(
        &self,
        py: Python<'py>,
        client: Option<u64>,
        most: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let record = self.record(py)?;
        let rows = py.detach(|| record.rows(client));
        let rows = rows.map_err(|Missing| self.missing())?;
        let all = rows.iter().flat_map(|row| messages(row));
        to_list(py, all.take(most))
    }

    /// What is raised where something may be missing.
    fn missing(&self) -> PyErr {
        let bound = self.kept.bound();
        PyRuntimeError::new_err(format!(
            "more came than record={bound} bytes (or memory_limit) have room for, and the rest was not recorded: \
            clear() makes room, a larger record= has more of it"
        ))
    }
}

#[pymethods]
impl PyRecord {
    /// Goes up with everything that happens.
    #[getter]
    fn count(&self) -> PyResult<u64> {
        self.link.check_process()?;
        Ok(self.kept.news.count())
    }

    /// Whether the server has ended, so that nothing is recorded any more.
    #[getter]
    fn is_over(&self) -> bool {
        self.kept.is_over()
    }

    /// Whether its callbacks have ended as well, so that nothing happens any more.
    #[getter]
    fn has_ended(&self) -> PyResult<bool> {
        self.link.check_process()?;
        Ok(self.link.has_ended())
    }

    /// Waits until `count` is not `since` any more, at most `timeout` seconds.
    #[pyo3(signature = (since, timeout))]
    fn wait(&self, py: Python<'_>, since: u64, timeout: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        self.link.check_process()?;
        let timeout = seconds("timeout", timeout)?;
        waiting::wait(py, timeout, |until| self.kept.news.wait(since, Some(until))).map(drop)
    }

    /// A future of the running loop for that.
    fn news<'py>(&self, py: Python<'py>, since: u64) -> PyResult<Bound<'py, PyAny>> {
        self.link.check_process()?;
        let mut heard = self.kept.news.heard(since);
        crossing::future(py, self.link.clone(), move |cx| heard.poll(cx))
    }

    /// The first `most` messages of all clients since the beginning or `clear`, in the order in which they came.
    #[pyo3(signature = (most=None))]
    fn messages<'py>(&self, py: Python<'py>, most: Option<usize>) -> PyResult<Bound<'py, PyList>> {
        self.listed(py, None, most.unwrap_or(usize::MAX))
    }

    /// How many were recorded, of all clients or of one, the last `most` of them, and whether more came.
    #[pyo3(signature = (most, client=None))]
    fn latest<'py>(
        &self,
        py: Python<'py>,
        most: usize,
        client: Option<u64>,
    ) -> PyResult<(usize, Bound<'py, PyList>, bool)> {
        let record = self.record(py)?;
        let latest = py.detach(|| record.latest(client, most));
        let all: Vec<_> = latest.rows.iter().flat_map(|row| messages(row)).collect();
        let last = all[all.len().saturating_sub(most)..].iter().copied();
        Ok((latest.count, to_list(py, last)?, latest.is_cut))
    }

    /// How many these are.
    fn message_count(&self, py: Python<'_>) -> PyResult<usize> {
        let count = self.record(py)?.message_count();
        count.map_err(|Missing| self.missing())
    }

    /// The requests since the beginning or `clear`.
    fn requests<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let record = self.record(py)?;
        let requests = py.detach(|| record.requests());
        let requests = requests.map_err(|Missing| self.missing())?;
        let objects = requests
            .iter()
            .map(|request| Py::new(py, PyRequest::new(request, &self.link)));
        PyList::new(py, objects.collect::<PyResult<Vec<_>>>()?)
    }

    /// What has happened since the beginning or `clear`, in `most` lines: time, what, whose, and what it had.
    ///
    /// The first of them, how many are left out, the last, and whether more came that was not recorded.
    fn story<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Story<'py>> {
        let record = self.record(py)?;
        let story = py.detach(|| record.story(most));
        let first = self.lines(py, story.first)?;
        let last = self.lines(py, story.last)?;
        Ok((first, story.left_out, last, story.is_cut))
    }
}

impl PyRecord {
    /// The lines of a story.
    fn lines<'py>(&self, py: Python<'py>, entries: Vec<Entry>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for entry in entries {
            let time = since_epoch(entry.time);
            let add = |what: &str, id: Option<u64>, detail: Bound<'py, PyAny>| {
                list.append((time, what, id, detail))
            };
            match entry.what {
                What::Request(request) => {
                    let request = Bound::new(py, PyRequest::new(&request, &self.link))?;
                    add("request", None, request.into_any())?;
                }
                What::Opened(client) => {
                    add("opened", Some(client.id), py.None().into_bound(py))?;
                }
                What::Messages(client, frames) => {
                    for (kind, payload) in messages(&frames) {
                        add("message", Some(client.id), to_python(py, kind, payload)?)?;
                    }
                }
                What::Pong(client, payload) => {
                    let payload = PyBytes::new(py, &payload);
                    add("pong", Some(client.id), payload.into_any())?;
                }
                What::Ended(client) => {
                    let ended = client.ended().cloned().into_pyobject(py)?;
                    add("ended", Some(client.id), ended)?;
                }
            }
        }
        Ok(list)
    }
}

/// Messages as Python has them.
fn to_list<'py, 'a>(
    py: Python<'py>,
    messages: impl Iterator<Item = (Kind, &'a [u8])>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (kind, payload) in messages {
        list.append(to_python(py, kind, payload)?)?;
    }
    Ok(list)
}
