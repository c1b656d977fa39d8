//! The data plane's clocks. Both planes count from the same base, so that their moments compare.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use weir_shared::time::{Moment, Now, Timestamp};

/// Reads the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base: Instant,
}

impl Clock {
    pub(crate) fn new(base: Instant) -> Self {
        Self { base }
    }

    /// For ordering and measuring.
    pub(crate) fn moment(self) -> Moment {
        Moment::from_elapsed(self.base.elapsed())
    }

    /// Both clocks; for rare events that people will read about.
    pub(crate) fn now(self) -> Now {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX));
        Now { moment: self.moment(), wall }
    }
}
