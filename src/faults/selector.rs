//! When a fault acts: on whom, and at which of the opportunities.

use super::action::Opportunity;
use super::values;
use std::time::Duration;

/// The longest time that may pass before a fault acts.
const LONGEST: Duration = Duration::from_secs(3600);

/// Which of the opportunities a fault takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// Only on connections that asked for this path.
    pub path: Option<String>,
    /// Only on that of this client.
    pub client: Option<u64>,
    /// Those that pass first.
    pub after: After,
    /// Of the others each so-manieth.
    pub every: u64,
    /// Of those so many, by chance.
    pub probability: f64,
    /// Of those so many altogether; `None`: all.
    pub times: Option<u64>,
}

/// What passes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// So many opportunities of a connection; of bytes so many that move the same way.
    Count(u64),
    /// All before that time since the 101.
    Time(Duration),
}

impl Default for Selector {
    fn default() -> Self {
        Self {
            path: None,
            client: None,
            after: After::Count(0),
            every: 1,
            probability: 1.0,
            times: None,
        }
    }
}

/// What the selector of that name can be, as an error says it.
#[must_use]
pub fn range(name: &str) -> &'static str {
    match name {
        "path" => "must be the path that a client asks for, without its query, such as '/room'",
        "after" => {
            "must be a number, or a time of at most an hour since the 101, such as '2s' or '200ms'"
        }
        "probability" => "must be a number above 0, and at most 1",
        "every" | "times" => "must be a whole number, 1 or more",
        _ => "must be a client of this server",
    }
}

/// The path that is written so: as a request has it, without a query.
#[must_use]
pub fn path(text: String) -> Option<String> {
    Some(text).filter(|path| path.starts_with('/') && !path.contains('?'))
}

/// The probability, if it is one at which something acts at all.
#[must_use]
pub fn probability(one: f64) -> Option<f64> {
    Some(one).filter(|one| *one > 0.0 && *one <= 1.0)
}

impl After {
    /// The time that is written so, with its unit.
    #[must_use]
    pub fn time(text: &str) -> Option<Self> {
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        let time = values::seconds(text).filter(|time| has_unit && *time <= LONGEST);
        time.map(Self::Time)
    }
}

impl Selector {
    /// Takes the selector of that name as it is written: `None` if it can't be that.
    #[must_use]
    pub fn read(&mut self, name: &str, text: &str) -> Option<()> {
        match name {
            "path" => self.path = Some(path(text.to_owned())?),
            "after" => {
                let count = values::whole(text).map(After::Count);
                self.after = count.or_else(|| After::time(text))?;
            }
            "every" => self.every = values::whole(text).filter(|every| *every > 0)?,
            "probability" => self.probability = text.parse().ok().and_then(probability)?,
            "times" => self.times = Some(values::whole(text).filter(|times| *times > 0)?),
            _ => return None,
        }
        Some(())
    }

    /// Whether every opportunity is taken.
    #[must_use]
    pub fn is_always(&self) -> bool {
        let chance_or_end = self.probability < 1.0 || self.times.is_some();
        self.after == After::Count(0) && self.every == 1 && !chance_or_end
    }

    /// The first selector that faults with this opportunity can't have, and why.
    #[must_use]
    pub fn misfit(&self, opportunity: Opportunity) -> Option<(&'static str, &'static str)> {
        let Self {
            path: _,
            client,
            after,
            every,
            probability,
            times,
        } = self;
        let given = [
            ("client", client.is_some()),
            ("after", *after != After::Count(0)),
            ("every", *every != 1),
            ("probability", *probability < 1.0),
            ("times", times.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, is_given)| *is_given);
        given.find_map(|(name, _)| {
            let is_time = name == "after" && matches!(after, After::Time(_));
            opportunity
                .objection(name, is_time)
                .map(|reason| (name, reason))
        })
    }

    /// Whether it takes the next opportunity, behind the time that passes first; `seen` is how many there were.
    pub(super) fn takes(&self, seen: &mut u64, chance: impl FnOnce() -> f64) -> bool {
        *seen += 1;
        let passing = match self.after {
            After::Count(passing) => passing,
            After::Time(_) => 0,
        };
        let Some(count) = seen.checked_sub(passing).filter(|count| *count > 0) else {
            return false;
        };
        count % self.every == 0 && (self.probability >= 1.0 || chance() < self.probability)
    }

    /// Whether a connection is one of those.
    #[must_use]
    pub fn meets(&self, path: &str, client: Option<u64>) -> bool {
        self.path.as_deref().is_none_or(|own| own == path)
            && self.client.is_none_or(|own| Some(own) == client)
    }
}
