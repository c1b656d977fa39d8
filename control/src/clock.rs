//! The one clock of the process, in the form the shared code takes.
//!
//! Both planes measure from the same base, so that a [`Moment`] noted by one means the same to the other. It is tokio's
//! clock, which tests can pause.

use std::time::SystemTime;

use tokio::time::Instant;
use weir_shared::time::{Moment, Now, Timestamp};

/// Reads both clocks, counting from a base given by the binary.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
}

impl Clock {
    /// A clock whose moments count from `base`.
    #[must_use]
    pub fn new(base: Instant) -> Self {
        Self { base }
    }

    /// Both clocks, now.
    #[must_use]
    pub fn now(&self) -> Now {
        // A clock set before 1970 is shown as 1970; nothing but display depends on it.
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now {
            moment: Moment::from_elapsed(self.base.elapsed()),
            wall: Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}
