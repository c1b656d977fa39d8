//! A second way to pick servers, followed on paper, compiled.

use std::sync::Arc;

use super::{HashTable, LatencyPolicy, Placement, Server, Upstream};
use crate::{
    model::{self, Algorithm, Comparison},
    state::{Decay, ShadowState},
    time::Now,
};

/// A second algorithm that picks as well and to whose servers nothing is sent.
#[derive(Debug)]
pub struct Shadow {
    /// How a server is picked.
    pub algorithm: Algorithm,
    /// How servers are compared.
    pub comparison: Comparison,
    /// What is taken for a server's latency.
    pub latency: LatencyPolicy,
    /// Which server a request's key belongs to; `None`: keys are not used.
    pub hash: Option<HashTable>,
    /// Bounded loads: the most a server may have of what would be its own, in percent; 0 = no bound.
    pub balance_percent: u16,
    /// What it has done.
    pub state: Arc<ShadowState>,
}

impl Shadow {
    /// The shadow of the upstream of `spec`, if it has one. What it has done is taken over from the upstream `before`, unless
    /// one of the two ways to pick has changed.
    pub(super) fn compile(
        spec: &model::Upstream,
        servers: &[Arc<Server>],
        placement: &Placement,
        before: Option<&Upstream>,
        workers: usize,
        now: Now,
    ) -> Option<Self> {
        let shadow = spec.shadow.as_ref()?;
        let hash = hash(spec)?;
        let unchanged = before.filter(|before| is_same(&before.record.spec, spec));
        let known = unchanged.and_then(|before| before.shadow.as_ref());
        let state =
            known.map_or_else(|| Arc::new(ShadowState::new(workers, now)), |known| Arc::clone(&known.state));
        Some(Self {
            algorithm: shadow.algorithm,
            comparison: shadow.comparison.clone().unwrap_or_else(|| spec.comparison.clone()),
            latency: LatencyPolicy {
                decay: Decay::after(spec.latency.decay_time.duration()),
                hot_quantile: shadow.hot_quantile.unwrap_or(spec.latency.hot_quantile),
            },
            hash: HashTable::build(
                shadow.algorithm,
                hash,
                servers,
                placement,
                known.and_then(|known| known.hash.as_ref()),
            ),
            balance_percent: if shadow.algorithm.uses_key() { hash.balance_percent } else { 0 },
            state,
        })
    }
}

/// What a key of the shadow of `spec` is made of; `None` without one.
pub(super) fn hash(spec: &model::Upstream) -> Option<&model::Hash> {
    spec.shadow.as_ref().map(|shadow| shadow.hash.as_ref().unwrap_or(&spec.hash))
}

/// Whether both ways to pick are the same.
fn is_same(one: &model::Upstream, other: &model::Upstream) -> bool {
    one.shadow == other.shadow
        && one.algorithm == other.algorithm
        && one.comparison == other.comparison
        && one.latency == other.latency
        && one.hash == other.hash
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        id::{Epoch, Revision},
        model::{Document, Meta},
        table::{Compiler, Table},
        time::{Moment, Now, Timestamp},
    };

    fn table(settings: &Value, before: Option<&Table>, second: u64) -> Table {
        let mut upstream = json!({"id": "web", "servers": [{"id": "a", "address": "10.0.0.1:80"}]});
        upstream.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let document: Document = serde_json::from_value(json!({"upstreams": [upstream]})).unwrap();
        let config = document.into_config(Revision(second), Epoch("abc123".into()), Meta::default());
        let now = Now { moment: Moment(second * 1_000_000), wall: Timestamp(0) };
        Compiler { workers: 1, ..Compiler::default() }.compile(config.into(), before, now).unwrap()
    }

    #[test]
    fn numbers_begin_anew_when_one_of_the_two_algorithms_changes_and_only_then() {
        let shadow = json!({"algorithm": "prequal"});
        let mut before = table(&json!({"algorithm": "random", "shadow": shadow}), None, 1);
        for (second, (settings, is_kept)) in (2..).zip([
            (json!({"algorithm": "random", "shadow": shadow, "description": "other"}), true),
            (json!({"algorithm": "random", "shadow": shadow, "retries": {"attempts": 0}}), true),
            (json!({"algorithm": "round_robin", "shadow": shadow}), false),
            (json!({"algorithm": "round_robin", "shadow": {"algorithm": "maglev"}}), false),
            (json!({"algorithm": "round_robin", "shadow": {"algorithm": "maglev", "hash": {"on": "path"}}}), false),
        ]) {
            let after = table(&settings, Some(&before), second);
            let (old, new) = (before.upstream("web").unwrap(), after.upstream("web").unwrap());
            let [one, other] = [old, new].map(|upstream| &upstream.shadow.as_ref().unwrap().state);
            assert_eq!(std::sync::Arc::ptr_eq(one, other), is_kept, "{settings}");
            assert!(std::sync::Arc::ptr_eq(&old.state, &new.state), "what is real is kept");
            before = after;
        }
        let off = table(&json!({"algorithm": "round_robin"}), Some(&before), 9);
        let upstream = off.upstream("web").unwrap();
        assert!(upstream.shadow.is_none() && upstream.latency.is_none(), "nothing is measured any more");
    }
}
