//! Routes by regular expression that hang at one place of the tree, a few dozen to a group.
//!
//! A full group has an automaton for all its expressions together, which tells in one pass over a path whether any of them matches.
//! Most paths match none of most groups, so that hundreds of expressions cost what a dozen do. Only the last group is not full:
//! whatever comes or goes, one automaton is made, or none. One that would take too much memory is done without.
//!
//! Hot path: no allocation.

use std::sync::Arc;

use regex::bytes::RegexSet;

use super::{Ranked, Route, insert};
use crate::pattern;

/// Routes of a full group.
const GROUP: usize = 32;

/// Routes by regular expression.
#[derive(Clone, Debug, Default)]
pub(super) struct Expressions {
    groups: Vec<Arc<Group>>,
}

/// Some of them, the first in order first.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) routes: Ranked,
    /// All their expressions.
    any: Option<RegexSet>,
}

impl Expressions {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// All of them, in no order.
    pub(super) fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    /// Takes `route` in.
    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        match self.groups.last_mut() {
            Some(last) if last.routes.len() < GROUP => Arc::make_mut(last).insert(route),
            _ => {
                let mut fresh = Group::default();
                fresh.insert(route);
                self.groups.push(Arc::new(fresh));
            }
        }
    }

    /// Takes `route` out.
    pub(super) fn remove(&mut self, route: &Route) {
        let is_there = |group: &Arc<Group>| group.routes.iter().any(|other| other.id == route.id);
        let Some(at) = self.groups.iter().position(is_there) else { return };
        let others = self.groups.len() - 1;
        let last = self.groups.last_mut().filter(|_| at < others);
        let filler = last.and_then(|last| Arc::make_mut(last).pop());
        if let Some(group) = self.groups.get_mut(at).map(Arc::make_mut) {
            group.any = None;
            group.routes.retain(|other| other.id != route.id);
            if let Some(filler) = filler {
                group.insert(&filler);
            }
        }
        self.groups.pop_if(|last| last.routes.is_empty());
    }
}

impl Group {
    fn insert(&mut self, route: &Arc<Route>) {
        insert(&mut self.routes, route);
        if self.routes.len() == GROUP {
            let expressions = self.routes.iter().map(|route| route.record.spec.matches.path.value.as_str());
            self.any = pattern::any(expressions);
        }
    }

    fn pop(&mut self) -> Option<Arc<Route>> {
        self.any = None;
        self.routes.pop()
    }

    /// Whether one of them may match `path`.
    pub(super) fn may_match(&self, path: &str) -> bool {
        self.any.as_ref().is_none_or(|any| any.is_match(path.as_bytes()))
    }
}
