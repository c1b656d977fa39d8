//! A tree whose versions share all but the branch to what changed. Of paths the steps are segments, of hosts labels.
//!
//! A change copies what is on its branch.
//!
//! Hot path: no allocation where nothing is changed.

use std::sync::Arc;

use super::map::Map;

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
    below: Map<Self>,
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
        self.below.change(step, |tree| tree.change(steps, edit), Self::is_empty);
    }
}
