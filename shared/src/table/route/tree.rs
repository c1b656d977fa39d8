//! A tree whose versions share all but the branch to what changed. Of paths the steps are segments, of hosts labels.
//!
//! A step is found by its hash, among ten thousand as among ten; a change copies what is on its branch.
//!
//! Hot path: no allocation where nothing is changed.

use std::sync::Arc;

use foldhash::fast::FixedState;
use rpds::HashTrieMapSync;

/// A map whose clone is one pointer.
pub(super) type Map<V> = HashTrieMapSync<Box<str>, V, FixedState>;

/// What a place in the tree may hold.
pub(super) trait Content: Clone + Default {
    /// Whether the place need not be there.
    fn is_empty(&self) -> bool;
}

/// A place in the tree, with those below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree<T> {
    /// What is here.
    pub(super) here: T,
    below: Map<Arc<Self>>,
}

impl<T: Content> Tree<T> {
    /// The place that `step` leads to.
    pub(super) fn step(&self, step: &str) -> Option<&Self> {
        self.below.get(step).map(Arc::as_ref)
    }

    /// Whether no step leads anywhere.
    pub(super) fn is_leaf(&self) -> bool {
        self.below.is_empty()
    }

    /// Whether nothing is here or below.
    pub(super) fn is_empty(&self) -> bool {
        self.is_leaf() && self.here.is_empty()
    }

    /// Changes what is at the end of `steps`.
    pub(super) fn change<'s>(
        &mut self,
        steps: &mut dyn Iterator<Item = &'s str>,
        edit: &mut dyn FnMut(&mut T),
    ) {
        let Some(step) = steps.next() else { return edit(&mut self.here) };
        change(&mut self.below, step, |tree| tree.change(steps, edit), Self::is_empty);
    }
}

/// Changes what `map` holds for `key`, which is there only while it is not empty.
pub(super) fn change<T: Clone + Default>(
    map: &mut Map<Arc<T>>,
    key: &str,
    edit: impl FnOnce(&mut T),
    is_empty: impl FnOnce(&T) -> bool,
) {
    match map.get_mut(key) {
        Some(held) => {
            let held = Arc::make_mut(held);
            edit(held);
            if is_empty(held) {
                map.remove_mut(key);
            }
        }
        None => {
            let mut fresh = T::default();
            edit(&mut fresh);
            if !is_empty(&fresh) {
                map.insert_mut(key.into(), Arc::new(fresh));
            }
        }
    }
}
