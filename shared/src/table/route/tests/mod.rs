//! Which route takes which request: cases in the spirit of the Gateway API's conformance tests, and the index against a plain
//! search through all routes in order.

mod cases;
mod expressions;
mod linear;
mod reuse;
mod values;

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName, Method};
use serde_json::{Value, json};

use super::{NoRoute, RouteRequest};
use crate::{
    id::{Epoch, Revision},
    model::{Config, Document, Meta},
    sharing::taking_over,
    table::{Compiler, Table},
    time::Now,
};

/// A configuration with these routes and the upstreams `a` to `d`.
fn config(routes: &Value) -> Config {
    let upstreams: Vec<Value> = ["a", "b", "c", "d"].iter().map(|id| json!({ "id": id })).collect();
    let document: Document =
        serde_json::from_value(json!({"routes": routes, "upstreams": upstreams})).unwrap();
    document.into_config(Revision(1), Epoch("abc123".into()), Meta::default())
}

/// A table of `config`, compiled after `before`.
fn compiled(mut config: Config, before: Option<&Table>) -> Table {
    if let Some(before) = before {
        config.upstreams = taking_over(&config.upstreams, &before.config().upstreams);
        config.routes = taking_over(&config.routes, &before.config().routes);
    }
    let compiler = Compiler { workers: 1, ..Compiler::default() };
    compiler.compile(Arc::new(config), before, Now::default()).unwrap()
}

/// A request in a form that can be written down.
#[derive(Clone, Debug)]
struct Asked {
    listener: String,
    host: String,
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    client: IpAddr,
}

impl Asked {
    /// From `GET host/path?query name:value …`; the listener is written `@name`, the client `~address`.
    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let method = words.next().unwrap().parse().unwrap();
        let (host, target) = words.next().unwrap().split_once('/').unwrap();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let mut asked = Self {
            listener: "default".to_owned(),
            host: host.to_owned(),
            method,
            path: format!("/{path}"),
            query,
            headers: HeaderMap::new(),
            client: "192.0.2.1".parse().unwrap(),
        };
        for word in words {
            if let Some(listener) = word.strip_prefix('@') {
                listener.clone_into(&mut asked.listener);
            } else if let Some(client) = word.strip_prefix('~') {
                asked.client = client.parse().unwrap();
            } else {
                let (name, value) = word.split_once(':').unwrap();
                asked.headers.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            }
        }
        asked
    }

    /// What `look` makes of the request.
    fn with<T>(&self, look: impl FnOnce(&RouteRequest<'_>) -> T) -> T {
        look(&RouteRequest {
            listener: &self.listener,
            host: Some(self.host.as_bytes()).filter(|host| !host.is_empty()),
            path: &self.path,
            query: self.query.as_deref(),
            method: &self.method,
            headers: &self.headers,
            client: &|| self.client,
        })
    }

    /// The id of the route that takes the request, or why there is none.
    fn routed(&self, table: &Table) -> String {
        self.with(|request| match table.route(request) {
            Ok(route) => route.id.to_string(),
            Err(NoRoute::Unmatched) => "none".to_owned(),
            Err(NoRoute::Ambiguous) => "ambiguous".to_owned(),
        })
    }
}
