//! When a fault acts: on whom, and at which of the opportunities.

use super::action::Opportunity;
use std::time::Duration;

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

impl Selector {
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

    /// Whether a connection is one of those.
    #[must_use]
    pub fn meets(&self, path: &str, client: Option<u64>) -> bool {
        self.path.as_deref().is_none_or(|own| own == path)
            && self.client.is_none_or(|own| Some(own) == client)
    }
}
