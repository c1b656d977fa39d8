//! How long certificates last, for dashboards.

use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{
    table::Table,
    time::Timestamp,
    tls::{Certificate, CertificateStatus},
};

/// Certificates named on a page at most.
const MAX_NAMED: usize = 100;

/// Certificates by what can be done with them, and those that want looking after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CertificatesView {
    /// Certificates there are.
    pub total: usize,
    /// Those that can be used for more than 30 days from now.
    pub ok: usize,
    /// Those that can be used for 30 days at most.
    pub expiring: usize,
    /// Those that have expired.
    pub expired: usize,
    /// Those that cannot be used yet.
    pub not_yet_valid: usize,
    /// The first hundred that are not `ok`, beginning with the one that ends first.
    pub attention: Vec<CertificateView>,
}

/// A certificate that wants looking after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CertificateHealth)]
pub struct CertificateView {
    /// Its name.
    #[schema(example = "site")]
    pub id: String,
    /// What is the matter.
    pub status: CertificateStatus,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Whole days until then; negative when it has expired.
    #[schema(example = 12)]
    pub days_left: i64,
}

impl CertificateView {
    fn of(certificate: &Certificate, now: Timestamp) -> Self {
        let not_after = certificate.facts.not_after;
        Self {
            id: certificate.id.to_string(),
            status: certificate.status(now),
            not_after,
            days_left: days_left(not_after, now),
        }
    }
}

/// Whole days from `now` until `not_after`; negative when that has passed.
#[must_use]
pub fn days_left(not_after: Timestamp, now: Timestamp) -> i64 {
    not_after.0.saturating_sub(now.0).div_euclid(24 * 3600 * 1000)
}

/// The certificates of `table` as they are at `now`.
#[must_use]
pub(super) fn view(table: &Table, now: Timestamp) -> CertificatesView {
    let mut view = CertificatesView { total: table.certificates().len(), ..CertificatesView::default() };
    let mut attention = Vec::new();
    for certificate in table.certificates() {
        let count = match certificate.status(now) {
            CertificateStatus::Ok => {
                view.ok += 1;
                continue;
            }
            CertificateStatus::Expiring => &mut view.expiring,
            CertificateStatus::Expired => &mut view.expired,
            CertificateStatus::NotYetValid => &mut view.not_yet_valid,
        };
        *count += 1;
        attention.push(certificate);
    }
    attention.sort_by_key(|certificate| certificate.facts.not_after);
    view.attention = attention
        .into_iter()
        .take(MAX_NAMED)
        .map(|certificate| CertificateView::of(certificate, now))
        .collect();
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_negative_when_over() {
        let day = 24 * 3600 * 1000;
        let left = |not_after: i64| days_left(Timestamp(not_after), Timestamp(10 * day));
        assert_eq!(left(11 * day), 1);
        assert_eq!(left(11 * day - 1), 0);
        assert_eq!(left(10 * day - 1), -1);
    }
}
