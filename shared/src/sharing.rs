//! What two versions of something do not share.
//!
//! A version is made from the one before by taking over pointers, so that what did not change is told by comparing
//! pointers, without looking at what they point to. The cost beyond that is the size of the change.

use std::{cmp::Ordering, iter::Peekable, ops::Range, sync::Arc};

/// An ordered map whose clone is one pointer, and whose next version shares with it all but the path to what changed.
pub type SharedMap<K, V> = rpds::RedBlackTreeMapSync<K, Arc<V>>;

/// The entries of two maps that are not the same pointer, by key: what was and what is.
pub fn changed<'a, K: Ord, V>(
    before: &'a SharedMap<K, V>,
    after: &'a SharedMap<K, V>,
) -> impl Iterator<Item = (&'a K, Change<'a, V>)> {
    Changed { before: before.iter().peekable(), after: after.iter().peekable() }
}

/// `after` with every entry that is equal in `before` taken over from there, so that it is recognised as unchanged.
#[must_use]
pub fn taking_over<K: Ord + Clone, V: PartialEq>(
    after: &SharedMap<K, V>,
    before: &SharedMap<K, V>,
) -> SharedMap<K, V> {
    let taken = |(key, value): (&K, &Arc<V>)| {
        let same = before.get(key).filter(|same| *same == value);
        (key.clone(), Arc::clone(same.unwrap_or(value)))
    };
    after.iter().map(taken).collect()
}

/// What became of an entry.
#[derive(Debug)]
pub enum Change<'a, V> {
    /// It is new.
    Added(&'a Arc<V>),
    /// It is another one now.
    Replaced(&'a Arc<V>, &'a Arc<V>),
    /// It is gone.
    Removed(&'a Arc<V>),
}

impl<'a, V> Change<'a, V> {
    /// From what was to what is; `None` if that is the same, or nothing.
    #[must_use]
    pub fn of(before: Option<&'a Arc<V>>, after: Option<&'a Arc<V>>) -> Option<Self> {
        match (before, after) {
            (None, Some(is)) => Some(Self::Added(is)),
            (Some(was), None) => Some(Self::Removed(was)),
            (Some(was), Some(is)) if !Arc::ptr_eq(was, is) => Some(Self::Replaced(was, is)),
            _ => None,
        }
    }
}

struct Changed<B: Iterator, A: Iterator> {
    before: Peekable<B>,
    after: Peekable<A>,
}

impl<'a, K: Ord + 'a, V: 'a, B, A> Iterator for Changed<B, A>
where
    B: Iterator<Item = (&'a K, &'a Arc<V>)>,
    A: Iterator<Item = (&'a K, &'a Arc<V>)>,
{
    type Item = (&'a K, Change<'a, V>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.before.peek(), self.after.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                // The same pointer has the same key, which need not be compared then.
                (Some((_, was)), Some((_, is))) if Arc::ptr_eq(was, is) => {
                    self.before.next();
                    self.after.next();
                    continue;
                }
                (Some((was, _)), Some((is, _))) => was.cmp(is),
            };
            return match order {
                Ordering::Less => self.before.next().map(|(key, was)| (key, Change::Removed(was))),
                Ordering::Greater => self.after.next().map(|(key, is)| (key, Change::Added(is))),
                Ordering::Equal => {
                    let (_, was) = self.before.next()?;
                    self.after.next().map(|(key, is)| (key, Change::Replaced(was, is)))
                }
            };
        }
    }
}

/// The parts of two lists that are left without what is the `same` at their beginnings and at their ends.
pub fn middle<A, B>(
    before: &[A],
    after: &[B],
    same: impl Fn(&A, &B) -> bool,
) -> (Range<usize>, Range<usize>) {
    let first = before.iter().zip(after).take_while(|(was, is)| same(was, is)).count();
    let rest = before.iter().skip(first).rev().zip(after.iter().skip(first).rev());
    let last = rest.take_while(|(was, is)| same(was, is)).count();
    (first..before.len() - last, first..after.len() - last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_come_go_and_change_in_order() {
        let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(Arc::new);
        let before =
            SharedMap::from_iter([("a", Arc::clone(&a)), ("b", Arc::clone(&b)), ("d", Arc::clone(&d))]);
        let after = SharedMap::from_iter([("b", Arc::clone(&c)), ("c", c), ("d", d), ("e", e)]);
        let found: Vec<String> = changed(&before, &after)
            .map(|(key, change)| match change {
                Change::Added(is) => format!("{key}+{is}"),
                Change::Removed(was) => format!("{key}-{was}"),
                Change::Replaced(was, is) => format!("{key}:{was}>{is}"),
            })
            .collect();
        assert_eq!(found, ["a-1", "b:2>3", "c+3", "e+5"]);
        assert_eq!(changed(&before, &before).count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_left_lies_between_what_is_the_same(
            before in prop::collection::vec(0_u8..3, 0..8),
            after in prop::collection::vec(0_u8..3, 0..8),
        ) {
            let (was, is) = middle(&before, &after, |a, b| a == b);
            prop_assert_eq!(&before[..was.start], &after[..is.start]);
            prop_assert_eq!(&before[was.end..], &after[is.end..]);
            let ends = |of: fn(&[u8]) -> Option<&u8>| {
                was.is_empty() || is.is_empty() || of(&before[was.clone()]) != of(&after[is.clone()])
            };
            prop_assert!(ends(<[u8]>::first) && ends(<[u8]>::last));
        }
    }
}
