//! Upstream documents for tests.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// An upstream of these servers without health checks, ejection or retries: what a server does is what a client gets.
pub fn bare(servers: &[SocketAddr]) -> Value {
    with(servers, &json!({ "retries": { "attempts": 0 } }))
}

/// An upstream of these servers without health checks or ejection, with the fields of `more` on top.
///
/// # Panics
/// When `more` is no object.
pub fn with(servers: &[SocketAddr], more: &Value) -> Value {
    let mut document = json!({
        "servers": addresses(servers),
        "health_check": { "enabled": false },
        "outlier_detection": { "enabled": false },
    });
    for (name, value) in more.as_object().expect("an object") {
        document[name] = value.clone();
    }
    document
}

/// An upstream of these servers with every default.
pub fn plain(servers: &[SocketAddr]) -> Value {
    json!({ "servers": addresses(servers) })
}

/// The addresses as strings.
pub fn addresses(servers: &[SocketAddr]) -> Vec<String> {
    servers.iter().map(ToString::to_string).collect()
}

/// The id that a server at `address` gets by default.
pub fn slug(address: SocketAddr) -> String {
    address.to_string().replace(':', "-")
}
