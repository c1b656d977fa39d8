//! How checks of a server ended: one, the last one, the last 32.

use std::time::Duration;

use super::Reason;
use crate::time::Timestamp;

/// How one check ended.
#[derive(Clone, Debug)]
pub struct CheckOutcome {
    /// `None`: passed.
    pub failure: Option<Reason>,
    /// What happened, for a person; empty for a pass.
    pub detail: String,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// How long the check took.
    pub duration: Duration,
}

/// The last 32 outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    passed: u32,
    len: u32,
}

impl History {
    pub(super) fn push(&mut self, outcome: &CheckOutcome) {
        self.passed = self.passed << 1 | u32::from(outcome.failure.is_none());
        self.len = (self.len + 1).min(u32::BITS);
    }

    /// `+` for a pass, `-` for a failure, newest right.
    #[must_use]
    pub fn to_text(self) -> String {
        (0..self.len).rev().map(|bit| if self.passed >> bit & 1 == 1 { '+' } else { '-' }).collect()
    }
}

/// The last check made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckRecord {
    /// When it ended.
    pub at: Timestamp,
    /// Whether it passed.
    pub ok: bool,
    /// Why it did not.
    pub failure: Option<Reason>,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: Duration,
}
