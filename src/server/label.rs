//! What metrics tell apart: few values, whatever strangers send.

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is none, or not a good one: 400, 405, 426, 431, 505.
    Request,
    /// Its Origin is not admitted: 403.
    Origin,
    /// It was not complete in time: 408.
    Late,
    /// `max_connections`: 503.
    Connections,
    /// `memory_limit`: 503.
    Memory,
    /// The application or a fault said so: any status.
    Application,
    /// The application did not say in time, or could not: 503, 500.
    Undecided,
    /// The server stops: 503.
    Stopping,
    /// A balancer has not said who it has connected for: the connection ends without an answer.
    Proxy,
}

impl Refused {
    pub(super) const ALL: [Self; 9] = [
        Self::Request,
        Self::Origin,
        Self::Late,
        Self::Connections,
        Self::Memory,
        Self::Application,
        Self::Undecided,
        Self::Stopping,
        Self::Proxy,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Origin => "origin",
            Self::Late => "open_timeout",
            Self::Connections => "max_connections",
            Self::Memory => "memory_limit",
            Self::Application => "application",
            Self::Undecided => "undecided",
            Self::Stopping => "stopping",
            Self::Proxy => "proxy_header",
        }
    }
}

/// A close code as it is counted. Those that applications choose are counted together: there are two thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(usize);

impl Code {
    /// First and last of those that have each their own number.
    const OWN: (usize, usize) = (1000, 1015);
    pub(super) const COUNT: usize = Self::OWN.1 - Self::OWN.0 + 3;

    pub(super) const fn of(code: u16) -> Self {
        let (first, last) = Self::OWN;
        let own = last - first + 1;
        Self(match code as usize {
            code if code >= first && code <= last => code - first,
            ..4000 => own,
            _ => own + 1,
        })
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    pub(super) const fn index(self) -> usize {
        self.0
    }

    pub(super) fn name(self) -> String {
        match Self::OWN.0 + self.0 {
            code if code <= Self::OWN.1 => code.to_string(),
            code if code == Self::OWN.1 + 1 => "3000-3999".to_owned(),
            _ => "4000-4999".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_counted_under_one_name() {
        let name = |code| Code::of(code).name();
        for code in [1000, 1006, 1013, 1015] {
            assert_eq!(name(code), code.to_string());
        }
        for (code, shown) in [
            (3000, "3000-3999"),
            (3999, "3000-3999"),
            (4000, "4000-4999"),
            (4999, "4000-4999"),
        ] {
            assert_eq!(name(code), shown);
        }
        let names: std::collections::BTreeSet<_> = Code::all().map(Code::name).collect();
        assert_eq!(names.len(), Code::COUNT);
        let indices: Vec<_> = Refused::ALL.iter().map(|&one| one as usize).collect();
        assert_eq!(indices, (0..Refused::ALL.len()).collect::<Vec<_>>());
    }
}
