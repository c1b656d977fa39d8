//! A map by name whose next version shares with it all but a few dozen entries.
//!
//! A hash table of its own for every few dozen names, chosen by their hash: looked up in two steps however many names there are,
//! and a change copies one table and the list of tables.
//!
//! Hot path: no allocation where nothing is changed.

use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

use foldhash::fast::FixedState;

/// Names of one table, on average, above which there are twice as many tables.
const CROWDED: usize = 64;
/// Where in a hash the number of the table is: bits that the table itself does not look at first.
const SHIFT: u32 = 32;

type Shard<V> = HashMap<Box<str>, Arc<V>, FixedState>;

/// Values by name.
#[derive(Clone, Debug)]
pub(super) struct Map<V> {
    /// None, or a power of two.
    shards: Vec<Arc<Shard<V>>>,
    count: usize,
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self { shards: Vec::new(), count: 0 }
    }
}

impl<V> Map<V> {
    /// What `key` names.
    pub(super) fn get(&self, key: &str) -> Option<&Arc<V>> {
        self.shards.get(place(key, self.shards.len()))?.get(key)
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<V: Clone + Default> Map<V> {
    /// Changes what `key` names, which is there only while it is not empty.
    pub(super) fn change(&mut self, key: &str, edit: impl FnOnce(&mut V), is_empty: impl FnOnce(&V) -> bool) {
        if self.shards.is_empty() {
            self.shards.push(Arc::default());
        }
        let place = place(key, self.shards.len());
        let Some(shard) = self.shards.get_mut(place).map(Arc::make_mut) else { return };
        if let Some(held) = shard.get_mut(key) {
            let held = Arc::make_mut(held);
            edit(held);
            if is_empty(held) {
                shard.remove(key);
                self.count -= 1;
            }
            return;
        }
        let mut fresh = V::default();
        edit(&mut fresh);
        if !is_empty(&fresh) {
            shard.insert(key.into(), Arc::new(fresh));
            self.count += 1;
            if self.count > self.shards.len() * CROWDED {
                self.spread();
            }
        }
    }

    /// Makes twice as many tables.
    fn spread(&mut self) {
        let shards = std::mem::take(&mut self.shards);
        let count = shards.len() * 2;
        let mut wider: Vec<Shard<V>> = std::iter::repeat_with(Shard::default).take(count).collect();
        for shard in shards {
            for (key, value) in Arc::unwrap_or_clone(shard) {
                if let Some(shard) = wider.get_mut(place(&key, count)) {
                    shard.insert(key, value);
                }
            }
        }
        self.shards = wider.into_iter().map(Arc::new).collect();
    }
}

/// Which of `count` tables `key` is in.
fn place(key: &str, count: usize) -> usize {
    if count < 2 {
        return 0;
    }
    let hash = FixedState::default().hash_one(key) >> SHIFT;
    usize::try_from(hash).unwrap_or(0) & (count - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn versions_hold_what_was_put_into_each(changes in vec((0_u16..400, 0_u8..4), 0..1500)) {
            let (mut map, mut model) = (Map::<u8>::default(), BTreeMap::new());
            let mut earlier = Vec::new();
            for (number, (key, value)) in changes.into_iter().enumerate() {
                if number % 300 == 0 {
                    earlier.push((map.clone(), model.clone()));
                }
                let key = format!("k{key}");
                map.change(&key, |held| *held = value, |held| *held == 0);
                if value == 0 { model.remove(&key) } else { model.insert(key, value) };
            }
            earlier.push((map, model));
            for (map, model) in earlier {
                prop_assert_eq!((map.count, map.is_empty()), (model.len(), model.is_empty()));
                for key in (0..400).map(|key| format!("k{key}")) {
                    prop_assert_eq!(map.get(&key).map(|value| **value), model.get(&key).copied());
                }
            }
        }
    }

    #[test]
    fn a_change_shares_all_other_tables() {
        let mut map = Map::<u8>::default();
        for number in 0..10_000 {
            map.change(&format!("k{number}"), |held| *held = 1, |_| false);
        }
        assert_eq!(map.shards.len(), 256);
        let largest = map.shards.iter().map(|shard| shard.len()).max();
        assert!(largest.is_some_and(|largest| largest < 3 * CROWDED), "{largest:?}");
        let before = map.clone();
        map.change("k77", |held| *held = 2, |_| false);
        let same = before.shards.iter().zip(&map.shards).filter(|(one, other)| Arc::ptr_eq(one, other));
        assert_eq!(same.count(), map.shards.len() - 1);
        assert_eq!(
            (before.get("k77").map(|held| **held), map.get("k77").map(|held| **held)),
            (Some(1), Some(2))
        );
    }
}
