//! How large a configuration is when it is written out as one document: as large as can be put back.
//!
//! Counted from what changed, so that a change of one server writes out that server.

use std::{io, sync::Arc};

use serde::Serialize;

use super::Table;
use crate::{
    id::UpstreamId,
    model::{Config, UpstreamRecord},
    sharing::{Change, changed, middle},
};

/// The bytes of `config`, of which `upstreams` are those that are not the same in `previous`.
pub(super) fn of(
    config: &Config,
    previous: Option<&Table>,
    upstreams: &[(&UpstreamId, Change<'_, UpstreamRecord>)],
) -> usize {
    let mut size = Size { gone: 0, come: previous.map_or(0, |table| table.bytes) };
    let none = Config::empty(config.epoch.clone());
    let mut known = &none;
    if let Some(table) = previous {
        known = &table.config;
    } else {
        // These are there before anything is.
        for record in none.listeners.values() {
            size.come += bytes(&record.spec);
        }
        for record in none.routes.values() {
            size.come += bytes(&record.spec);
        }
    }
    for (_, change) in changed(&known.listeners, &config.listeners) {
        size.change(&change, |record| bytes(&record.spec));
    }
    for (_, change) in changed(&known.routes, &config.routes) {
        size.change(&change, |record| bytes(&record.spec));
    }
    for (_, change) in changed(&known.certificates, &config.certificates) {
        size.change(&change, |record| bytes(&record.spec));
    }
    for (_, change) in upstreams {
        match change {
            Change::Replaced(was, is) => size.upstream(was, is),
            Change::Added(_) | Change::Removed(_) => size.change(change, whole),
        }
    }
    size.come.saturating_sub(size.gone)
}

struct Size {
    gone: usize,
    come: usize,
}

impl Size {
    fn change<V>(&mut self, change: &Change<'_, V>, of: impl Fn(&V) -> usize) {
        match change {
            Change::Added(is) => self.come += of(is),
            Change::Removed(was) => self.gone += of(was),
            Change::Replaced(was, is) => {
                self.gone += of(was);
                self.come += of(is);
            }
        }
    }

    fn upstream(&mut self, was: &UpstreamRecord, is: &UpstreamRecord) {
        if was.spec != is.spec {
            self.gone += bytes(&was.spec);
            self.come += bytes(&is.spec);
        }
        let (gone, come) = middle(&was.servers, &is.servers, Arc::ptr_eq);
        let sum = |records: Option<&[Arc<_>]>| servers(records.unwrap_or_default());
        self.gone += sum(was.servers.get(gone));
        self.come += sum(is.servers.get(come));
    }
}

fn whole(record: &UpstreamRecord) -> usize {
    bytes(&record.spec) + servers(&record.servers)
}

fn servers(records: &[Arc<crate::model::ServerRecord>]) -> usize {
    // And a comma.
    records.iter().map(|record| bytes(&record.server) + 1).sum()
}

/// The bytes of `value` as JSON.
fn bytes<T: Serialize>(value: &T) -> usize {
    let mut count = Count(0);
    // Counting does not fail, and neither does writing a model.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        id::{Epoch, Revision},
        model::{Document, Meta},
        sharing::taking_over,
        table::Compiler,
        time::Now,
    };

    fn config(document: serde_json::Value) -> Config {
        let document: Document = serde_json::from_value(document).unwrap();
        document.into_config(Revision(1), Epoch("abc123".into()), Meta::default())
    }

    #[test]
    fn what_changed_is_enough_to_count_all() {
        let server = |id: &str, zone: &str| json!({"id": id, "address": format!("{id}:80"), "zone": zone});
        let steps = [
            json!({}),
            json!({"upstreams": [{"id": "web", "servers": [server("a", ""), server("b", "")]}]}),
            json!({"upstreams": [{"id": "web", "servers": [server("a", "eu"), server("b", "")]}, {"id": "api"}]}),
            json!({"upstreams": [{"id": "web", "description": "é", "servers": [server("c", ""), server("b", "")]}],
                "routes": [{"id": "x", "match": {"path": {"value": "/x"}}, "action": {"upstreams": [{"upstream": "web"}]}}],
                "listeners": [{"id": "inner", "address": "127.0.0.1:1"}]}),
            json!({"upstreams": [{"id": "api"}]}),
        ];
        let compiler = Compiler { workers: 1, ..Compiler::default() };
        let mut before: Option<Table> = None;
        for step in steps {
            let mut next = config(step.clone());
            let fresh = compiler.compile(Arc::new(next.clone()), None, Now::default()).unwrap();
            if let Some(before) = &before {
                next.upstreams = taking_over(&next.upstreams, &before.config.upstreams);
                next.routes = taking_over(&next.routes, &before.config.routes);
                next.listeners = taking_over(&next.listeners, &before.config.listeners);
            }
            let table = compiler.compile(Arc::new(next), before.as_ref(), Now::default()).unwrap();
            assert_eq!((table.bytes, table.servers), (fresh.bytes, fresh.servers), "{step}");
            let written = serde_json::to_string(&table.config.to_document()).unwrap().len();
            // But for commas between resources, and the names of their kinds.
            assert!(
                (table.bytes..table.bytes + 200).contains(&written),
                "{step}: {} and {written}",
                table.bytes
            );
            before = Some(table);
        }
    }
}
