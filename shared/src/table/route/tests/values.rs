//! Routes of one path that are told apart by the values of fields and parameters.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Asked, compiled, config};
use crate::{
    id::RouteId,
    model::Config,
    table::{
        Table,
        route::{Alike, tree::Content as _},
    },
};

/// A route for each of `count` tenants of production, by a field or, every other one, by a parameter; and some beside them.
fn tenants(count: usize) -> Table {
    let production = json!({"name": "x-env", "value": "production"});
    let tenant = |n: usize| {
        let wanted = json!({"name": "tenant", "value": format!("t {n}")});
        let matches = match n % 2 {
            0 => json!({"headers": [production, wanted]}),
            _ => json!({"headers": [production], "query": [wanted]}),
        };
        json!({"id": format!("t{n}"), "match": matches})
    };
    let others = [
        json!({"id": "default"}),
        json!({"id": "env", "match": {"headers": [production]}}),
        json!({"id": "tool", "match": {"headers": [{"name": "tool", "type": "present"}, {"name": "tenant", "value": "t 2"}]}}),
        json!({"id": "first", "priority": 5, "match": {"headers": [{"name": "tenant", "value": "t 4"}]}}),
    ];
    let all: Vec<Value> = (0..count).map(tenant).chain(others).collect();
    compiled(config(&json!(all)), None)
}

fn asked(text: &str, tenants: &[&str]) -> Asked {
    let mut asked = Asked::parse(text);
    for tenant in tenants {
        asked.headers.append("tenant", tenant.parse().unwrap());
    }
    asked
}

#[test]
fn the_value_decides() {
    let table = tenants(100);
    for (request, lines, expected) in [
        ("GET a/ x-env:production", &["t 8"][..], "t8"),
        ("GET a/ x-env:production", &["nobody", "t 8"], "t8"),
        ("GET a/ x-env:production", &["t 8", "t 10"], "t10"),
        ("GET a/ x-env:test", &["t 8"], "default"),
        ("GET a/ x-env:production", &["t 7"], "env"),
        ("GET a/?tenant=t+7 x-env:production", &[], "t7"),
        ("GET a/?tenant=%74%207 x-env:production", &[], "t7"),
        ("GET a/?tenant=t%ff7 x-env:production", &[], "env"),
        ("GET a/?tenant=t+9&tenant=t+7 x-env:production", &[], "t9"),
        ("GET a/?tenant=t+7 x-env:production", &["t 8"], "t8"),
        ("GET a/ x-env:production tool:1", &["t 2"], "t2"),
        ("GET a/ tool:1", &["t 2"], "tool"),
        ("GET a/ x-env:production", &["t 4"], "first"),
        ("GET a/", &[], "default"),
    ] {
        assert_eq!(asked(request, lines).routed(&table), expected, "{request} {lines:?}");
    }
}

#[test]
fn what_changes_is_found_where_it_is() {
    let before = tenants(100);
    let mut config = Config::clone(before.config());
    config.routes.remove_mut("t8");
    let mut record = (**config.routes.get("t10").unwrap()).clone();
    record.spec.matches.headers[1].value = "moved".into();
    config.routes.insert_mut(RouteId::new("t10"), Arc::new(record));
    let after = compiled(config, Some(&before));
    let find = |table: &Table, tenant| asked("GET a/ x-env:production", &[tenant]).routed(table);
    assert_eq!([find(&before, "t 8"), find(&before, "t 10"), find(&before, "moved")], ["t8", "t10", "env"]);
    assert_eq!([find(&after, "t 8"), find(&after, "t 10"), find(&after, "moved")], ["env", "env", "t10"]);
}

/// The value that all have in common does not gather them in one place.
#[test]
fn few_are_tried_however_many_there_are() {
    let table = tenants(1000);
    let mut alike = Alike::default();
    table.routes().iter().for_each(|route| alike.insert(route));
    let mut tried = 0;
    asked("GET a/?tenant=t+7 x-env:production", &["t 8"])
        .with(|request| alike.each(request, |routes| tried += routes.len()));
    assert!(tried < 10, "{tried}");
    table.routes().iter().for_each(|route| alike.remove(route));
    assert!(alike.is_empty());
}
