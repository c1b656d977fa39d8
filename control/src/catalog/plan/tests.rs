//! Rules of planning, tried on the plan alone.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use weir_shared::{
    id::Epoch,
    model::{Config, Server, Upstream},
    table::Compiler,
    time::{Now, Timestamp},
};

use super::*;
use crate::{
    catalog::{
        change::{Binding, Naming, References, Shape},
        submitted::{Claims, Submitted},
    },
    store::{Commit, CommitMeta, Memory, Store, codec},
};

fn now(at: i64) -> Now {
    Now { wall: Timestamp(at), ..Now::default() }
}

fn server(n: u8, weight: u16) -> Server {
    Server { address: format!("s{n}:80"), weight, ..Server::default() }
}

fn submitted<T>(value: T) -> Submitted<T> {
    Submitted { value, claims: Claims::default() }
}

fn upstream(id: &str, servers: Vec<Server>, threshold: u8) -> Submitted<Upstream> {
    let id = id.to_owned();
    submitted(Upstream { id, servers, panic_threshold_percent: threshold, ..Upstream::default() })
}

/// Any change of a small world, valid by itself but perhaps not now.
fn any_change() -> impl Strategy<Value = Change> {
    let id = prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    let key = (0_u8..6).prop_map(|n| format!("s{n}-80"));
    let servers = prop::collection::btree_map(0_u8..6, 0_u16..3, 0..5)
        .prop_map(|servers| servers.into_iter().map(|(n, weight)| server(n, weight)).collect::<Vec<_>>())
        .prop_shuffle();
    (id, key, servers, 0_u16..3, 0_u8..3, 0..9).prop_map(|(id, key, servers, weight, threshold, kind)| {
        match kind {
            0 => Change::CreateUpstream {
                upstream: upstream(&id, servers, threshold),
                naming: Naming::Given,
                binding: Binding::Automatic,
            },
            1 | 2 => {
                Change::PutUpstream { upstream: upstream(&id, servers, threshold), id, binding: Binding::Off }
            }
            3 => Change::PatchUpstream { id, patch: json!({"panic_threshold_percent": threshold}) },
            4 => Change::DeleteUpstream { id, references: References::Unbind },
            5 => Change::AddServers { upstream: id, servers: submitted(servers), shape: Shape::Many },
            6 => Change::PutServer {
                upstream: id,
                server: submitted(server(key.as_bytes()[1] - b'0', weight)),
                key,
            },
            7 => Change::PatchServer { upstream: id, key, patch: json!({"weight": weight}) },
            _ => Change::DeleteServer { upstream: id, key },
        }
    })
}

/// Plans and commits changes one after the other; answers the last configuration.
async fn follow(changes: &[Change]) -> Arc<Config> {
    let store = Memory::default();
    store.initialise(Epoch("abc123".into())).await.unwrap();
    let compiler = Compiler { workers: 1, ..Compiler::default() };
    let mut config = Arc::new(Config::empty(Epoch("abc123".into())));
    let mut table = compiler.compile(Arc::clone(&config), None, now(0)).unwrap();
    for (at, change) in (1..).zip(changes) {
        let Ok(plan) = plan(&config, change, &Precondition::default(), None, now(at)) else { continue };
        if plan.outcome.effect == Effect::Unchanged {
            assert!(Arc::ptr_eq(&plan.next, &config) && plan.ops.is_empty());
            continue;
        }
        table = compiler.compile(Arc::clone(&plan.next), Some(&table), now(at)).unwrap();
        let commit =
            Commit { base: config.revision, ops: plan.ops, records: Vec::new(), meta: CommitMeta::default() };
        store.commit(commit).await.unwrap();
        config = plan.next;
        let stored = codec::decode(store.load().await.unwrap()).unwrap();
        assert_eq!(stored, *config, "what is stored is what is in force, after {change:?}");
    }
    config
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_stored_is_what_is_in_force(changes in prop::collection::vec(any_change(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(follow(&changes));
    }
}

#[tokio::test]
async fn one_server_among_many_costs_two_operations() {
    let many: Vec<Server> = (0..200).map(|n| server(n, 1)).collect();
    let make = Change::CreateUpstream {
        upstream: upstream("a", many, 50),
        naming: Naming::Given,
        binding: Binding::Automatic,
    };
    let config = follow(std::slice::from_ref(&make)).await;
    let key = "s7-80".to_owned();
    for change in [
        Change::PatchServer { upstream: "a".into(), key: key.clone(), patch: json!({"weight": 9}) },
        Change::DeleteServer { upstream: "a".into(), key },
        Change::AddServers {
            upstream: "a".into(),
            servers: submitted(vec![server(201, 1)]),
            shape: Shape::One,
        },
    ] {
        let plan = plan(&config, &change, &Precondition::default(), None, now(9)).unwrap();
        assert_eq!(plan.ops.len(), 2, "{change:?}");
        let (before, after) = (&config.upstreams["a"], &plan.next.upstreams["a"]);
        let kept =
            after.servers.iter().filter(|one| before.servers.iter().any(|other| Arc::ptr_eq(one, other)));
        assert!(kept.count() >= 199, "the others are shared");
    }
}

#[tokio::test]
async fn a_change_moves_the_revision_of_the_resource_and_its_parent_only() {
    let make = |id: &str| Change::CreateUpstream {
        upstream: upstream(id, vec![server(1, 1), server(2, 1)], 50),
        naming: Naming::Given,
        binding: Binding::Automatic,
    };
    let patch =
        Change::PatchServer { upstream: "a".into(), key: "s1-80".into(), patch: json!({"weight": 2}) };
    let config = follow(&[make("a"), make("b"), patch]).await;
    let revisions = |id: &str| {
        let record = &config.upstreams[id];
        let servers = record.servers.iter().map(|server| server.meta.revision.0);
        (record.meta.revision.0, servers.collect::<Vec<_>>())
    };
    assert_eq!(revisions("a"), (3, vec![3, 1]));
    assert_eq!(revisions("b"), (2, vec![2, 2]));
    assert_eq!(config.upstreams["a"].meta.created_at, Timestamp(1));
    assert_eq!(config.upstreams["a"].meta.updated_at, Timestamp(3));
}
