//! Numbers that only grow, one set per worker, summed when read.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Histogram, HistogramCounts, PerWorker};

/// A number written by one thread and read by any. Not for two writers: an addition is a load and a store, which costs
/// a fraction of an atomic addition.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Takes `amount` away; for gauges.
    pub fn sub(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(amount), Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the number.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident, $(#[$totals_doc:meta])* $totals:ident {
        $($(#[$hot_doc:meta])* $hot:ident),* ; $($(#[$field_doc:meta])* $field:ident,)*
    }) => {
        /// What each request counts comes first: what a good answer takes is on one cache line, but for its latency.
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(C, align(64))]
        pub struct $name {
            $($(#[$hot_doc])* pub $hot: Counter,)*
            /// Responses by class: 1xx to 5xx.
            pub responses: [Counter; 5],
            /// Time to the first byte of the response.
            pub latency: Histogram,
            $($(#[$field_doc])* pub $field: Counter,)*
            /// Time to open a connection.
            pub connect_latency: Histogram,
        }

        impl $name {
            /// Counts a response with `status`.
            pub fn count_response(&self, status: u16) {
                if let Some(class) = self.responses.get(usize::from(status / 100).wrapping_sub(1)) {
                    class.add(1);
                }
            }
        }

        $(#[$totals_doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $totals {
            $($(#[$hot_doc])* pub $hot: u64,)*
            $($(#[$field_doc])* pub $field: u64,)*
            /// Responses by class: 1xx to 5xx.
            pub responses: [u64; 5],
            /// Time to the first byte of the response.
            pub latency: HistogramCounts,
            /// Time to open a connection.
            pub connect_latency: HistogramCounts,
        }

        impl $totals {
            /// Sums over all workers.
            #[must_use]
            pub fn sum(workers: &PerWorker<$name>) -> Self {
                let mut totals = Self::default();
                for worker in workers.iter() {
                    $(totals.$hot = totals.$hot.wrapping_add(worker.$hot.value());)*
                    $(totals.$field = totals.$field.wrapping_add(worker.$field.value());)*
                    for (sum, class) in totals.responses.iter_mut().zip(&worker.responses) {
                        *sum = sum.wrapping_add(class.value());
                    }
                    totals.latency.add(&worker.latency);
                    totals.connect_latency.add(&worker.connect_latency);
                }
                totals
            }
        }
    };
}

counters! {
    /// What one worker counted at one server.
    ServerCounters,
    /// What all workers counted at one server.
    ServerTotals {
        /// Attempts made.
        requests,
        /// Bytes of request bodies and heads sent to the server.
        bytes_sent,
        /// Bytes of response bodies and heads received from the server.
        bytes_received,
        /// Gauge: connections with a request on them.
        connections_active,
        /// Gauge: connections kept for reuse.
        connections_idle;
        /// Connections that could not be opened.
        connect_errors,
        /// Attempts that got no response in time.
        timeouts,
        /// Connections that ended, or answered nonsense, before the response was complete.
        resets,
        /// Attempts that count against the server: with a status that is an error, or without a complete answer.
        failures,
        /// Those of them that ended without a status.
        unanswered,
        /// Attempts given up at the end of a drain.
        cut,
        /// Attempts that were repeats of one that failed elsewhere.
        retries,
        /// Connections opened.
        connections_opened,
    }
}

counters! {
    /// What one worker counted at one upstream.
    UpstreamCounters,
    /// What all workers counted at one upstream.
    UpstreamTotals {
        /// Requests routed here.
        requests;
        /// Requests answered by Weir itself with an error (no server, all attempts failed).
        failures,
        /// Requests refused because no server was eligible.
        no_server,
        /// Requests refused because the limits left no room, not even to wait.
        limit_reached,
        /// Requests that waited for room.
        queued,
        /// Requests refused because they had waited for too long.
        queue_timeouts,
        /// Time that requests have waited, in microseconds.
        queued_micros,
        /// Attempts after the first.
        retries,
        /// Retries not made because the budget was spent.
        retries_refused,
        /// Requests sent to a second server while the first was still owing an answer.
        hedges,
        /// Of those, the ones that the second server answered first.
        hedges_won,
    }
}
