//! Servers that speak HTTP/2, well and badly. RFC 9113; what gRPC makes of it.

mod connections;
mod faults;
mod grpc;
mod translation;

use std::net::SocketAddr;

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::weir::Weir;

/// A Weir in front of this server, with the fields of `more` in the upstream.
fn in_front_of(server: SocketAddr, more: &Value) -> Weir {
    in_front_of_all(&[server], more)
}

/// The same for several servers.
fn in_front_of_all(servers: &[SocketAddr], more: &Value) -> Weir {
    let weir = Weir::start();
    let mut upstream = config::with(servers, &json!({ "protocol": "http2", "retries": { "attempts": 0 } }));
    for (name, value) in more.as_object().unwrap() {
        upstream[name] = value.clone();
    }
    weir.api().set_default(&upstream);
    weir
}
