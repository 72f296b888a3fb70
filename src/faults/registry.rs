//! The faults of one server.

use super::action::Opportunity;
use super::fault::Fault;
use super::hits::Hits;
use super::plan::Plan;
use super::random::{Random, any_seed};
use super::selector::Selector;
use super::table::Row;
use super::values::Values;
use crate::admission::Decision;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those that are set, and what their chance comes from.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    /// Whether there are any: most servers never have one.
    is_any: AtomicBool,
    set: Mutex<Set>,
    hits: Arc<Hits>,
}

/// A fault of requests, whose opportunities are those of the server.
#[derive(Debug)]
struct Asked {
    fault: Arc<Fault>,
    seen: u64,
    random: Random,
}

impl Asked {
    /// What a request for this path gets, if it is one of those.
    fn answer(&mut self, path: &str) -> Option<Decision> {
        let Self {
            fault,
            seen,
            random,
        } = self;
        let acts = fault.selector.meets(path, None)
            && fault.selector.takes(seen, || random.fraction())
            && fault.hit();
        let answer = || fault.row.action.answer(&fault.values);
        acts.then(answer).flatten()
    }
}

#[derive(Debug, Default)]
struct Set {
    /// In the order in which they were set.
    faults: Vec<Arc<Fault>>,
    /// Those of them that act on requests.
    asked: Vec<Asked>,
    /// How many there ever were.
    count: u64,
}

impl Faults {
    /// None. Without a seed any is as good.
    #[must_use]
    pub fn new(seed: Option<u64>) -> Self {
        Self {
            seed: seed.unwrap_or_else(any_seed),
            is_any: AtomicBool::new(false),
            set: Mutex::default(),
            hits: Arc::default(),
        }
    }

    /// Those of a plan are set; `seed` if it has none. What they do is counted in `hits`.
    #[must_use]
    pub fn planned(plan: &Plan, seed: Option<u64>, hits: Arc<Hits>) -> Self {
        let faults = Self {
            hits,
            ..Self::new(plan.seed.or(seed))
        };
        for asked in plan.faults.iter().cloned() {
            faults.set(asked.row, asked.values, asked.selector);
        }
        faults
    }

    /// The same seed gives the same chance, for each connection by its number.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How often those of this server have acted, and those of its connections.
    #[must_use]
    pub const fn hits(&self) -> &Arc<Hits> {
        &self.hits
    }

    /// Whether one is set.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// Those that are set, in that order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Fault>> {
        self.lock().faults.clone()
    }

    pub(crate) fn set(&self, row: &'static Row, values: Values, selector: Selector) -> Arc<Fault> {
        let mut set = self.lock();
        set.count += 1;
        let number = set.count;
        let fault = Arc::new(Fault::new(row, values, selector, number, self.hits.clone()));
        set.faults.push(fault.clone());
        if row.action.opportunity() == Opportunity::Request {
            set.asked.push(Asked {
                fault: fault.clone(),
                seen: 0,
                // No client has this number.
                random: Random::new(self.seed, 0, number),
            });
        }
        self.is_any.store(true, Ordering::Release);
        fault
    }

    /// It is not set any more: `false` if that was so before.
    pub(crate) fn end(&self, fault: &Arc<Fault>) -> bool {
        let mut set = self.lock();
        let before = set.faults.len();
        set.faults.retain(|other| !Arc::ptr_eq(other, fault));
        set.asked.retain(|other| !Arc::ptr_eq(&other.fault, fault));
        self.is_any.store(!set.faults.is_empty(), Ordering::Release);
        set.faults.len() < before
    }

    /// What a good upgrade request for this path gets, if a fault says so.
    pub(crate) fn answer(&self, path: &str) -> Option<Decision> {
        let mut set = self.lock();
        let mut delays = Vec::new();
        let mut answers = set.asked.iter_mut().filter_map(|one| one.answer(path));
        let decision = answers.find(|decision| match decision {
            // What it gets then is up to those that were set after it.
            Decision::Delay(time, None) => {
                delays.push(*time);
                false
            }
            _ => true,
        });
        let late = |then: Option<Decision>, time| Some(Decision::Delay(time, then.map(Box::new)));
        delays.into_iter().rev().fold(decision, late)
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        // Nothing that can panic runs under the lock.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
