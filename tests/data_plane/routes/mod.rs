//! Routes on the real binary: which request goes where, what is changed on the way, and what is answered without a server.

mod changes;
mod effects;
mod matching;
mod split;

use serde_json::{Value, json};
use weir_tests::{client::Response, config, origin::Origin, weir::Weir};

/// A Weir with servers that say their names, each the only one of an upstream of that name. What no route takes goes to none.
struct Scene {
    weir: Weir,
    origins: Vec<Origin>,
}

impl Scene {
    fn new(names: &[&str]) -> Self {
        Self::of(names.iter().map(|name| (*name, Origin::named(name))).collect())
    }

    fn of(origins: Vec<(&str, Origin)>) -> Self {
        let weir = Weir::start();
        for (name, origin) in &origins {
            let path = format!("/v1/upstreams/{name}?bind=false");
            weir.api().put(&path, &config::bare(&[origin.address()])).assert(201);
        }
        Self { weir, origins: origins.into_iter().map(|(_, origin)| origin).collect() }
    }

    /// Makes or replaces the route `id`.
    fn route(&self, id: &str, matched: &Value, action: &Value) {
        let route = json!({"match": matched, "action": action});
        let answer = self.weir.api().put(&format!("/v1/routes/{id}"), &route);
        assert!(matches!(answer.status(), 200 | 201), "{answer:?}");
    }

    /// Sends a request with these lines behind the request line and a `Host`.
    fn ask(&self, target: &str, lines: &str) -> Response {
        let host = if lines.to_ascii_lowercase().contains("host:") { "" } else { "Host: x.test\r\n" };
        self.weir.client().exchange(format!("GET {target} HTTP/1.1\r\n{host}{lines}\r\n"))
    }
}

/// An action that sends to `upstream`.
fn to(upstream: &str) -> Value {
    json!({"upstreams": [{"upstream": upstream}]})
}

/// An action that sends to `upstream`, with the fields of `more`.
fn to_with(upstream: &str, more: &Value) -> Value {
    let mut action = to(upstream);
    for (name, value) in more.as_object().unwrap() {
        action[name] = value.clone();
    }
    action
}

/// An action that sends to both alike.
fn split_between(one: &str, other: &str) -> Value {
    json!({"upstreams": [{"upstream": one}, {"upstream": other}]})
}
