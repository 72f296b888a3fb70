//! Faults as Python sets them: the table, what is checked when one is made, and one that is set.

use super::argument::Argument;
use super::catching_up::catch_up;
use super::client::PyClient;
use super::errors::{shown, type_name};
use super::handshake;
use super::link::Link;
use super::shared::Shared;
use super::values::payload;
use super::waiting;
use crate::admission::Decision;
use crate::faults::fault::Fault;
use crate::faults::selector::{self, After, Selector};
use crate::faults::table::{Row, TABLE};
use crate::faults::values::{Parameter, Type, Value, Values, Wrong};
use crate::faults::violations::VIOLATIONS;
use crate::server::Server;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use std::sync::Arc;
use std::time::Duration;

/// The table, for whatever is made from it.
pub(super) fn table(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    let rows = TABLE.iter().map(|row| {
        let made = PyDict::new(py);
        made.set_item("name", row.name)?;
        made.set_item("class", row.class)?;
        made.set_item("summary", row.summary)?;
        let parameters = PyList::empty(py);
        for parameter in row.parameters {
            parameters.append(described(py, parameter)?)?;
        }
        made.set_item("parameters", parameters)?;
        let opportunity = row.action.opportunity();
        made.set_item("opportunity", opportunity.name())?;
        let selectors: Vec<_> = opportunity.selectors().collect();
        made.set_item("selectors", selectors)?;
        made.set_item("wire", row.wire)?;
        made.set_item("strict", row.strict)?;
        made.set_item("section", row.section)?;
        Ok(made)
    });
    PyTuple::new(py, rows.collect::<PyResult<Vec<_>>>()?)
}

fn described<'py>(py: Python<'py>, parameter: &Parameter) -> PyResult<Bound<'py, PyDict>> {
    let described = PyDict::new(py);
    described.set_item("name", parameter.name)?;
    let kind = match parameter.kind {
        Type::Seconds(_) => "float",
        Type::Count(..) | Type::Code => "int",
        Type::Reason | Type::Violation | Type::Token | Type::Field => "str",
        Type::Message(_) => "str | bytes",
        Type::Direction => "Literal['in', 'out', 'both']",
    };
    described.set_item("type", kind)?;
    described.set_item("range", parameter.kind.range())?;
    let default = parameter
        .default
        .and_then(|text| parameter.kind.parse(text));
    match default {
        None => {}
        Some(Value::Seconds(seconds)) => {
            described.set_item("default", seconds.as_secs_f64())?;
        }
        Some(Value::Count(count)) => described.set_item("default", count)?,
        Some(Value::Code(code)) => described.set_item("default", code)?,
        Some(_) => described.set_item("default", parameter.default)?,
    }
    Ok(described)
}

/// Checks what a fault was told.
///
/// TypeError or ValueError that name fault, parameter, value and what there is.
#[pyfunction]
pub(super) fn check_fault(kind: &Bound<'_, PyAny>) -> PyResult<()> {
    read(kind).map(drop)
}

/// What no server may send, by name: the bytes, the rule, the close code, and whether it needs compression.
#[pyfunction]
pub(super) fn violations(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    for violation in VIOLATIONS {
        let data = PyBytes::new(py, &violation.data());
        let facts = (
            data,
            violation.section,
            violation.code,
            violation.compression,
        );
        all.set_item(violation.name, facts)?;
    }
    Ok(all)
}

/// What a request gets by a fault, or by `Reset`.
pub(super) fn answer(fault: &Bound<'_, PyAny>) -> PyResult<Decision> {
    let (row, values) = read(fault)?;
    let answer = row.action.answer(&values);
    Ok(answer.unwrap_or(Decision::Reset))
}

/// The row of its class, and the values of its parameters.
fn read(fault: &Bound<'_, PyAny>) -> PyResult<(&'static Row, Values)> {
    let kind = &type_name(fault);
    // Those of a test may be of classes of its own.
    let classes = fault.get_type().mro();
    let mut classes = classes
        .iter()
        .filter_map(|class| class.cast_into::<PyType>().ok()?.name().ok());
    let row = classes.find_map(|class| TABLE.iter().find(|row| class == row.class));
    let row = row.ok_or_else(|| {
        let classes: Vec<_> = TABLE.iter().map(|row| row.class).collect();
        PyTypeError::new_err(format!(
            "{kind} is no fault: there are {}",
            classes.join(", ")
        ))
    })?;
    if handshake::is_answer(fault) {
        let answer = handshake::decision(|| kind.clone(), fault)?;
        return Ok((row, Values::answering(answer)));
    }
    let read = row.parameters.iter().map(|parameter| {
        let name = parameter.name;
        // Interned: the interpreter remembers where it has found each name, and each new object is another name.
        let value = fault.getattr(PyString::intern(fault.py(), name))?;
        let range = parameter.kind.range();
        let found = match found(parameter.kind, &value)? {
            Found::OtherType => {
                let reason = format!("must be {range}, not {}", type_name(&value));
                let message = wrong(kind, name, &value, reason);
                return Err(PyTypeError::new_err(message));
            }
            Found::None => None,
            Found::Value(value) => parameter.kind.accept(value),
        };
        found.ok_or_else(|| {
            let reason = format!("must be {range}");
            PyValueError::new_err(wrong(kind, name, &value, reason))
        })
    });
    let read = read.collect::<PyResult<Vec<_>>>()?;
    let values = Values::new(row.parameters, read);
    let answer = row.action.answer(&values);
    if let Some(Decision::Delay(time, None)) = answer
        && let then = fault.getattr(intern!(fault.py(), "then"))?
        && !then.is_none()
    {
        let then = self::answer(&then)?;
        let late = Decision::Delay(time, Some(Box::new(then)));
        return Ok((row, Values::answering(late)));
    }
    Ok((row, values))
}

fn wrong(fault: &str, name: &str, value: &Bound<'_, PyAny>, reason: String) -> String {
    Wrong::of(fault, name, &shown(value), reason).to_string()
}

/// What a Python object is, where a value of some type is wanted.
enum Found {
    Value(Value),
    /// None of its values, but of the right type.
    None,
    OtherType,
}

impl Found {
    fn of<T>(value: Option<T>, made: impl FnOnce(T) -> Value) -> Self {
        value.map_or(Self::None, |value| Self::Value(made(value)))
    }
}

fn found(kind: Type, value: &Bound<'_, PyAny>) -> PyResult<Found> {
    let is_int = value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>();
    let text = value.cast::<PyString>().ok();
    Ok(match kind {
        Type::Seconds(_) if is_int || value.is_instance_of::<PyFloat>() => {
            let seconds = value.extract::<f64>().ok();
            let seconds = seconds.and_then(|one| Duration::try_from_secs_f64(one).ok());
            Found::of(seconds, Value::Seconds)
        }
        Type::Count(..) if is_int => Found::of(value.extract().ok(), Value::Count),
        Type::Code if is_int => Found::of(value.extract().ok(), Value::Code),
        Type::Seconds(_) | Type::Count(..) | Type::Code => Found::OtherType,
        Type::Reason | Type::Direction | Type::Violation | Type::Token | Type::Field => text
            .map_or(Found::OtherType, |text| {
                let text = text.to_str().ok();
                Found::of(text.and_then(|text| kind.parse(text)), |value| value)
            }),
        Type::Message(_) => payload(value)?.map_or(Found::OtherType, |payload| {
            let bytes = payload.bytes().ok().map(<[u8]>::to_vec);
            Found::of(bytes, |bytes| Value::Message(payload.kind, bytes))
        }),
    })
}

/// The selectors, from a dictionary that has all of them.
fn selector(kind: &str, shared: &Shared, selectors: &Bound<'_, PyDict>) -> PyResult<Selector> {
    let get = |name| Argument::new(selectors, name);
    let bad = |name: &'static str| {
        let value = selectors.get_item(name).ok().flatten();
        let value = value.unwrap_or_else(|| selectors.py().None().into_bound(selectors.py()));
        wrong(kind, name, &value, selector::range(name).to_owned())
    };
    let client = get("client")?.optional(|client| {
        let client = client.value().cast::<PyClient>().ok().map(Bound::get);
        client
            .filter(|client| client.is_of(&shared.link))
            .map(|client| client.client.id)
            .ok_or_else(|| PyValueError::new_err(bad("client")))
    })?;
    let is_number = |value: &Bound<'_, PyAny>| {
        let is_one = value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>();
        is_one && !value.is_instance_of::<PyBool>()
    };
    let count = |name: &'static str, least: u64| {
        let value = get(name)?;
        if !value.value().is_instance_of::<PyInt>() || !is_number(value.value()) {
            return Err(PyTypeError::new_err(bad(name)));
        }
        let number: Option<u64> = value.value().extract().ok();
        number
            .filter(|number| *number >= least)
            .ok_or_else(|| PyValueError::new_err(bad(name)))
    };
    let after = match get("after")?.value().cast::<PyString>() {
        Ok(text) => {
            let time = text.to_str().ok().and_then(After::time);
            time.ok_or_else(|| PyValueError::new_err(bad("after")))?
        }
        Err(_) => After::Count(count("after", 0)?),
    };
    let probability = get("probability")?;
    let probability = probability.value();
    if !is_number(probability) {
        return Err(PyTypeError::new_err(bad("probability")));
    }
    let probability = probability.extract::<f64>().ok();
    let probability = probability
        .and_then(selector::probability)
        .ok_or_else(|| PyValueError::new_err(bad("probability")))?;
    let path = get("path")?.optional(Argument::text)?;
    let path =
        path.map(|path| selector::path(path).ok_or_else(|| PyValueError::new_err(bad("path"))));
    Ok(Selector {
        path: path.transpose()?,
        client,
        after,
        every: count("every", 1)?,
        probability,
        times: get("times")?.optional(|_| count("times", 1))?,
    })
}

/// A fault that is set, by `EchoServer.fault()`. It ends with `stop()`, with its `with`, or with the server.
#[pyclass(frozen, name = "Fault", module = "echoserver._core")]
pub(super) struct PyFault {
    fault: Arc<Fault>,
    core: Arc<Server>,
    link: Arc<Link>,
    kind: Py<PyAny>,
}

impl PyFault {
    /// Those that the server was made with.
    pub(super) fn given(py: Python<'_>, shared: &Shared) -> Vec<Self> {
        let texts = &shared.core.config().faults.faults;
        let faults = shared.core.faults().all();
        let given = faults.into_iter().zip(texts).map(|(fault, asked)| Self {
            fault,
            core: shared.core.clone(),
            link: shared.link.clone(),
            kind: PyString::new(py, &asked.text).into_any().unbind(),
        });
        given.collect()
    }

    /// Sets one; every connection knows it then.
    pub(super) fn set(
        shared: &Arc<Shared>,
        kind: &Bound<'_, PyAny>,
        selectors: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let py = kind.py();
        let class = type_name(kind);
        let (row, values) = read(kind)?;
        let selector = selector(&class, shared, selectors)?;
        if let Some((name, reason)) = selector.misfit(row.action.opportunity()) {
            let value = selectors.get_item(name)?;
            let value = value.unwrap_or_else(|| py.None().into_bound(py));
            let message = wrong(&class, name, &value, reason.to_owned());
            return Err(PyValueError::new_err(message));
        }
        // What is answered already is none of its business.
        let (fault, told) = py.detach(|| {
            shared.link.post_finished();
            shared.core.set_fault(row, values, selector)
        });
        let set = Self {
            fault,
            core: shared.core.clone(),
            link: shared.link.clone(),
            kind: kind.clone().unbind(),
        };
        if let Err(error) = waiting::wait(py, None, |until| told.wait(until).is_some()) {
            // Nobody will have it. That is told as soon as may be, and not waited for.
            drop(py.detach(|| shared.core.end_fault(&set.fault)));
            return Err(error);
        }
        Ok(set)
    }
}

#[pymethods]
impl PyFault {
    /// What it is, as it was given.
    #[getter]
    fn kind(&self, py: Python<'_>) -> Py<PyAny> {
        self.kind.clone_ref(py)
    }

    /// How often it has acted; of what acts on bytes, on how many connections.
    #[getter]
    fn hits(&self, py: Python<'_>) -> PyResult<u64> {
        // A child has those of its parent, which nobody adds to.
        if !self.link.is_forked() {
            catch_up(py, &self.link)?;
        }
        Ok(self.fault.hits())
    }

    /// Whether it always acts when it can.
    #[getter(_is_sure)]
    fn is_sure(&self) -> bool {
        self.fault.selector.probability >= 1.0
    }

    /// Ends it, and returns when every connection knows that; what it holds up goes on at once.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.link.check_process()?;
        let told = py.detach(|| {
            self.link.post_finished();
            self.core.end_fault(&self.fault)
        });
        waiting::wait(py, None, |until| told.wait(until).is_some())?;
        self.fault.end();
        Ok(())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Ends it. In a forked child it does nothing: the fault is its parent's.
    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.link.is_forked() {
            return Ok(());
        }
        self.stop(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let hits = self.hits(py)?;
        let state = if self.fault.is_over() { ", over" } else { "" };
        Ok(format!(
            "<Fault {}: {hits} hits{state}>",
            shown(self.kind.bind(py))
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.kind)
    }
}
