//! What a load counted.

use std::time::{Duration, Instant};

/// The method of a request of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A GET.
    Get,
    /// A POST whose body is an id of its own.
    Post,
}

/// A request that did not get its 200.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its method.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// What came instead.
    pub what: String,
    /// How long after the load's start.
    pub at: Duration,
}

/// The counts of one load.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// GETs answered with 200.
    pub gets: usize,
    /// The ids of the POSTs answered with 200.
    pub posted: Vec<String>,
    /// Requests that failed.
    pub failures: Vec<Failure>,
    /// Connections that the peer closed without having said so in a response.
    pub closed_unannounced: usize,
    /// Connections that the peer closed after it had announced it.
    pub closed_announced: usize,
    /// When each success came.
    pub successes: Vec<Instant>,
}

impl Tally {
    /// How many requests succeeded.
    pub fn ok(&self) -> usize {
        self.gets + self.posted.len()
    }

    /// The failures of one method.
    pub fn failed(&self, kind: Kind) -> Vec<&Failure> {
        self.failures.iter().filter(|failure| failure.kind == kind).collect()
    }

    /// The longest time between two successes in a row.
    pub fn worst_gap(&self) -> Duration {
        let mut times = self.successes.clone();
        times.sort();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Fails the test unless every request succeeded and no connection was closed unannounced.
    ///
    /// # Panics
    /// In just that case.
    pub fn assert_flawless(&self) {
        assert!(
            self.failures.is_empty(),
            "{} of {} failed: {:#?}",
            self.failures.len(),
            self.ok(),
            self.failures
        );
        assert_eq!(self.closed_unannounced, 0, "client connections were closed unannounced");
    }
}
