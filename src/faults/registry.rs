//! The faults of one server.

use super::fault::Fault;
use super::plan::Plan;
use super::random::any_seed;
use super::selector::Selector;
use super::table::Row;
use super::values::Values;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those that are set, and what their chance comes from.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    /// Whether there are any: most servers never have one.
    is_any: AtomicBool,
    set: Mutex<Set>,
}

#[derive(Debug, Default)]
struct Set {
    /// In the order in which they were set.
    faults: Vec<Arc<Fault>>,
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
        }
    }

    /// Those of a plan are set; `seed` if it has none.
    #[must_use]
    pub fn planned(plan: &Plan, seed: Option<u64>) -> Self {
        let faults = Self::new(plan.seed.or(seed));
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
        let fault = Arc::new(Fault::new(row, values, selector, set.count));
        set.faults.push(fault.clone());
        self.is_any.store(true, Ordering::Release);
        fault
    }

    /// It is not set any more: `false` if that was so before.
    pub(crate) fn end(&self, fault: &Arc<Fault>) -> bool {
        let mut set = self.lock();
        let before = set.faults.len();
        set.faults.retain(|other| !Arc::ptr_eq(other, fault));
        self.is_any.store(!set.faults.is_empty(), Ordering::Release);
        set.faults.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        // Nothing that can panic runs under the lock.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
