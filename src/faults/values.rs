//! What a fault can be told: parameters with their units and limits, and the values that were given.

use super::shape::Way;
use super::violations::{VIOLATIONS, Violation, violation};
use crate::admission::Decision;
use crate::error::{quoted, shortened};
use crate::protocol::message::Kind;
use crate::protocol::request::is_token;
use crate::protocol::{close, http};
use std::fmt::{self, Display};
use std::time::Duration;

/// Something that a fault can be told.
#[derive(Debug)]
pub struct Parameter {
    /// As it is written everywhere.
    pub name: &'static str,
    /// What it can be.
    pub kind: Type,
    /// As it would be written in a URL; `None`: it has to be given.
    pub default: Option<&'static str>,
}

/// What a parameter can be.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// A time, of so many seconds at most.
    Seconds(u32),
    /// A whole number, of this unit, and its limits.
    Count(&'static str, u64, u64),
    /// A close code that may be sent (RFC 6455 section 7.4).
    Code,
    /// Text for which a close frame has room (section 5.5).
    Reason,
    /// A message of that many bytes at most.
    Message(usize),
    /// One way, or both.
    Direction,
    /// The name of a violation.
    Violation,
    /// A token (RFC 9110 section 5.6.2).
    Token,
    /// The value of a header line (section 5.5).
    Field,
}

/// A value of one of these types, within its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A time.
    Seconds(Duration),
    /// A number.
    Count(u64),
    /// A close code.
    Code(u16),
    /// Text.
    Text(String),
    /// A message.
    Message(Kind, Vec<u8>),
    /// One way; both without one.
    Direction(Option<Way>),
    /// What no server may send.
    Violation(&'static Violation),
}

impl Type {
    /// What values there are, as an error says it behind "must be".
    #[must_use]
    pub fn range(&self) -> String {
        match self {
            Self::Seconds(most) => format!("0 to {most} seconds"),
            Self::Count(unit, least, most) => format!("{least} to {most} {unit}").trim().into(),
            Self::Code => {
                "1000 to 1003, 1007 to 1014 or 3000 to 4999 (RFC 6455 section 7.4)".into()
            }
            Self::Reason => format!(
                "at most {} bytes in UTF-8 (RFC 6455 section 5.5)",
                close::MAX_REASON
            ),
            Self::Message(most) => format!("text or bytes, {most} bytes at most"),
            Self::Direction => "'in', 'out' or 'both'".into(),
            Self::Violation => {
                let names: Vec<_> = VIOLATIONS.iter().map(|one| quoted(one.name)).collect();
                format!("the name of a violation: {}", names.join(", "))
            }
            Self::Token => "a token (RFC 9110 section 5.6.2)".into(),
            Self::Field => "the value of a header line, without control characters, space at its ends, or what is beyond \
                            Latin-1 (RFC 9110 section 5.5)"
                .into(),
        }
    }

    /// The value, if it is one of these.
    #[must_use]
    pub fn accept(&self, value: Value) -> Option<Value> {
        let is_good = match (self, &value) {
            (Self::Seconds(most), Value::Seconds(seconds)) => {
                *seconds <= Duration::from_secs((*most).into())
            }
            (Self::Count(_, least, most), Value::Count(count)) => (least..=most).contains(&count),
            (Self::Code, Value::Code(code)) => close::is_valid(*code),
            (Self::Reason, Value::Text(text)) => text.len() <= close::MAX_REASON,
            (Self::Token, Value::Text(text)) => is_token(text.as_bytes()),
            (Self::Field, Value::Text(text)) => http::check_value(text).is_ok(),
            (Self::Message(most), Value::Message(_, payload)) => payload.len() <= *most,
            (Self::Direction, Value::Direction(_)) | (Self::Violation, Value::Violation(_)) => true,
            _ => false,
        };
        is_good.then_some(value)
    }

    /// The value that is written so.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<Value> {
        let value = match self {
            Self::Seconds(_) => Value::Seconds(seconds(text)?),
            Self::Count(unit, ..) if unit.starts_with("bytes") => Value::Count(count(text)?),
            Self::Count(..) => Value::Count(whole(text)?),
            // Four digits, as each of them has.
            Self::Code if text.len() == 4 => Value::Code(whole(text)?.try_into().ok()?),
            Self::Code => return None,
            Self::Reason | Self::Token | Self::Field => Value::Text(text.to_owned()),
            Self::Message(_) => Value::Message(Kind::Text, text.as_bytes().to_vec()),
            Self::Direction => Value::Direction(match text {
                "in" => Some(Way::In),
                "out" => Some(Way::Out),
                "both" => None,
                _ => return None,
            }),
            Self::Violation => Value::Violation(violation(text)?),
        };
        self.accept(value)
    }
}

/// A time as it is written: `2`, `0.5s`, `200ms`, `1min`.
#[must_use]
pub fn seconds(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: f64 = number.parse().ok()?;
    let unit = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "min" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

/// A whole number as it is written, without a unit.
#[must_use]
pub fn whole(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// A number as it is written, also with a unit of bytes: `5`, `64KiB`, `100kB`.
#[must_use]
pub fn count(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = match &*unit.to_ascii_lowercase() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The values of all parameters of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    parameters: Vec<(&'static str, Value)>,
    answer: Option<Decision>,
}

impl Values {
    /// Those of `parameters`, in their order.
    #[must_use]
    pub fn new(parameters: &'static [Parameter], values: Vec<Value>) -> Self {
        debug_assert_eq!(parameters.len(), values.len());
        let names = parameters.iter().map(|parameter| parameter.name);
        Self {
            parameters: names.zip(values).collect(),
            answer: None,
        }
    }

    /// Of a fault that acts on requests: what they get, whatever text could say of it.
    #[must_use]
    pub const fn answering(answer: Decision) -> Self {
        Self {
            parameters: Vec::new(),
            answer: Some(answer),
        }
    }

    pub(super) const fn answer(&self) -> Option<&Decision> {
        self.answer.as_ref()
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|(other, _)| *other == name);
        debug_assert!(found.is_some(), "no parameter {name}");
        found.map(|(_, value)| value)
    }

    /// The time of that name.
    #[must_use]
    pub fn seconds(&self, name: &str) -> Duration {
        match self.get(name) {
            Some(Value::Seconds(seconds)) => *seconds,
            _ => Duration::ZERO,
        }
    }

    /// The number of that name.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        match self.get(name) {
            Some(Value::Count(count)) => *count,
            _ => 0,
        }
    }

    /// The same, as a size in memory.
    #[must_use]
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.count(name)).unwrap_or(usize::MAX)
    }

    /// The close code of that name.
    #[must_use]
    pub fn code(&self, name: &str) -> u16 {
        match self.get(name) {
            Some(Value::Code(code)) => *code,
            _ => close::NORMAL,
        }
    }

    /// The text of that name.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        match self.get(name) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }

    /// The message of that name.
    #[must_use]
    pub fn message(&self, name: &str) -> Option<(Kind, Vec<u8>)> {
        match self.get(name) {
            Some(Value::Message(kind, payload)) => Some((*kind, payload.clone())),
            _ => None,
        }
    }

    /// What no server may send, by the parameter of that name.
    #[must_use]
    pub fn violation(&self, name: &str) -> Vec<u8> {
        match self.get(name) {
            Some(Value::Violation(violation)) => violation.data(),
            _ => Vec::new(),
        }
    }

    /// Whether what moves that way is meant; everything is, without a parameter that says so.
    #[must_use]
    pub fn includes(&self, way: Way) -> bool {
        self.parameters.iter().all(|(_, value)| match value {
            Value::Direction(only) => only.is_none_or(|only| only == way),
            _ => true,
        })
    }
}

/// Why a fault can't be so.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// As whoever asked for it calls the fault.
    pub fault: String,
    /// The parameter or selector; empty if it is about none.
    pub name: String,
    /// As it was written; empty if it was not.
    pub value: String,
    /// What would be right.
    pub reason: String,
}

impl Wrong {
    /// What was given for a parameter or selector.
    #[must_use]
    pub fn of(fault: &str, name: &str, value: &str, reason: String) -> Self {
        Self {
            fault: fault.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            reason,
        }
    }

    /// A text that was given for a parameter.
    #[must_use]
    pub fn text(fault: &str, parameter: &Parameter, text: &str) -> Self {
        let reason = format!("must be {}", parameter.kind.range());
        Self::of(fault, parameter.name, &quoted(text), reason)
    }

    /// A text that was given for nothing that there is.
    pub(super) fn value(fault: &str, value: &str, reason: String) -> Self {
        Self::of(fault, "", value, reason)
    }

    /// The fault itself.
    pub(super) fn fault(fault: &str, reason: String) -> Self {
        Self::of(fault, "", "", reason)
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fault,
            name,
            value,
            reason,
        } = self;
        let (fault, value) = (shortened(fault), shortened(value));
        let separator = if name.is_empty() || value.is_empty() {
            ""
        } else {
            "="
        };
        let about = format!("{}{separator}{value}", shortened(name));
        let colon = if about.is_empty() { "" } else { ": " };
        write!(f, "{fault}: {about}{colon}{reason}")
    }
}

#[cfg(test)]
mod tests;
