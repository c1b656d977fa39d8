//! What differs between two configurations, as places in a tree in which everything is named by its id.
//!
//! Ids and not positions, so that a place means the same after something before it was removed: a server's weight is at
//! `/upstreams/web/servers/10.0.0.7-8080/weight`. Pure, and cheap where the two share what did not change.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use weir_shared::{
    id::UpstreamId,
    model::{Config, ServerRecord, UpstreamRecord},
    sharing::{Change, changed, middle},
    table::Table,
};

/// Differences named in the history and in events; a change of more than these says how many there are.
const MAX_NOTED: usize = 100;

/// What became of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// It was not there before.
    Add,
    /// It is not there any more.
    Remove,
    /// It holds something else.
    Replace,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// What became of the place.
    pub op: Edit,
    /// The place: a JSON Pointer (RFC 6901) into a tree keyed by id.
    #[schema(example = "/upstreams/web/servers/10.0.0.7-8080/weight")]
    pub path: String,
    /// What it held before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// What it holds now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// A place that differs, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// What became of the place.
    pub op: Edit,
    /// The place.
    #[schema(example = "/upstreams/web")]
    pub path: String,
}

/// The places a revision changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// How many there are.
    pub total: usize,
    /// The first hundred of them.
    pub changes: Vec<Note>,
}

impl Summary {
    /// The places that differ in `table` from `before`, in the order of [`diff`]. What they hold is not written out.
    #[must_use]
    pub fn since(before: &Arc<Config>, table: &Table) -> Self {
        let upstreams = table.records_changed_since(before);
        let found = Differences::between(Places::Counted(0), before, table.config(), upstreams);
        let Differences { places, found } = found;
        let note = |Difference { op, path, .. }: Difference| Note { op, path };
        let total = match places {
            Places::Shown => found.len(),
            Places::Counted(total) => total,
        };
        Self { total, changes: found.into_iter().map(note).collect() }
    }
}

/// Everything that differs, ordered by place: certificates, listeners, routes, then upstreams each with its servers. Of a
/// private key nothing is told but that it is another one.
#[must_use]
pub fn diff(before: &Config, after: &Config) -> Vec<Difference> {
    let upstreams = changed(&before.upstreams, &after.upstreams).collect();
    Differences::between(Places::Shown, before, after, upstreams).found
}

/// What is told of the places that differ.
#[derive(Clone, Copy, Debug)]
enum Places {
    /// What they held and hold.
    Shown,
    /// How many there are, and the names of the first.
    Counted(usize),
}

struct Differences {
    places: Places,
    found: Vec<Difference>,
}

impl Differences {
    /// `upstreams` are those that differ.
    fn between(
        places: Places,
        before: &Config,
        after: &Config,
        upstreams: Vec<(&UpstreamId, Change<'_, UpstreamRecord>)>,
    ) -> Self {
        let mut found = Self { places, found: Vec::new() };
        for (id, change) in changed(&before.certificates, &after.certificates) {
            let at = place(["certificates", id.as_str()]);
            found.resource(&at, &change, |record| value(&record.spec));
            if let Change::Replaced(old, new) = change
                && old.spec.private_key != new.spec.private_key
            {
                found.note(Edit::Replace, || format!("{at}/private_key"), None, None);
            }
        }
        for (id, change) in changed(&before.listeners, &after.listeners) {
            found.resource(&place(["listeners", id.as_str()]), &change, |record| value(&record.spec));
        }
        for (id, change) in changed(&before.routes, &after.routes) {
            found.resource(&place(["routes", id.as_str()]), &change, |record| value(&record.spec));
        }
        for (id, change) in upstreams {
            let at = place(["upstreams", id.as_str()]);
            match change {
                Change::Replaced(old, new) => found.upstream(&at, old, new),
                Change::Added(_) | Change::Removed(_) => {
                    found.resource(&at, &change, |record| value(&record.to_model()));
                }
            }
        }
        found
    }

    /// Compares what `change` has made of a resource, of which `whole` is the document.
    fn resource<V>(&mut self, at: &str, change: &Change<'_, V>, whole: impl Fn(&V) -> Value) {
        match change {
            Change::Added(new) => self.note(Edit::Add, || at.to_owned(), None, Some(&|| whole(new))),
            Change::Removed(old) => self.note(Edit::Remove, || at.to_owned(), Some(&|| whole(old)), None),
            Change::Replaced(old, new) => self.values(at, &whole(old), &whole(new)),
        }
    }

    fn upstream(&mut self, at: &str, old: &UpstreamRecord, new: &UpstreamRecord) {
        if old.spec != new.spec {
            self.values(at, &value(&old.spec), &value(&new.spec));
        }
        let (was, is) = middle(&old.servers, &new.servers, Arc::ptr_eq);
        let old_servers = old.servers.get(was).unwrap_or_default();
        let new_servers = new.servers.get(is).unwrap_or_default();
        let (was, is) = (by_id(old_servers), by_id(new_servers));
        let joined = new_servers.iter().filter(|record| !was.contains_key(record.server.id.as_str()));
        for record in old_servers.iter().chain(joined) {
            let id = record.server.id.as_str();
            let (old, new) = (was.get(id).copied(), is.get(id).copied());
            if old.zip(new).is_some_and(|(old, new)| old.server == new.server) {
                continue;
            }
            if let Some(change) = Change::of(old, new) {
                let at = format!("{at}{}", place(["servers", id]));
                self.resource(&at, &change, |record| value(&record.server));
            }
        }
        let left =
            old_servers.iter().map(|record| &record.server.id).filter(|id| is.contains_key(id.as_str()));
        let stay =
            new_servers.iter().map(|record| &record.server.id).filter(|id| was.contains_key(id.as_str()));
        if !left.eq(stay) {
            let (was, is) = (&old.servers, &new.servers);
            let path = || format!("{at}/servers");
            self.note(Edit::Replace, path, Some(&|| order(was, is)), Some(&|| order(is, was)));
        }
    }

    /// Compares what a place held and holds; objects member by member.
    fn values(&mut self, at: &str, old: &Value, new: &Value) {
        let (Value::Object(was), Value::Object(is)) = (old, new) else {
            if old != new {
                self.note(Edit::Replace, || at.to_owned(), Some(&|| old.clone()), Some(&|| new.clone()));
            }
            return;
        };
        for name in was.keys().chain(is.keys().filter(|name| !was.contains_key(*name))) {
            let at = || format!("{at}{}", place([name.as_str()]));
            match (was.get(name), is.get(name)) {
                (Some(old), Some(new)) => self.values(&at(), old, new),
                (Some(old), None) => self.note(Edit::Remove, at, Some(&|| old.clone()), None),
                (None, Some(new)) => self.note(Edit::Add, at, None, Some(&|| new.clone())),
                (None, None) => {}
            }
        }
    }

    /// Notes a difference; what the place held and holds is only asked for if it is shown.
    fn note(
        &mut self,
        op: Edit,
        path: impl Fn() -> String,
        old: Option<Content<'_>>,
        new: Option<Content<'_>>,
    ) {
        match &mut self.places {
            Places::Shown => {
                let (old, new) = (old.map(|old| old()), new.map(|new| new()));
                self.found.push(Difference { op, path: path(), old, new });
            }
            Places::Counted(total) => {
                *total += 1;
                if self.found.len() < MAX_NOTED {
                    self.found.push(Difference { op, path: path(), old: None, new: None });
                }
            }
        }
    }
}

/// Writes out what a place holds.
type Content<'a> = &'a dyn Fn() -> Value;

fn by_id(servers: &[Arc<ServerRecord>]) -> HashMap<&str, &Arc<ServerRecord>> {
    servers.iter().map(|record| (record.server.id.as_str(), record)).collect()
}

/// The ids of those of `servers` that are among `others`, in order.
fn order(servers: &[Arc<ServerRecord>], others: &[Arc<ServerRecord>]) -> Value {
    let others = by_id(others);
    let ids = servers.iter().map(|record| record.server.id.as_str());
    ids.filter(|id| others.contains_key(id)).map(Value::from).collect()
}

/// A JSON Pointer of `names`.
fn place<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

fn value<T: Serialize>(model: &T) -> Value {
    serde_json::to_value(model).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_shared::{
        id::{Epoch, Revision},
        model::{Document, Meta},
        table::Compiler,
        time::Now,
    };

    use super::*;

    fn config(document: Value) -> Config {
        let document: Document = serde_json::from_value(document).unwrap();
        document.into_config(Revision(1), Epoch("abc123".into()), Meta::default())
    }

    fn with_servers(servers: Value) -> Config {
        config(json!({"upstreams": [{"id": "web", "servers": servers}]}))
    }

    fn server(id: &str, weight: u32) -> Value {
        json!({"id": id, "address": format!("{id}:80"), "weight": weight})
    }

    fn paths(differences: &[Difference]) -> Vec<(Edit, &str)> {
        differences.iter().map(|difference| (difference.op, difference.path.as_str())).collect()
    }

    #[test]
    fn equal_configurations_do_not_differ() {
        let config = with_servers(json!([server("a", 1), server("b", 2)]));
        assert_eq!(diff(&config, &config.clone()), []);
    }

    #[test]
    fn a_changed_field_is_named_with_both_values() {
        let (before, after) = (with_servers(json!([server("a", 1)])), with_servers(json!([server("a", 5)])));
        let expected = Difference {
            op: Edit::Replace,
            path: "/upstreams/web/servers/a/weight".into(),
            old: Some(json!(1)),
            new: Some(json!(5)),
        };
        assert_eq!(diff(&before, &after), [expected]);
    }

    #[test]
    fn what_comes_and_goes_is_shown_whole() {
        let (before, after) = (with_servers(json!([server("a", 1)])), with_servers(json!([server("b", 1)])));
        let found = diff(&before, &after);
        assert_eq!(
            paths(&found),
            [(Edit::Remove, "/upstreams/web/servers/a"), (Edit::Add, "/upstreams/web/servers/b")]
        );
        assert_eq!(found[1].new.as_ref().unwrap()["address"], "b:80");
        let found = diff(&config(json!({})), &before);
        assert_eq!(paths(&found), [(Edit::Add, "/upstreams/web")]);
        assert_eq!(found[0].new.as_ref().unwrap()["servers"][0]["id"], "a");
    }

    #[test]
    fn a_new_order_is_a_difference() {
        let before = with_servers(json!([server("a", 1), server("b", 1), server("c", 1)]));
        let after = with_servers(json!([server("c", 1), server("a", 1)]));
        let found = diff(&before, &after);
        assert_eq!(
            paths(&found),
            [(Edit::Remove, "/upstreams/web/servers/b"), (Edit::Replace, "/upstreams/web/servers")]
        );
        assert_eq!(found[1].new, Some(json!(["c", "a"])));
    }

    #[test]
    fn names_are_escaped() {
        let before = config(json!({"upstreams": [{"id": "web", "labels": {"a/b~c": "1"}}]}));
        let after = config(json!({"upstreams": [{"id": "web"}]}));
        assert_eq!(paths(&diff(&before, &after)), [(Edit::Remove, "/upstreams/web/labels/a~1b~0c")]);
    }

    #[test]
    fn a_summary_is_bounded_and_says_how_much_there_is() {
        let servers: Vec<Value> = (0..150).map(|n| server(&format!("s{n}"), 1)).collect();
        let found = diff(&with_servers(json!([])), &with_servers(json!(servers)));
        let (before, after) = (Arc::new(with_servers(json!([]))), Arc::new(with_servers(json!(servers))));
        let compiler = Compiler { workers: 1, ..Compiler::default() };
        let table = compiler.compile(after, None, Now::default()).unwrap();
        let summary = Summary::since(&before, &table);
        assert_eq!((summary.total, summary.changes.len()), (150, MAX_NOTED));
        let named = found.iter().take(MAX_NOTED).map(|difference| &difference.path);
        assert!(summary.changes.iter().map(|note| &note.path).eq(named));
    }
}
