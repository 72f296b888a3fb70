//! Chance that can be had again: the same seed gives the same numbers.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A stream of numbers (`SplitMix64`).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// That of one fault on one connection: whatever happens elsewhere draws from others.
    pub(super) fn new(seed: u64, connection: u64, fault: u64) -> Self {
        let mut state = Self(seed);
        for part in [connection, fault] {
            state = Self(state.next() ^ part);
        }
        state
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// That at one place of it, whatever was drawn before: at least 0, and less than 1.
    pub(super) fn at(&self, place: u64) -> f64 {
        let mut start = self.clone();
        Self(start.next() ^ place).fraction()
    }

    /// At least 0, and less than 1.
    pub(super) fn fraction(&mut self) -> f64 {
        let high = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(high) / f64::from(1 << 16) / f64::from(1 << 16)
    }
}

/// A seed that nobody has chosen: short, since somebody may have to type it.
#[must_use]
pub(super) fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_stream_depends_on_seed_connection_and_fault() {
        let draw = |seed, connection, fault| {
            let mut random = Random::new(seed, connection, fault);
            std::array::from_fn::<u64, 4, _>(|_| random.next())
        };
        assert_eq!(draw(7, 1, 1), draw(7, 1, 1));
        let others = [draw(8, 1, 1), draw(7, 2, 1), draw(7, 1, 2)];
        assert!(others.iter().all(|other| *other != draw(7, 1, 1)));
    }

    #[test]
    fn each_place_has_its_own() {
        let random = Random::new(1, 2, 3);
        let all: Vec<f64> = (0..10_000).map(|place| random.at(place)).collect();
        assert_eq!(all[77].to_bits(), random.at(77).to_bits());
        assert!(all.iter().all(|one| (0.0..1.0).contains(one)));
        let share = all.iter().filter(|one| **one < 0.25).count();
        assert!((2300..2700).contains(&share), "{share}");
    }

    #[test]
    fn a_fraction_is_one() {
        let mut random = Random::new(1, 2, 3);
        let all: Vec<f64> = (0..10_000).map(|_| random.fraction()).collect();
        assert!(all.iter().all(|one| (0.0..1.0).contains(one)));
        let share = all.iter().filter(|one| **one < 0.25).count();
        assert!((2300..2700).contains(&share), "{share}");
    }
}
