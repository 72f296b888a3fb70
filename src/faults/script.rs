//! What the faults that are set do on one connection: asked at each opportunity, it answers "what now?".

pub mod ends;

use super::action::{Action, Opportunity, State};
use super::fault::Fault;
use super::hits::Hits;
use super::plan::{Asked, LONGEST_HELD, Plan};
use super::random::Random;
use super::registry::Faults;
use super::selector::After;
use super::shape::{Shape, Way};
use crate::protocol::sending::{Cut, Doorkeeper, Passing};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Faults that a connection has asked for itself have numbers from here on.
const OWN: u64 = 1 << 32;

/// The faults of one connection. Its worker alone has it.
pub struct Script {
    /// The connection's number, from which its chance comes.
    connection: u64,
    /// What it asked for.
    path: Box<str>,
    /// When it got its 101.
    begun: Instant,
    /// Asked only for faults that wait for a time.
    now: Box<dyn Fn() -> Instant>,
    /// For jitter, of each way.
    jitter: [Random; 2],
    /// When it is looked whether the connection is held by what it has asked for itself, if that is anything.
    patience: Cell<Option<Instant>>,
    /// When the connection ends at the latest, if it has asked for its slow line itself and that holds up its end.
    last_end: Cell<Option<Instant>>,
    active: RefCell<Vec<Active>>,
}

/// A fault on this connection.
#[derive(Debug)]
struct Active {
    fault: Arc<Fault>,
    /// Opportunities that there were.
    seen: u64,
    random: Random,
    /// Bytes that had come each way when it was set: they are none of its business.
    since: [u64; 2],
    /// It ends the connection, and its time has not come.
    is_awaited: bool,
    /// Of what acts on bytes: whether it does on this connection, and whether it has.
    is_chosen: Option<bool>,
    has_acted: bool,
}

impl Active {
    /// `None` if there is nothing for it to do.
    fn new(fault: Arc<Fault>, seed: u64, connection: u64, since: [u64; 2]) -> Option<Self> {
        if fault.row.action.opportunity() == Opportunity::Request {
            return None;
        }
        // It acts by being there.
        if matches!(fault.row.action, Action::State(State::Frozen)) && !fault.hit() {
            return None;
        }
        let has_time = matches!(fault.selector.after, After::Time(_));
        Some(Self {
            seen: 0,
            since,
            random: Random::new(seed, connection, fault.number),
            is_awaited: has_time && fault.row.action.is_end(),
            is_chosen: None,
            has_acted: false,
            fault,
        })
    }

    fn acts_on_bytes(&self) -> bool {
        self.fault.row.action.opportunity() == Opportunity::Bytes
    }

    /// Whether it is this state that lasts.
    fn is(&self, state: State) -> bool {
        matches!(self.fault.row.action, Action::State(own) if own == state)
    }
}

/// What jitter comes from, each way.
fn jitter(seed: u64, connection: u64) -> [Random; 2] {
    let jitter = |way: Way| Random::new(seed, connection, u64::MAX - way as u64);
    [jitter(Way::In), jitter(Way::Out)]
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("connection", &self.connection)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl Script {
    /// For a connection that got its 101 when it has `begun`. `now` tells the time.
    pub fn new(
        seed: u64,
        connection: u64,
        path: &str,
        begun: Instant,
        now: impl Fn() -> Instant + 'static,
    ) -> Self {
        Self {
            jitter: jitter(seed, connection),
            patience: Cell::default(),
            last_end: Cell::default(),
            connection,
            path: path.into(),
            begun,
            now: Box::new(now),
            active: RefCell::default(),
        }
    }

    /// The same, of one that has asked for faults itself: they come before those that are set. With a seed of its own it
    /// has the same chance as each with that seed.
    #[must_use]
    pub fn planned(mut self, seed: u64, plan: Plan, hits: &Arc<Hits>) -> Self {
        let (seed, connection) = plan.seed.map_or((seed, self.connection), |own| (own, 0));
        self.jitter = jitter(seed, connection);
        self.patience.set(Some(self.begun + LONGEST_HELD));
        let numbered = (OWN..).zip(plan.faults);
        let active = numbered.filter_map(|(number, asked)| {
            let Asked {
                row,
                values,
                selector,
                ..
            } = asked;
            let fault = Fault::new(row, values, selector, number, hits.clone());
            Active::new(Arc::new(fault), seed, connection, [0, 0])
        });
        self.active = RefCell::new(active.collect());
        self
    }

    /// Takes up what is set for this connection, and forgets what is not any more. On its slow line `come` bytes have come
    /// each way. Whether one has ended.
    pub fn follow(&self, faults: &Faults, come: [u64; 2]) -> bool {
        let all = faults.all();
        let mut active = self.active.borrow_mut();
        let before = active.len();
        let is_set = |one: &Arc<Fault>| all.iter().any(|fault| Arc::ptr_eq(fault, one));
        active.retain(|one| one.fault.number >= OWN || is_set(&one.fault));
        let has_ended = active.len() < before;
        let numbers = active.iter().map(|one| one.fault.number);
        let last = numbers.filter(|number| *number < OWN).max().unwrap_or(0);
        for fault in all {
            let is_new = fault.number > last;
            if is_new && fault.selector.meets(&self.path, Some(self.connection)) {
                active.extend(Active::new(fault, faults.seed(), self.connection, come));
            }
        }
        has_ended
    }

    /// A number from 0 to 1 by chance, for bytes that move one way, behind `moved` others. How many moved together before
    /// makes no difference.
    #[must_use]
    pub fn chance(&self, way: Way, moved: u64) -> f64 {
        self.jitter[way as usize].at(moved)
    }

    /// Whether something is to be asked about messages and their frames.
    #[must_use]
    pub fn judges(&self) -> bool {
        let of_others = [Opportunity::Bytes, Opportunity::State];
        self.has(|one| !of_others.contains(&one.fault.row.action.opportunity()))
    }

    /// Whether something is to be asked about bytes.
    #[must_use]
    pub fn moves_bytes(&self) -> bool {
        self.has(|one| one.acts_on_bytes() || one.is(State::Frozen))
    }

    /// Whether the connection is in this state. That alone is no hit.
    #[must_use]
    pub fn is_in(&self, state: State) -> bool {
        self.has(|one| one.is(state))
    }

    /// Whether the client itself has had the connection frozen, so that it never thaws.
    #[must_use]
    pub fn is_frozen_for_good(&self) -> bool {
        self.has_itself(|action| matches!(action, Action::State(State::Frozen)))
    }

    /// Whether the client itself has asked for a slow line, which may hold up an end before a single byte has moved.
    #[must_use]
    pub fn is_slowed_by_itself(&self) -> bool {
        self.has(|one| one.fault.number >= OWN && one.acts_on_bytes())
    }

    /// Whether one of these faults has acted that the client has asked for itself. What is set is no wish of the client's.
    #[must_use]
    pub fn has_itself(&self, is_it: impl Fn(&Action) -> bool) -> bool {
        self.has(|one| {
            one.fault.number >= OWN && one.fault.hits() > 0 && is_it(&one.fault.row.action)
        })
    }

    fn has(&self, is_it: impl Fn(&Active) -> bool) -> bool {
        self.active.borrow().iter().any(is_it)
    }

    /// Whether the connection is in this state, in which something is not done that would be done now.
    #[must_use]
    pub fn holds(&self, state: State) -> bool {
        let active = self.active.borrow();
        // All of them hold it.
        let holding = active.iter().filter(|one| one.is(state) && one.fault.hit());
        holding.count() > 0
    }

    /// What happens to the bytes that move one way, behind `moved` others.
    #[must_use]
    pub fn shape(&self, way: Way, moved: u64) -> Shape {
        self.shape_at(way, moved, None)
    }

    /// The same, `at` a time that was, of those that are here now.
    #[must_use]
    pub fn shape_at(&self, way: Way, moved: u64, at: Option<Instant>) -> Shape {
        let mut shape = Shape::default();
        let until = self.each_on_bytes(way, moved, at, |one, _| match one.fault.row.action {
            Action::Bytes(act) => act(&one.fault.values, &mut shape),
            _ => shape.changes = true,
        });
        Shape { until, ..shape }
    }

    /// Makes of these bytes, which come one way behind `moved` others, what arrives. They are of one shape, in which bytes
    /// change.
    pub fn change(&self, way: Way, moved: u64, bytes: &mut [u8]) {
        self.each_on_bytes(way, moved, None, |one, before| {
            if let Action::Change(act) = one.fault.row.action {
                act(&one.fault.values, before, bytes);
            }
        });
    }

    /// Bytes do move that way, behind `moved` others. What acts on them is counted then.
    pub fn moves(&self, way: Way, moved: u64) {
        self.each_on_bytes(way, moved, None, |one, _| {
            // There is no limit to that.
            one.has_acted = one.has_acted || one.fault.hit();
        });
    }

    /// Each that acts on the byte behind `moved` others, with how many of these it might have acted on; returns for how many
    /// bytes that is so.
    fn each_on_bytes(
        &self,
        way: Way,
        moved: u64,
        at: Option<Instant>,
        mut act: impl FnMut(&mut Active, u64),
    ) -> u64 {
        let mut until = u64::MAX;
        for one in self.active.borrow_mut().iter_mut() {
            if !one.acts_on_bytes() || !one.fault.values.includes(way) {
                continue;
            }
            let mut first = one.since[way as usize];
            match one.fault.selector.after {
                After::Count(passing) => first = first.saturating_add(passing),
                After::Time(time) if at.unwrap_or_else(&self.now) < self.begun + time => continue,
                After::Time(_) => {}
            }
            let Some(before) = moved.checked_sub(first) else {
                until = until.min(first - moved);
                continue;
            };
            let (random, probability) = (&mut one.random, one.fault.selector.probability);
            let is_chosen = &mut one.is_chosen;
            if *is_chosen.get_or_insert_with(|| random.fraction() < probability) {
                act(one, before);
            }
        }
        until
    }

    /// Whether a fault takes this opportunity.
    fn acts(&self, one: &mut Active) -> bool {
        let selector = &one.fault.selector;
        if let After::Time(time) = selector.after
            && (self.now)() < self.begun + time
        {
            return false;
        }
        selector.takes(&mut one.seen, || one.random.fraction()) && one.fault.hit()
    }
}

impl Doorkeeper for Script {
    fn message(&self, passing: &mut Passing<'_>) {
        for one in self.active.borrow_mut().iter_mut() {
            // What is not sent any more is no opportunity.
            if passing.times == 0 || passing.close.is_some() {
                return;
            }
            let action = one.fault.row.action;
            match action {
                Action::Message(act) if self.acts(one) => act(&one.fault.values, passing),
                Action::Close(how) if self.acts(one) => {
                    passing.close = Some(how(&one.fault.values));
                }
                _ => {}
            }
        }
    }

    fn fragment(&self, len: usize) -> usize {
        let mut most = usize::MAX;
        for one in self.active.borrow_mut().iter_mut() {
            if let Action::Fragment(size) = one.fault.row.action {
                let size = size(&one.fault.values).max(1);
                // What has room in one frame is no opportunity.
                if size < len && self.acts(one) {
                    most = most.min(size);
                }
            }
        }
        most
    }

    fn frame(&self) -> Option<Cut> {
        let mut active = self.active.borrow_mut();
        active.iter_mut().find_map(|one| {
            let action = one.fault.row.action;
            match action {
                Action::Cut(cut) if self.acts(one) => Some(cut),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests;
