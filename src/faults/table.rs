//! The table of all faults: names, parameters, what they do, and what is to be seen of it. Whatever else there is of
//! them, in Python, in URLs, in the documents and in the tests, is made from it.

use super::action::{Action, State};
use super::values::{Parameter, Type};
use crate::admission::{Decision, Trick};
use crate::protocol::http::{Fields, Response};
use crate::protocol::sending::Cut;

/// A fault.
#[derive(Debug)]
pub struct Row {
    /// In URLs.
    pub name: &'static str,
    /// In Python.
    pub class: &'static str,
    /// In one sentence.
    pub summary: &'static str,
    /// What it can be told, in the order of Python's arguments.
    pub parameters: &'static [Parameter],
    /// What it does.
    pub action: Action,
    /// What is to be seen of it on the wire.
    pub wire: &'static str,
    /// What a strict client does.
    pub strict: &'static str,
    /// Where the rule is, in RFC 6455.
    pub section: &'static str,
}

const fn required(name: &'static str, kind: Type) -> Parameter {
    Parameter {
        name,
        kind,
        default: None,
    }
}

const fn optional(name: &'static str, kind: Type, default: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        default: Some(default),
    }
}

/// Seconds that something is held up at the most.
const LONGEST: u32 = 60;
/// Seconds that a request waits for its answer at the most.
const LONGEST_DELAY: u32 = 3600;
/// Bytes of a message that a fault brings.
const LARGEST: usize = 1 << 20;

/// All of them.
pub const TABLE: &[Row] = &[
    Row {
        name: "drop",
        class: "Drop",
        summary: "A message is not sent.",
        parameters: &[],
        action: Action::Message(|_, passing| passing.times = 0),
        wire: "nothing",
        strict: "waits for it",
        section: "6.1",
    },
    Row {
        name: "duplicate",
        class: "Duplicate",
        summary: "A message is sent again.",
        parameters: &[optional("copies", Type::Count("copies", 1, 10), "1")],
        action: Action::Message(|values, passing| {
            if passing.times > 0 {
                passing.times += values.size("copies");
            }
        }),
        wire: "its frame, and that many more of them",
        strict: "gets it as often",
        section: "6.1",
    },
    Row {
        name: "replace",
        class: "Replace",
        summary: "Another message is sent instead, text or bytes.",
        parameters: &[required("data", Type::Message(LARGEST))],
        action: Action::Message(|values, passing| passing.instead = values.message("data")),
        wire: "a frame with that payload",
        strict: "gets that",
        section: "6.1",
    },
    Row {
        name: "fragment",
        class: "Fragment",
        summary: "A message is sent in frames of at most `size` bytes each.",
        parameters: &[required("size", Type::Count("bytes", 1, LARGEST as u64))],
        action: Action::Fragment(|values| values.size("size")),
        wire: "a frame without FIN, and continuation frames",
        strict: "gets the whole message",
        section: "5.4",
    },
    Row {
        name: "close",
        class: "Close",
        summary: "Instead of a message a close frame is sent, and nothing after it.",
        parameters: &[
            optional("code", Type::Code, "1000"),
            optional("reason", Type::Reason, ""),
        ],
        action: Action::Close(|values| (values.code("code"), values.text("reason"))),
        wire: "a close frame with that code and reason",
        strict: "answers it, and closes",
        section: "7.1.2",
    },
    Row {
        name: "reset",
        class: "Reset",
        summary: "Instead of a frame TCP is reset.",
        parameters: &[],
        action: Action::Cut(Cut::Reset),
        wire: "RST, behind what was sent before and the client's TCP has taken",
        strict: "reports 1006",
        section: "7.1.5",
    },
    Row {
        name: "half-close",
        class: "HalfClose",
        summary: "Instead of a frame the server's half of TCP ends; it reads on, and throws away.",
        parameters: &[],
        action: Action::Cut(Cut::HalfClose),
        wire: "FIN, with TLS behind a close_notify; the client can still send",
        strict: "reports 1006, and closes",
        section: "7.1.5",
    },
    Row {
        name: "violate",
        class: "Violate",
        summary: "Before a message bytes are sent that no server may send, those of `violations`.",
        parameters: &[required("name", Type::Violation)],
        action: Action::Message(|values, passing| passing.before.extend(values.violation("name"))),
        wire: "these bytes, and then the message",
        strict: "closes with the code of the violation",
        section: "7.1.7",
    },
    Row {
        name: "latency",
        class: "Latency",
        summary: "Bytes arrive later; with `jitter` up to so much more, by chance, and in their order.",
        parameters: &[
            required("seconds", Type::Seconds(LONGEST)),
            optional("jitter", Type::Seconds(LONGEST), "0"),
            optional("direction", Type::Direction, "out"),
        ],
        action: Action::Bytes(|values, shape| {
            shape.latency += values.seconds("seconds");
            shape.jitter += values.seconds("jitter");
        }),
        wire: "the same bytes, so much later",
        strict: "gets them; it closes, if that is too late for it",
        section: "1.5",
    },
    Row {
        name: "bandwidth",
        class: "Bandwidth",
        summary: "So many bytes pass in a second.",
        parameters: &[
            required(
                "bytes_per_second",
                Type::Count("bytes per second", 1, 1 << 30),
            ),
            optional("direction", Type::Direction, "out"),
        ],
        action: Action::Bytes(|values, shape| {
            let rate = values.count("bytes_per_second");
            shape.rate = Some(shape.rate.map_or(rate, |other| other.min(rate)));
        }),
        wire: "the same bytes, at that rate",
        strict: "gets them; it closes, if that is too late for it",
        section: "1.5",
    },
    Row {
        name: "slice",
        class: "Slice",
        summary: "Bytes pass in pieces of at most `size`, with a pause of `gap` after each.",
        parameters: &[
            required("size", Type::Count("bytes", 1, LARGEST as u64)),
            optional("gap", Type::Seconds(LONGEST), "0"),
            optional("direction", Type::Direction, "out"),
        ],
        action: Action::Bytes(|values, shape| {
            shape.size = shape.size.min(values.size("size"));
            shape.gap = shape.gap.max(values.seconds("gap"));
        }),
        wire: "the same bytes, in TCP segments of that size",
        strict: "gets them",
        section: "1.5",
    },
    Row {
        name: "no-pong",
        class: "NoPong",
        summary: "Pings are not answered.",
        parameters: &[],
        action: Action::State(State::NoPong),
        wire: "no pong",
        strict: "closes, if it waits for pongs",
        section: "5.5.2",
    },
    Row {
        name: "no-close-reply",
        class: "NoCloseReply",
        summary: "A close frame is not answered, and the connection not closed.",
        parameters: &[],
        action: Action::State(State::NoCloseReply),
        wire: "no close frame, and no FIN until the client's",
        strict: "closes TCP after a time of its own",
        section: "7.1.1",
    },
    Row {
        name: "freeze",
        class: "Freeze",
        summary: "Nothing is read or written, as by a server that hangs; nor are pings answered, or an end seen.",
        parameters: &[],
        action: Action::State(State::Frozen),
        wire: "nothing, until it thaws",
        strict: "closes, if it waits for pongs",
        section: "5.5.2",
    },
    Row {
        name: "status",
        class: "Response",
        summary: "A request is refused with that response.",
        parameters: &[
            required("status", Type::Count("", 300, 599)),
            optional("retry-after", Type::Field, ""),
        ],
        action: Action::Answer(|values| {
            let after = values.text("retry-after");
            let mut fields = Fields::default();
            let pushed = if after.is_empty() {
                Ok(())
            } else {
                fields.push("Retry-After", &after)
            };
            let status = u16::try_from(values.count("status")).unwrap_or(u16::MAX);
            let response = pushed.and_then(|()| Response::new(status, fields, Vec::new()));
            response.map_or(Decision::Fail, Decision::Refuse)
        }),
        wire: "the response, and the end of TCP",
        strict: "fails; it may try again when the response says so",
        section: "4.1",
    },
    Row {
        name: "accept",
        class: "Accept",
        summary: "A request is accepted, with that subprotocol or other header lines.",
        parameters: &[required("subprotocol", Type::Token)],
        action: Action::Answer(|values| Decision::Accept {
            fields: Fields::default(),
            subprotocol: Some(values.text("subprotocol")),
        }),
        wire: "101 with these lines; 500, if the client has not offered the subprotocol",
        strict: "connects, with one of its subprotocols",
        section: "4.2.2",
    },
    Row {
        name: "delay",
        class: "Delay",
        summary: "A request is answered later, by `then` or as it would be anyway.",
        parameters: &[required("seconds", Type::Seconds(LONGEST_DELAY))],
        action: Action::Answer(|values| Decision::Delay(values.seconds("seconds"), None)),
        wire: "nothing, and then that",
        strict: "fails, if that is too late for it",
        section: "4.1",
    },
    Row {
        name: "hang",
        class: "Hang",
        summary: "A request is not answered, and the connection not ended, until the client or the server goes.",
        parameters: &[],
        action: Action::Answer(|_| Decision::Hang),
        wire: "nothing",
        strict: "fails after a time of its own",
        section: "4.1",
    },
    Row {
        name: "bad-accept",
        class: "BadAccept",
        summary: "A request is accepted, but not for the client's key.",
        parameters: &[],
        action: Action::Answer(|_| Decision::Trick(Trick::Accept)),
        wire: "101 with another `Sec-WebSocket-Accept`",
        strict: "fails",
        section: "4.1",
    },
    Row {
        name: "wrong-subprotocol",
        class: "WrongSubprotocol",
        summary: "A request is accepted with a subprotocol that was not offered.",
        parameters: &[optional("name", Type::Token, "not-offered")],
        action: Action::Answer(|values| Decision::Trick(Trick::Subprotocol(values.text("name")))),
        wire: "101 with that `Sec-WebSocket-Protocol`",
        strict: "fails",
        section: "4.1",
    },
    Row {
        name: "wrong-extension",
        class: "WrongExtension",
        summary: "A request is accepted with an extension that was not offered, and messages go on without it.",
        parameters: &[optional("value", Type::Field, "x-not-offered")],
        action: Action::Answer(|values| {
            let line = Fields::extensions(&values.text("value"));
            line.map_or(Decision::Fail, |line| {
                Decision::Trick(Trick::Extension(line))
            })
        }),
        wire: "101 with that `Sec-WebSocket-Extensions`",
        strict: "fails",
        section: "9.1",
    },
];

/// The fault of that name.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::action::SELECTORS;

    #[test]
    fn no_parameter_is_called_like_a_selector() {
        for row in TABLE {
            for name in row.parameters.iter().map(|parameter| parameter.name) {
                let is_free = !SELECTORS.contains(&name);
                assert!(is_free, "{}: {name} says when a fault acts", row.name);
            }
        }
    }
}
