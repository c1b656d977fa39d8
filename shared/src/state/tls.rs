//! What came of clients' TLS handshakes.

use super::{Counter, PerWorker};

/// Why a client's handshake failed. There are no more reasons than these, so that no client can add a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It took longer than a header section may.
    Timeout,
    /// The client left.
    Closed,
    /// What came is not TLS, or breaks it.
    Malformed,
    /// Client and listener have no version, cipher or protocol in common.
    Incompatible,
    /// The client names a host that no certificate is for, where that is refused.
    UnknownName,
    /// The client's certificate is missing or not accepted.
    ClientCertificate,
    /// The client does not accept the certificate, or something else.
    RefusedByClient,
    /// A fault of Weir.
    Internal,
}

impl HandshakeFailure {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Timeout,
        Self::Closed,
        Self::Malformed,
        Self::Incompatible,
        Self::UnknownName,
        Self::ClientCertificate,
        Self::RefusedByClient,
        Self::Internal,
    ];

    /// The reason as a word, as in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::Incompatible => "incompatible",
            Self::UnknownName => "unknown_name",
            Self::ClientCertificate => "client_certificate",
            Self::RefusedByClient => "refused_by_client",
            Self::Internal => "internal",
        }
    }
}

/// What one worker counted of handshakes.
#[derive(Debug, Default)]
pub struct TlsCounters {
    /// Handshakes that were made.
    pub handshakes: Counter,
    /// Those of them that went on with an earlier session.
    pub resumed: Counter,
    failures: [Counter; HandshakeFailure::ALL.len()],
}

impl TlsCounters {
    /// Counts a handshake that failed.
    pub fn failed(&self, why: HandshakeFailure) {
        if let Some(counter) = self.failures.get(why as usize) {
            counter.add(1);
        }
    }
}

/// What all workers counted of handshakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsTotals {
    /// Handshakes that were made.
    pub handshakes: u64,
    /// Those of them that went on with an earlier session.
    pub resumed: u64,
    failures: [u64; HandshakeFailure::ALL.len()],
}

impl TlsTotals {
    /// Sums over all workers, each of whose counters `tls` finds.
    #[must_use]
    pub fn sum<C: Default>(workers: &PerWorker<C>, tls: impl Fn(&C) -> &TlsCounters) -> Self {
        let mut totals = Self::default();
        for worker in workers.iter().map(tls) {
            totals.handshakes += worker.handshakes.value();
            totals.resumed += worker.resumed.value();
            for (total, failures) in totals.failures.iter_mut().zip(&worker.failures) {
                *total += failures.value();
            }
        }
        totals
    }

    /// Handshakes that failed for this reason.
    #[must_use]
    pub fn failed(&self, why: HandshakeFailure) -> u64 {
        self.failures.get(why as usize).copied().unwrap_or(0)
    }
}
