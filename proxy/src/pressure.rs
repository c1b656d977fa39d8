//! Whether the process uses more memory than it may.
//!
//! One worker reads the process's own memory ten times a second, off the path of requests; all of them look at the verdict.
//! Above the limit the newest work is refused: new connections and new requests. What is under way goes on, because ending
//! it would throw work away that has cost memory already.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

/// Where Linux says what a process uses (proc(5)).
const STATUS: &str = "/proc/self/status";
/// Memory that only swapping could free: not that of files, which the kernel takes back by itself.
const ANONYMOUS: &str = "RssAnon:";

/// How much memory there may be in use, and whether there is more.
#[derive(Debug)]
pub(crate) struct Pressure {
    /// In bytes; 0 for any amount.
    limit: u64,
    is_high: AtomicBool,
}

impl Pressure {
    /// None, as long as no more than `limit` bytes are used; 0 for any number.
    pub(crate) fn new(limit: u64) -> Self {
        let pressure = Self { limit, is_high: AtomicBool::new(false) };
        pressure.look();
        pressure
    }

    /// Whether new work is refused.
    pub(crate) fn is_high(&self) -> bool {
        self.is_high.load(Ordering::Relaxed)
    }

    /// Reads what is used now. Where that cannot be told, nothing is refused.
    pub(crate) fn look(&self) {
        if self.limit == 0 {
            return;
        }
        let used = fs::read_to_string(STATUS).ok().and_then(|status| anonymous_bytes(&status)).unwrap_or(0);
        let was_high = self.is_high();
        let is_high = used > if was_high { eased(self.limit) } else { self.limit };
        self.is_high.store(is_high, Ordering::Relaxed);
        if is_high && !was_high {
            tracing::warn!(used, limit = self.limit, "memory is short: new work is refused");
        } else if was_high && !is_high {
            tracing::info!(used, limit = self.limit, "memory is no longer short");
        }
    }
}

/// How much may be used for pressure to end: a twentieth of the limit must be free, or every page that is freed would let
/// work in that was just refused.
fn eased(limit: u64) -> u64 {
    limit - limit / 20
}

fn anonymous_bytes(status: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(ANONYMOUS))?;
    let kibibytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_ends_when_some_memory_is_free_again() {
        assert_eq!([0, 1, 1000].map(eased), [0, 1, 950]);
    }

    #[test]
    fn memory_is_read_from_the_status_of_the_process() {
        let status = "VmRSS:\t    9000 kB\nRssAnon:\t    1234 kB\nRssFile:\t 10 kB\n";
        assert_eq!(anonymous_bytes(status), Some(1234 * 1024));
        assert_eq!(anonymous_bytes("VmRSS: 1 kB\n"), None);
        assert!(Pressure::new(1).is_high(), "this process uses more than a byte");
        assert!(!Pressure::new(0).is_high() && !Pressure::new(1 << 50).is_high());
    }
}
