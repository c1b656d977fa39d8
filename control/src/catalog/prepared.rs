//! What a change comes to, worked out apart from the one writer.
//!
//! A whole configuration takes time to plan, compile and compare, in which the writer could make a hundred small changes. All
//! of that is a function of the table in force and the change. So it is done before the writer is asked; the writer commits
//! it if that table is still in force, and gives it back if not, to be done again.

use std::sync::Arc;

use weir_shared::{
    table::{Compiler, Table},
    time::Now,
};

use super::{
    Applied, Mode, Request,
    change::{Change, Effect},
    diff::Summary,
    faults::relative_to,
    plan::{self, Plan},
};
use crate::error::CatalogError;

/// A change worked out.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The table it is the next one of.
    pub(super) base: Arc<Table>,
    /// What is to be done.
    pub(super) plan: Plan,
    /// The next table; `None` when nothing changes.
    pub(super) table: Option<Table>,
    /// The places that it makes different.
    pub(super) changes: Arc<Summary>,
    /// When it was worked out.
    pub(super) now: Now,
}

impl Prepared {
    /// Works out what `change`, which `request` comes to, makes of `base`. `planned` is told when the plan is made.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn new(
        compiler: &Compiler,
        request: &Request,
        change: &Change,
        base: Arc<Table>,
        now: Now,
        planned: impl FnOnce(),
    ) -> Result<Self, CatalogError> {
        let plan = plan::plan(base.config(), change, &request.precondition, Some(&compiler.flags), now)?;
        // A trial shows what would be lost, for the caller to know what it confirms.
        if request.mode == Mode::Commit && !plan.outcome.losses.is_empty() {
            return Err(CatalogError::LargeChange { revision: base.revision(), losses: plan.outcome.losses });
        }
        planned();
        if plan.outcome.effect == Effect::Unchanged {
            return Ok(Self { base, plan, table: None, changes: Arc::default(), now });
        }
        let table = compiler
            .compile(Arc::clone(&plan.next), Some(&base), now)
            .map_err(|invalid| relative_to(&request.change, invalid))?;
        let changes = match request.mode {
            Mode::Commit => Arc::new(Summary::since(base.config(), &table)),
            Mode::DryRun => Arc::default(),
        };
        Ok(Self { base, plan, table: Some(table), changes, now })
    }

    /// What came of it, where that is nothing: it was only tried, or everything was so already.
    pub(super) fn untouched(self) -> Applied {
        let Plan { next, ops: _, outcome } = self.plan;
        let before = Arc::clone(self.base.config());
        Applied { before, config: next, outcome, changes: self.changes, drain: None }
    }
}
