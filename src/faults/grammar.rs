//! How faults are written, in a URL, on the command line and in `EchoServer(faults=...)`:
//! `latency=200ms&close=1011,after:5&seed=7`.
//!
//! One parameter is one fault: its name, its first parameter, and then others and selectors as `key:value`. It is split
//! first and percent-decoded then, so a value may have each of the characters that split it.

use super::plan::{Asked, MOST, Plan};
use super::selector::{self, Selector};
use super::table::{self, Row, TABLE};
use super::values::{Values, Wrong, whole};
use crate::error::quoted;
use std::str;

/// Where faults are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By whoever runs the server, for all clients.
    Server,
    /// By anybody, for the connection that asks for this URL; this is its query.
    Url,
}

impl Place {
    /// What can be asked for beside faults.
    const fn others(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["seed"],
            Self::Url => &["seed", "info"],
        }
    }
}

/// What `text` asks for.
///
/// ```
/// use echoserver::config::Config;
/// use echoserver::faults::grammar::{Place, parse};
///
/// let faults = parse("latency=200ms&close=1011,after:5&seed=7", Place::Server)?;
/// assert_eq!(faults.faults[1].row.name, "close");
/// assert_eq!(faults.seed, Some(7));
/// let config = Config { faults, ..Config::default() };
/// assert!(config.check().is_ok());
///
/// let wrong = parse("latency=soon", Place::Server).unwrap_err();
/// assert_eq!((&*wrong.fault, &*wrong.value), ("latency", "'soon'"));
/// # Ok::<(), echoserver::faults::values::Wrong>(())
/// ```
///
/// # Errors
/// [`Wrong`] says what of it can't be so, and what could.
pub fn parse(text: &str, place: Place) -> Result<Plan, Wrong> {
    let mut plan = Plan::default();
    for parameter in text.split('&').filter(|parameter| !parameter.is_empty()) {
        let end = parameter.find(['=', ',']).unwrap_or(parameter.len());
        let (name, rest) = parameter.split_at(end);
        let name = decoded(name).map_err(|reason| Wrong::fault(&quoted(name), reason.into()))?;
        if place.others().contains(&&*name) {
            plan.read(&name, &Parts::read(&name, rest)?)?;
        } else if let Some(row) = table::row(&name) {
            let parts = Parts::read(row.name, rest)?;
            plan.faults.push(Asked {
                text: parameter.to_owned(),
                ..fault(row, parts, place)?
            });
        } else {
            return Err(no_such_fault(&name, place));
        }
        if place == Place::Url && plan.faults.len() > MOST {
            // Too many, whatever follows.
            break;
        }
    }
    if place == Place::Url {
        // Before they are looked at in pairs, which takes long for what is too much.
        plan.limit()?;
    }
    plan.check()?;
    Ok(plan)
}

fn no_such_fault(name: &str, place: Place) -> Wrong {
    let names = TABLE.iter().map(|row| row.name);
    let names: Vec<_> = names.chain(place.others().iter().copied()).collect();
    let reason = format!("there is no such fault; there are {}", names.join(", "));
    Wrong::fault(&quoted(name), reason)
}

impl Plan {
    /// Takes what is no fault.
    fn read(&mut self, name: &str, parts: &Parts) -> Result<(), Wrong> {
        let value = parts.main.as_deref();
        let wrong = |value: Option<&str>, reason: &str| {
            let value = value.map_or(String::new(), quoted);
            Err(Wrong::value(name, &value, reason.into()))
        };
        if let Some((key, _)) = parts.keys.first() {
            return wrong(Some(key), "takes no keys");
        }
        if name == "info" {
            self.info = true;
            return value.map_or(Ok(()), |_| wrong(value, "takes no value"));
        }
        match value.and_then(whole) {
            None => wrong(value, "must be 0 to 2**64 - 1"),
            Some(_) if self.seed.is_some() => wrong(value, "is given twice"),
            seed => {
                self.seed = seed;
                Ok(())
            }
        }
    }
}

/// What stands behind a name.
#[derive(Debug)]
struct Parts {
    main: Option<String>,
    keys: Vec<(String, String)>,
}

impl Parts {
    /// `rest` is empty, or begins with what split it from the name.
    fn read(fault: &str, rest: &str) -> Result<Self, Wrong> {
        let mut parts = rest.split(',');
        // What stands behind the equals sign, if there is one.
        let first = parts.next().unwrap_or_default();
        let first = first.strip_prefix('=').unwrap_or(first);
        let (mut main, mut keys) = (None, Vec::new());
        let decode = |text: &str| {
            let wrong = |reason: &str| Wrong::value(fault, &quoted(text), reason.into());
            decoded(text).map_err(wrong)
        };
        for (index, part) in [first].into_iter().chain(parts).enumerate() {
            match part.split_once(':') {
                Some((key, value)) => {
                    keys.push((decode(key)?, decode(value)?));
                }
                None if part.is_empty() => {}
                None if index == 0 => main = Some(decode(part)?),
                None => {
                    let reason = "behind the first comma there are only parts such as after:5";
                    return Err(Wrong::value(fault, &quoted(part), reason.into()));
                }
            }
        }
        Ok(Self { main, keys })
    }
}

fn fault(row: &'static Row, parts: Parts, place: Place) -> Result<Asked, Wrong> {
    let name = row.name;
    let mut values = vec![None; row.parameters.len()];
    let mut selector = Selector::default();
    let mut selectors = Vec::new();
    let main = match (parts.main, row.parameters.first()) {
        (None, _) => None,
        (Some(main), Some(parameter)) => Some((parameter.name.to_owned(), main)),
        (Some(main), None) => {
            let reason = "it takes no value, only keys".into();
            return Err(Wrong::value(name, &quoted(&main), reason));
        }
    };
    for (key, text) in main.into_iter().chain(parts.keys) {
        let wrong = |reason: &str| Err(Wrong::of(name, &key, &quoted(&text), reason.into()));
        let parameter = row.parameters.iter().position(|one| one.name == key);
        if let Some(index) = parameter {
            let parameter = &row.parameters[index];
            if place == Place::Url && text.contains(['\r', '\n']) {
                return wrong("by URL a value can have no CR or LF");
            }
            let value = parameter.kind.parse(&text);
            let value = value.ok_or_else(|| Wrong::text(name, parameter, &text))?;
            if values[index].replace(value).is_some() {
                return wrong("is given twice");
            }
            continue;
        }
        read_selector(row, &mut selector, &key, &text, place)?;
        if selectors.contains(&key) {
            return wrong("is given twice");
        }
        selectors.push(key);
    }
    let values = row.parameters.iter().zip(values).map(|(parameter, value)| {
        let default = || parameter.kind.parse(parameter.default?);
        value.or_else(default).ok_or_else(|| {
            let reason = format!("is missing: {}", parameter.kind.range());
            Wrong::of(name, parameter.name, "", reason)
        })
    });
    Ok(Asked {
        text: String::new(),
        row,
        values: Values::new(row.parameters, values.collect::<Result<_, _>>()?),
        selector,
    })
}

/// Whether a fault that is written there can have the selector of that name at all.
fn is_selector(name: &str, place: Place) -> bool {
    match name {
        "after" | "every" | "probability" | "times" => true,
        "path" => place == Place::Server,
        // Nobody can write down a client.
        _ => false,
    }
}

fn read_selector(
    row: &Row,
    selector: &mut Selector,
    key: &str,
    text: &str,
    place: Place,
) -> Result<(), Wrong> {
    let opportunity = row.action.opportunity();
    let wrong = |reason: String| Err(Wrong::of(row.name, key, &quoted(text), reason));
    if !is_selector(key, place) {
        let selectors = opportunity.selectors();
        let selectors = selectors.filter(|name| is_selector(name, place));
        let names = row.parameters.iter().map(|one| one.name).chain(selectors);
        let names: Vec<_> = names.collect();
        let reason = match &*names {
            [] => "it takes neither a value nor keys".into(),
            names => format!("there is no such key; there are {}", names.join(", ")),
        };
        return Err(Wrong::value(row.name, &quoted(key), reason));
    }
    let is_time = key == "after" && whole(text).is_none();
    if let Some(objection) = opportunity.objection(key, is_time) {
        return wrong(objection.into());
    }
    match selector.read(key, text) {
        Some(()) => Ok(()),
        None => wrong(selector::range(key).into()),
    }
}

/// Text as it is meant; why it is none, otherwise.
fn decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.split_at_checked(2);
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let byte = digits.and_then(|(digits, behind)| {
            rest = behind;
            u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
        });
        bytes.push(byte.ok_or("a % is followed by two hexadecimal digits")?);
    }
    String::from_utf8(bytes).map_err(|_no_text| "is not UTF-8, decoded")
}

#[cfg(test)]
mod tests;
