//! Notices when the end of a certificate comes near, and tells it: 30, 7 and 1 days before, and when it has come.
//!
//! Each is told once by a process for one certificate; a renewed one is another. What was due before a process started is told
//! when it starts, so that nobody has to be listening at the right minute.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;
use weir_shared::{
    id::CertificateId,
    table::TableReader,
    time::{Now, Timestamp},
    tls::{Certificate, CertificateStatus},
};

use super::{Bus, Observed};
use crate::{clock::Clock, status::days_left};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Days before the end at which it is told.
const TOLD_AT: [i64; 3] = [30, 7, 1];

/// A certificate whose end is near, or has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CertificateEvent {
    /// The certificate.
    #[schema(example = "site")]
    pub certificate: String,
    /// `expiring` or `expired`.
    pub status: CertificateStatus,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Whole days until then; negative when it has expired.
    #[schema(example = 6)]
    pub days_left: i64,
    /// When it was noticed.
    pub at: Timestamp,
    /// The process that noticed it.
    #[schema(value_type = String, example = "lb-1")]
    pub node: Arc<str>,
}

/// Looks at every certificate and tells the bus whose end is near.
#[derive(Debug)]
pub(crate) struct CertificateObserver {
    reader: TableReader,
    bus: Bus,
    clock: Clock,
    node: Arc<str>,
    /// Of each certificate how far what was told had come, and of which one it was told.
    told: HashMap<CertificateId, (Arc<Certificate>, usize)>,
}

impl CertificateObserver {
    /// Has told nothing yet. `node` is this process.
    #[must_use]
    pub(crate) fn new(reader: TableReader, bus: Bus, clock: Clock, node: &str) -> Self {
        Self { reader, bus, clock, node: node.into(), told: HashMap::new() }
    }

    /// Looks for ever. Run it on the control plane's runtime.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let events = self.look(self.clock.now());
            self.bus.publish_all(Observed::Certificates, "", &events);
        }
    }

    /// What is to be told at `now`.
    fn look(&mut self, now: Now) -> Vec<CertificateEvent> {
        let table = self.reader.snapshot();
        self.told.retain(|id, _| table.certificate(id.as_str()).is_some());
        let mut events = Vec::new();
        for certificate in table.certificates() {
            let step = step(certificate.facts.not_after, now.wall);
            let told = match self.told.get(&certificate.id) {
                Some((same, told)) if Arc::ptr_eq(same, certificate) => *told,
                _ => 0,
            };
            if step > told {
                events.push(CertificateEvent {
                    certificate: certificate.id.to_string(),
                    status: certificate.status(now.wall),
                    not_after: certificate.facts.not_after,
                    days_left: days_left(certificate.facts.not_after, now.wall),
                    at: now.wall,
                    node: Arc::clone(&self.node),
                });
            }
            if step > 0 {
                self.told.insert(certificate.id.clone(), (Arc::clone(certificate), step));
            }
        }
        events
    }
}

/// How many of the times at which it is told have come.
fn step(not_after: Timestamp, now: Timestamp) -> usize {
    let left = days_left(not_after, now);
    TOLD_AT.iter().filter(|days| left < **days).count() + usize::from(now > not_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_in_steps() {
        let day = 24 * 3600 * 1000;
        let steps = |left: i64| step(Timestamp(1000 * day), Timestamp(1000 * day - left));
        for (left, expected) in [
            (31 * day, 0),
            (30 * day, 0),
            (30 * day - 1, 1),
            (7 * day - 1, 2),
            (day, 2),
            (day - 1, 3),
            (0, 3),
            (-1, 4),
        ] {
            assert_eq!(steps(left), expected, "{left}");
        }
    }
}
