//! Faults that are asked for together, in one text: those that leave nothing of each other's opportunities are an error,
//! and by URL, where anybody can ask, so is what would be too much.

use super::action::{Action, Opportunity, State};
use super::selector::{After, Selector};
use super::shape::Shape;
use super::table::Row;
use super::values::{Values, Wrong};
use crate::admission::Decision;
use crate::protocol::message::Kind;
use crate::protocol::sending::Passing;
use std::time::Duration;

/// Faults of one URL at the most: each is asked about each message.
pub(super) const MOST: usize = 16;
/// By which bytes arrive later altogether.
const LONGEST: Duration = Duration::from_secs(60);
/// How long what has asked for its faults itself is held at once: a request without an answer, or a connection.
pub(super) const LONGEST_HELD: Duration = Duration::from_secs(600);
/// Bytes of violations before a message, altogether: a bomb of 16 MiB and little else.
const BEFORE: usize = 24 << 10;
/// How often a message goes out again, altogether.
const COPIES: usize = 10;
/// What a fault costs beside what it was told.
const COST: usize = 512;

/// A fault that is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// As it was written.
    pub text: String,
    /// What it is.
    pub row: &'static Row,
    /// What it was told.
    pub values: Values,
    /// When it acts.
    pub selector: Selector,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// In this order.
    pub faults: Vec<Asked>,
    /// What their chance comes from.
    pub seed: Option<u64>,
    /// Whether the client wants to be told what the server saw of it.
    pub info: bool,
}

impl Plan {
    /// Bytes that a connection counts for it; `len`: of its text.
    #[must_use]
    pub const fn cost(&self, len: usize) -> usize {
        self.faults.len() * COST + len
    }

    /// Whether there is an opportunity for each of them.
    ///
    /// # Errors
    /// Of two faults the first leaves nothing for the second.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        for (index, first) in self.faults.iter().enumerate() {
            let others = self.faults.iter().enumerate();
            let mut others = others.filter(|(other, _)| *other != index);
            if let Some((_, second)) = others.find(|(_, second)| first.excludes(second)) {
                let (first, second) = (first.row.name, second.row.name);
                return Err(Wrong::fault(
                    second,
                    format!(
                        "{first} leaves nothing for it: they exclude each other, unless {first} has a selector such as \
                         after, where it can have one"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whether anybody may have it.
    ///
    /// # Errors
    /// It is more than that.
    pub(super) fn limit(&self) -> Result<(), Wrong> {
        let Some(last) = self.faults.last() else {
            return Ok(());
        };
        let too_much = |what: String| Err(Wrong::fault(last.row.name, what));
        if self.faults.len() > MOST {
            return too_much(format!("a URL can have {MOST} faults at most"));
        }
        let (mut shape, mut passing) = (Shape::default(), Passing::new(Kind::Text, &[]));
        let mut delay = Duration::ZERO;
        for asked in &self.faults {
            match asked.row.action {
                Action::Answer(made) => {
                    let wrong = |reason: &str| Err(Wrong::fault(asked.row.name, reason.into()));
                    if asked.selector.after != After::Count(0) || asked.selector.every != 1 {
                        return wrong(
                            "by URL there is one request: it takes neither after nor every",
                        );
                    }
                    match made(&asked.values) {
                        Decision::Refuse(response) if response.status() < 400 => {
                            return wrong("by URL a status can be 400 to 599");
                        }
                        Decision::Delay(time, _) => delay += time,
                        _ => {}
                    }
                }
                Action::Bytes(act) => act(&asked.values, &mut shape),
                // What is not sent would not be sent again.
                Action::Message(act) if !asked.drops() => act(&asked.values, &mut passing),
                _ => {}
            }
            // At once: one of them can have 256 KiB.
            if passing.before.len() > BEFORE {
                return too_much(format!(
                    "by URL violations can have {BEFORE} bytes at most, altogether"
                ));
            }
        }
        if shape.latency + shape.jitter > LONGEST {
            let most = LONGEST.as_secs();
            return too_much(format!(
                "by URL bytes can arrive {most} seconds later at most, altogether"
            ));
        }
        if delay > LONGEST {
            let most = LONGEST.as_secs();
            return too_much(format!(
                "by URL an answer can come {most} seconds later at most, altogether"
            ));
        }
        if passing.times > 1 + COPIES {
            return too_much(format!(
                "by URL a message can be sent {COPIES} more times at most, altogether"
            ));
        }
        Ok(())
    }
}

impl Asked {
    /// Whether another fault would have no opportunity that is left.
    fn excludes(&self, other: &Self) -> bool {
        let apart = self.selector.path.is_some() && self.selector.path != other.selector.path;
        if apart || !self.selector.is_always() {
            return false;
        }
        let action = self.row.action;
        match action {
            Action::State(State::Frozen) => true,
            Action::Close(_) | Action::Cut(_) => other.wants_messages(),
            Action::Message(_) => self.drops() && other.wants_messages(),
            Action::Answer(made) => match made(&self.values) {
                Decision::Delay(..) => false,
                // Of what answers at once only the first does.
                Decision::Accept { .. } | Decision::Trick(_) => other.answers(),
                _ => !other.delays(),
            },
            _ => false,
        }
    }

    /// Whether it changes messages or their frames.
    fn wants_messages(&self) -> bool {
        let opportunity = self.row.action.opportunity();
        self.tried().map_or(
            matches!(opportunity, Opportunity::Message | Opportunity::Frame),
            // What goes out before one goes out all the same.
            |passing| passing.times != 1 || passing.instead.is_some(),
        )
    }

    /// Whether it answers requests at once.
    fn answers(&self) -> bool {
        self.row.action.opportunity() == Opportunity::Request && !self.delays()
    }

    /// Whether it answers requests later.
    fn delays(&self) -> bool {
        let answer = self.row.action.answer(&self.values);
        matches!(answer, Some(Decision::Delay(..)))
    }

    /// Whether the messages on which it acts are not sent.
    fn drops(&self) -> bool {
        self.tried().is_some_and(|passing| passing.times == 0)
    }

    /// What becomes of a message on which it acts, if it is one that acts on them.
    fn tried(&self) -> Option<Passing<'static>> {
        let Action::Message(act) = self.row.action else {
            return None;
        };
        let mut passing = Passing::new(Kind::Text, &[]);
        act(&self.values, &mut passing);
        Some(passing)
    }
}
