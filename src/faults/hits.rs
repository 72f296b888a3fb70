//! How often faults have acted, of each kind: those that were set and those of single connections, also when they are gone.

use super::table::{Row, TABLE};
use std::sync::atomic::{AtomicU64, Ordering};

/// The numbers of one server.
#[derive(Debug)]
pub struct Hits(Box<[AtomicU64]>);

impl Default for Hits {
    fn default() -> Self {
        Self(TABLE.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Hits {
    /// A fault of this row has acted.
    pub(super) fn add(&self, row: &Row) {
        let own = TABLE.iter().position(|one| one.name == row.name);
        if let Some(index) = own {
            self.0[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that have ever acted, by their names in URLs.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = TABLE.iter().map(|row| row.name);
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        names.zip(counts).filter(|(_, count)| *count > 0)
    }
}
