//! Promise 9: from the answer on a drained server gets no new request, those under way finish until the deadline, and how
//! many are left can be seen. A crash in between takes none of it back.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Gate, Step};
use weir_tests::weir::{Launch, Weir};

const SERVERS: &str = "/v1/upstreams/default/servers";
const UNDER_WAY: usize = 3;

/// A server that answers when `gate` opens.
fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::script(move |_| vec![Step::Wait(gate.clone()), Step::Send(reply::message("200 OK", &[], "late"))])
}

/// Weir with requests under way at `slow`, and with a server `other` beside it; and the clients that wait.
fn busy(launch: Launch, slow: &Origin, gate: &Gate, other: &Origin) -> (Weir, Vec<Wire>) {
    let weir = launch.start();
    weir.api().set_default(&config::bare(&[slow.address()]));
    let ask = |_| {
        let mut client = weir.client();
        client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
        client
    };
    let clients: Vec<Wire> = (0..UNDER_WAY).map(ask).collect();
    eventually("the requests are under way", || (gate.arrivals() == UNDER_WAY).then_some(()));
    weir.api().post(SERVERS, &json!(other.address().to_string())).assert(201);
    (weir, clients)
}

fn place(server: SocketAddr) -> String {
    format!("{SERVERS}/{}/drain", config::slug(server))
}

/// No request goes anywhere but to `other`, whoever asks.
fn assert_spared(weir: &Weir) {
    for _ in 0..10 {
        let mut client = weir.client();
        (0..5).for_each(|_| assert_eq!(client.get("/").text(), "other", "a request behind the answer"));
    }
}

#[test]
fn p9_drain() {
    let (gate, other) = (Gate::default(), Origin::named("other"));
    let slow = gated(&gate);
    let (weir, clients) = busy(Launch::default(), &slow, &gate, &other);
    let drain = || -> Value { weir.api().get(&place(slow.address())).expect(200).json() };
    weir.api().post(&place(slow.address()), &json!({"timeout": "1m"})).assert(202);
    assert_spared(&weir);
    assert_eq!((&drain()["in_flight"], &drain()["done"]), (&json!(UNDER_WAY), &json!(false)));
    assert_eq!(gate.arrivals(), UNDER_WAY);
    gate.open();
    for mut client in clients {
        assert_eq!(client.response("GET").unwrap().text(), "late");
    }
    let ended = eventually("the drain is done", || Some(drain()).filter(|drain| drain["done"] == true));
    assert_eq!((&ended["outcome"], &ended["in_flight"]), (&json!("drained"), &json!(0)));
    assert_spared(&weir);
    weir.assert_no_errors();
}

#[test]
fn p9_drain_until_the_deadline() {
    let (gate, other) = (Gate::default(), Origin::named("other"));
    let slow = gated(&gate);
    let (weir, clients) = busy(Launch::default(), &slow, &gate, &other);
    let brief = json!({"timeout": "200ms", "then": "remove"});
    weir.api().post(&place(slow.address()), &brief).assert(202);
    for mut client in clients {
        assert_eq!(client.response("GET").unwrap().status, 502, "broken off at the deadline");
    }
    eventually("the server is gone", || {
        let server = format!("{SERVERS}/{}", config::slug(slow.address()));
        (weir.api().get(&server).status() == 404).then_some(())
    });
    assert_spared(&weir);
}

#[test]
fn p9_drain_outlives_a_crash() {
    let folder = TempDir::new().unwrap();
    let (gate, other) = (Gate::default(), Origin::named("other"));
    let slow = gated(&gate);
    let launch = || Launch::default().data_dir(folder.path());
    let (weir, _clients) = busy(launch(), &slow, &gate, &other);
    weir.api().post(&place(slow.address()), &json!({"timeout": "1h"})).assert(202);
    weir.kill();
    let weir = launch().start();
    assert_spared(&weir);
    eventually("nothing is under way in a new process", || {
        let drain = weir.api().get(&place(slow.address())).expect(200).json();
        (drain["done"] == true).then(|| assert_eq!(drain["outcome"], "drained"))
    });
    assert_spared(&weir);
    weir.assert_no_errors();
}
