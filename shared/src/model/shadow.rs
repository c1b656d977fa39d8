//! A second way to pick servers, followed on paper.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Algorithm, Comparison, Hash, balancing, check::number};
use crate::error::{FieldError, Pointer};

/// A second algorithm that picks a server for each request as well. Nothing is sent to it: what it would have done is counted,
/// and shown beside what was done, so that a switch can be made on evidence. What is left out is as the upstream has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Shadow {
    /// How it picks. Default `least_time`.
    pub algorithm: Algorithm,
    /// How it compares servers; null: as the upstream does.
    #[schema(nullable)]
    pub comparison: Option<Comparison>,
    /// `latency.hot_quantile` of its own, 0 to 1, for `prequal`; null: the upstream's. What is taken for a server's latency is
    /// the same for both.
    #[schema(nullable, minimum = 0, maximum = 1)]
    pub hot_quantile: Option<f64>,
    /// Its keys, for `ring_hash` and `maglev`; null: the upstream's.
    #[schema(nullable)]
    pub hash: Option<Hash>,
}

/// Checks `shadow`.
pub(super) fn check(shadow: &Shadow, at: &Pointer, errors: &mut Vec<FieldError>) {
    if let Some(comparison) = &shadow.comparison {
        balancing::comparison(comparison, &at.at("comparison"), errors);
    }
    if let Some(quantile) = shadow.hot_quantile {
        number(quantile, 0.0..=1.0, &at.at("hot_quantile"), errors);
    }
    if let Some(hash) = &shadow.hash {
        balancing::hash(hash, &at.at("hash"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_pointed_at() {
        let mut errors = Vec::new();
        check(&Shadow::default(), &Pointer::root(), &mut errors);
        assert!(errors.is_empty(), "defaults are valid: {errors:?}");
        let bad = Shadow {
            algorithm: Algorithm::Maglev,
            comparison: Some(Comparison { choice_count: 1, ..Comparison::default() }),
            hot_quantile: Some(1.5),
            hash: Some(Hash { ipv4_prefix: 33, ..Hash::default() }),
        };
        check(&bad, &Pointer::root(), &mut errors);
        let found: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
        assert_eq!(found, ["#/comparison/choice_count", "#/hot_quantile", "#/hash/ipv4_prefix"]);
    }
}
