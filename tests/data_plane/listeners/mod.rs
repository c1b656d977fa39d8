//! Listeners by the API: bound and given up while traffic flows, each with settings of its own.

mod live;
mod moves;
mod proxy_protocol;
mod settings;
mod tcp;
mod unix;

use std::net::SocketAddr;

use serde_json::{Value, json};
use weir_tests::eventually::eventually;
use weir_tests::weir::Weir;

/// Makes a listener, which must be bound when that is answered. Answers where it is.
fn add(weir: &Weir, listener: &Value) -> SocketAddr {
    let answer = weir.api().post("/v1/listeners", listener).expect(201).json();
    assert_eq!(answer["status"]["bound"], true, "{answer}");
    answer["status"]["address"].as_str().unwrap().parse().unwrap()
}

/// The same at a free port of loopback, with the fields of `more` on top.
fn add_with(weir: &Weir, id: &str, more: Value) -> SocketAddr {
    let mut listener = json!({"id": id, "address": "127.0.0.1:0"});
    listener.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    add(weir, &listener)
}

/// The listener named `id`, as the API shows it.
fn listener(weir: &Weir, id: &str) -> Value {
    weir.api().get(&format!("/v1/listeners/{id}")).expect(200).json()
}

/// The value of a metric of the listener named `id`.
fn metric(weir: &Weir, name: &str, id: &str) -> u64 {
    let text = weir.api().get("/metrics").expect(200).response.text();
    let start = format!("{name}{{listener=\"{id}\"");
    let line = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{start}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until the listener named `id` has no connection open.
fn is_empty(weir: &Weir, id: &str) {
    eventually("its connections have ended", || {
        (metric(weir, "weir_listener_connections_active", id) == 0).then_some(())
    });
}
