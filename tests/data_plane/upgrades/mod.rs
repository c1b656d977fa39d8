//! Connections that change hands: WebSockets and other protocols, and answers that come before the answer.

mod http1;
mod http2;
mod interim;
mod lifetime;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde_json::{Value, json};
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::switcher::{Switcher, switching};
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

/// A server that switches to `echo` on one connection, sends `part`, and gives the connection to the test.
fn breaking() -> (SocketAddr, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (give, take) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut head, mut byte) = (Vec::new(), [0; 1]);
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.extend(byte);
            }
            let answered = stream.write_all(&[switching("echo", &[]), b"part".to_vec()].concat());
            if answered.is_err() || give.send(stream).is_err() {
                return;
            }
        }
    });
    (address, take)
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
