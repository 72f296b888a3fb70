//! A queue that mostly has one at the most: only a second one needs an allocation.

use std::collections::VecDeque;
use std::mem;

#[derive(Debug, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(VecDeque<T>),
}

impl<T> Few<T> {
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn push_back(&mut self, one: T) {
        match self {
            Self::None => *self = Self::One(one),
            Self::One(_) => {
                let mut all = VecDeque::new();
                all.extend(self.pop_front());
                all.push_back(one);
                *self = Self::Many(all);
            }
            Self::Many(all) => all.push_back(one),
        }
    }

    /// Nothing is kept for the next ones once the last has gone.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        match mem::take(self) {
            Self::None => None,
            Self::One(one) => Some(one),
            Self::Many(mut all) => {
                let first = all.pop_front();
                if !all.is_empty() {
                    *self = Self::Many(all);
                }
                first
            }
        }
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::None => None,
            Self::One(one) => Some(one),
            Self::Many(all) => all.front_mut(),
        }
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::None => None,
            Self::One(one) => Some(one),
            Self::Many(all) => all.back_mut(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, all) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some(one), None),
            Self::Many(all) => (None, Some(all)),
        };
        one.into_iter().chain(all.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_however_many_there_are() {
        for count in 0..5 {
            let mut few = Few::default();
            for number in 0..count {
                few.push_back(number);
                assert_eq!(few.back_mut(), Some(&mut number.clone()));
            }
            assert_eq!(
                few.iter().copied().collect::<Vec<_>>(),
                (0..count).collect::<Vec<_>>()
            );
            for number in 0..count {
                assert_eq!(few.front_mut(), Some(&mut number.clone()));
                assert_eq!(few.pop_front(), Some(number));
            }
            assert!(few.is_empty() && few.pop_front().is_none());
        }
    }
}
