//! Connections that change hands: WebSockets and other protocols, and answers that come before the answer.

mod http1;
mod http2;
mod interim;
mod lifetime;

use serde_json::{Value, json};
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::switcher::Switcher;
use weir_tests::weir::Weir;

use crate::semantics::metric;

/// What a WebSocket client asks, with these field lines on top.
fn asking(fields: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: weir.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n"
    )
}

/// A Weir in front of these servers, with the fields of `more` on top.
fn in_front_of(servers: &[&Switcher], more: &Value) -> Weir {
    let weir = Weir::start();
    let addresses: Vec<_> = servers.iter().map(|server| server.address()).collect();
    weir.api().set_default(&config::with(&addresses, more));
    weir
}

/// A client whose connection is switched.
fn switched(weir: &Weir) -> Wire {
    let mut client = weir.client();
    client.send(asking(""));
    let (_, status, _) = client.response_head().unwrap();
    assert_eq!(status, 101);
    client
}

/// What `client` gets back for these bytes.
fn echo(client: &mut Wire, bytes: &[u8]) -> Vec<u8> {
    client.send(bytes);
    let mut back = Vec::new();
    while back.len() < bytes.len() {
        back.extend(client.some().unwrap());
    }
    back
}

/// Waits until so many tunnels are open.
fn await_tunnels(weir: &Weir, count: u64) {
    eventually("the tunnels are counted", || (metric(weir, "weir_tunnels_active") == count).then_some(()));
}

/// Waits until so many attempts are in flight at `server`.
fn await_in_flight(weir: &Weir, server: &Switcher, count: u64) {
    eventually("the attempts are counted", || {
        (weir.api().server_health(server.address())["in_flight"] == json!(count)).then_some(())
    });
}
