//! Faults of a server are set and ended: whoever does that may wait until every connection knows it.

use super::shared::{Command, lock};
use super::{Pending, Server, State};
use crate::faults::fault::Fault;
use crate::faults::registry::Faults;
use crate::faults::selector::Selector;
use crate::faults::table::Row;
use crate::faults::values::Values;
use std::convert::Infallible;
use std::sync::{Arc, mpsc};

impl Server {
    /// The faults that are set, and the seed of their chance.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Sets a fault. Done, without an answer, when every connection knows it.
    #[must_use]
    pub fn set_fault(
        &self,
        row: &'static Row,
        values: Values,
        selector: Selector,
    ) -> (Arc<Fault>, Pending<Infallible>) {
        let fault = self.shared.faults.set(row, values, selector);
        (fault, self.tell_faults())
    }

    /// Ends a fault. Done, without an answer, when nothing is held up for it any more.
    #[must_use]
    pub fn end_fault(&self, fault: &Arc<Fault>) -> Pending<Infallible> {
        self.shared.faults.end(fault);
        self.tell_faults()
    }

    fn tell_faults(&self) -> Pending<Infallible> {
        self.command(Command::Faults)
    }

    /// Done, without an answer, when every connection has done all that it was ordered before, and that is recorded and
    /// counted.
    #[must_use]
    pub fn obeyed(&self) -> Pending<Infallible> {
        self.command(Command::Obey)
    }

    /// Has every worker do something; done when all connections that it is for have dropped the sender.
    fn command(
        &self,
        command: impl Fn(mpsc::Sender<Infallible>) -> Command,
    ) -> Pending<Infallible> {
        let (done, is_done) = mpsc::channel();
        // Before the start there are no connections, and nobody to tell them.
        if matches!(*lock(&self.state), State::Started(_)) {
            for worker in &self.shared.workers {
                worker.commands.post_one(command(done.clone()));
            }
        }
        Pending::new(is_done)
    }
}
