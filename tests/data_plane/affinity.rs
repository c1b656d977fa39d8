//! Session affinity: who is bound to which server, for how long, and what ends it.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::{
    client::Response,
    config,
    eventually::eventually,
    origin::Origin,
    reply::{self, Step},
    weir::{Launch, Weir},
};

/// Three servers, and clients bound to them.
struct Scene {
    origins: Vec<Origin>,
    weir: Weir,
}

impl Scene {
    fn new(affinity: &Value) -> Self {
        let origins: Vec<Origin> = (0..3).map(|n| Origin::named(&n.to_string())).collect();
        let weir = Weir::start();
        weir.api().set_default(&upstream(&origins, affinity));
        Self { origins, weir }
    }

    fn get(&self, cookies: &str) -> Response {
        get(&self.weir, cookies)
    }

    /// A new client's server and cookie.
    fn bind(&self) -> (String, String) {
        let answer = self.get("");
        (answer.text(), pair(&answer).expect("a new client is bound"))
    }

    fn patch(&self, server: &str, body: &Value) {
        let address = self.origins[server.parse::<usize>().unwrap()].address();
        let path = format!("/v1/upstreams/default/servers/{}", config::slug(address));
        self.weir.api().patch(&path, body).assert(200);
    }
}

fn upstream(origins: &[Origin], affinity: &Value) -> Value {
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    config::with(&addresses, &json!({ "algorithm": "round_robin", "affinity": affinity }))
}

fn get(weir: &Weir, cookies: &str) -> Response {
    let cookie = if cookies.is_empty() { String::new() } else { format!("Cookie: {cookies}\r\n") };
    weir.client().exchange(format!("GET / HTTP/1.1\r\nHost: weir.test\r\n{cookie}\r\n"))
}

/// What a browser sends back for the cookie an answer sets.
fn pair(answer: &Response) -> Option<String> {
    answer.fields.one("set-cookie").map(|line| line.split(';').next().unwrap().to_owned())
}

#[test]
fn a_client_stays_with_the_server_that_answered_it() {
    let scene = Scene::new(&json!({ "enabled": true }));
    let first = scene.get("");
    let line = first.fields.one("set-cookie").expect("a cookie").to_owned();
    assert!(
        line.starts_with("weir_affinity=") && line.ends_with("; Path=/; SameSite=Lax; HttpOnly"),
        "{line}"
    );
    assert_eq!(first.fields.one("cache-control"), Some("private"), "no shared cache binds everybody");
    let cookie = pair(&first).unwrap();
    for _ in 0..10 {
        let again = scene.get(&format!("a=b; {cookie}"));
        assert_eq!(again.text(), first.text());
        assert_eq!(pair(&again), None, "nothing new to tell");
    }
    let others: std::collections::HashSet<_> = (0..6).map(|_| scene.bind().0).collect();
    assert_eq!(others.len(), 3, "new clients are spread");
}

#[test]
fn the_cookie_is_as_it_was_asked_for() {
    let scene = Scene::new(&json!({
        "enabled": true, "cookie": "lb", "ttl": "1h", "path": "/shop", "domain": "example.com",
        "secure": "always", "same_site": "none",
    }));
    let answer = scene.get("");
    let line = answer.fields.one("set-cookie").unwrap();
    let (value, attributes) = line.split_once("; ").unwrap();
    assert_eq!((&value[..3], value.len()), ("lb=", 3 + 64));
    assert_eq!(attributes, "Path=/shop; Domain=example.com; Max-Age=3600; SameSite=None; HttpOnly; Secure");
}

#[test]
fn a_forged_cookie_binds_nobody_and_is_replaced() {
    let scene = Scene::new(&json!({ "enabled": true }));
    let (_, cookie) = scene.bind();
    let last = if cookie.ends_with('0') { '1' } else { '0' };
    let forged = format!("{}{last}", &cookie[..cookie.len() - 1]);
    for wrong in [forged.as_str(), "weir_affinity=", "weir_affinity=1", "weir_affinity=\u{e9}"] {
        assert!(pair(&scene.get(wrong)).is_some(), "{wrong}");
    }
    // A real one after a forged one counts: a page of another host in the domain may have set the first.
    assert_eq!(pair(&scene.get(&format!("{forged}; {cookie}"))), None);
}

#[test]
fn a_draining_server_keeps_its_clients_until_it_is_gone() {
    let scene = Scene::new(&json!({ "enabled": true }));
    let (server, cookie) = scene.bind();
    scene.patch(&server, &json!({ "admin_state": "drain" }));
    for _ in 0..6 {
        assert_eq!(scene.get(&cookie).text(), server, "a bound client");
        assert_ne!(scene.bind().0, server, "a new client");
    }
    scene.patch(&server, &json!({ "admin_state": "maint" }));
    let moved = scene.get(&cookie);
    let (other, next) = (moved.text(), pair(&moved).expect("bound anew"));
    assert_ne!(other, server);
    scene.patch(&server, &json!({ "admin_state": "ready" }));
    assert_eq!(scene.get(&next).text(), other, "who has moved stays");
}

#[test]
fn a_drain_waits_for_bound_clients_until_its_deadline() {
    let scene = Scene::new(&json!({ "enabled": true }));
    let (server, cookie) = scene.bind();
    let address = scene.origins[server.parse::<usize>().unwrap()].address();
    let path = format!("/v1/upstreams/default/servers/{}/drain", config::slug(address));
    scene.weir.api().post(&path, &json!({ "timeout": "3s" })).assert(202);
    // Many times what a drain without bound clients takes.
    let began = std::time::Instant::now();
    let mut served = 0;
    eventually("the drain ends", || {
        served += usize::from(scene.get(&cookie).text() == server);
        let drain = scene.weir.api().get(&path).expect(200).json();
        (drain["done"] == true).then_some(())
    });
    assert!(served > 1 && began.elapsed().as_millis() > 2_500, "{served} requests, {:?}", began.elapsed());
}

#[test]
fn a_failing_server_loses_its_clients() {
    let scene = Scene::new(&json!({ "enabled": true }));
    let (server, cookie) = scene.bind();
    let Scene { mut origins, weir } = scene;
    drop(origins.remove(server.parse().unwrap()));
    let answer = get(&weir, &cookie);
    assert_eq!(answer.status, 200, "another server is tried");
    let next = pair(&answer).expect("bound anew");
    assert_eq!(get(&weir, &next).text(), answer.text());
}

#[test]
fn clients_stay_bound_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let origins: Vec<Origin> = (0..3).map(|n| Origin::named(&n.to_string())).collect();
    let weir = Launch::default().data_dir(folder.path()).start();
    weir.api().set_default(&upstream(&origins, &json!({ "enabled": true })));
    let first = get(&weir, "");
    let cookie = pair(&first).unwrap();
    weir.kill();
    let weir = Launch::default().data_dir(folder.path()).start();
    for _ in 0..6 {
        assert_eq!(get(&weir, &cookie).text(), first.text());
    }
}

/// Servers called by their numbers, of which the first takes its time over `/slow`.
fn first_slow(time: Duration, count: usize) -> Vec<Origin> {
    let server = |n: usize| {
        Origin::script(move |seen| match (n, seen.request.head.target.as_str()) {
            (0, "/slow") => [vec![Step::Pause(time)], reply::ok("0")].concat(),
            _ => reply::ok(&n.to_string()),
        })
    };
    (0..count).map(server).collect()
}

/// The cookie of a client of the first server.
fn bound_to_the_first(weir: &Weir) -> String {
    eventually("a client is bound to the first server", || {
        let answer = get(weir, "");
        (answer.text() == "0").then(|| pair(&answer).unwrap())
    })
}

#[test]
fn a_bound_client_that_waits_for_room_gets_its_server() {
    let origins = first_slow(Duration::from_millis(200), 4);
    let weir = Weir::start();
    let mut upstream = upstream(&origins, &json!({ "enabled": true }));
    upstream["limits"] = json!({ "max_requests": 1, "queue": { "timeout": "60s" } });
    weir.api().set_default(&upstream);
    let cookie = bound_to_the_first(&weir);
    for round in 1..=5 {
        let mut other = weir.client();
        other.send(format!("GET /slow HTTP/1.1\r\nHost: weir.test\r\nCookie: {cookie}\r\n\r\n"));
        let is_slow = |target: &&String| *target == "/slow";
        eventually("the upstream is full", || {
            (origins[0].targets().iter().filter(is_slow).count() == round).then_some(())
        });
        assert_eq!(get(&weir, &cookie).text(), "0");
        assert_eq!(other.response("GET").unwrap().text(), "0");
    }
    weir.assert_no_errors();
}

#[test]
fn a_bound_client_is_not_hedged_away() {
    let origins = first_slow(Duration::from_millis(200), 2);
    let weir = Weir::start();
    let mut upstream = upstream(&origins, &json!({ "enabled": true }));
    upstream["hedging"] = json!({ "enabled": true, "delay": "20ms", "max_percent": 100 });
    weir.api().set_default(&upstream);
    let cookie = bound_to_the_first(&weir);
    let slow = format!("GET /slow HTTP/1.1\r\nHost: weir.test\r\nCookie: {cookie}\r\n\r\n");
    for _ in 0..3 {
        let answer = weir.client().exchange(&slow);
        assert_eq!((answer.text().as_str(), pair(&answer)), ("0", None), "it stays where it is");
    }
    assert!(!origins[1].targets().iter().any(|target| target == "/slow"), "nobody else was asked");
}

/// Whoever drains a server sees whether clients bound to it still come.
#[test]
fn a_drain_tells_of_bound_clients() {
    let scene = Scene::new(&json!({ "enabled": true }));
    let api = scene.weir.api();
    let (server, cookie) = scene.bind();
    let address = scene.origins[server.parse::<usize>().unwrap()].address();
    let path = format!("/v1/upstreams/default/servers/{}/drain", config::slug(address));
    let begun = api.post(&path, &json!({ "timeout": "1h" })).expect(202).json();
    assert_eq!(begun["bound"], json!({ "requests": 0, "last_at": null }));
    for _ in 0..3 {
        assert_eq!(scene.get(&cookie).text(), server);
        assert_ne!(scene.get("").text(), server, "a new client goes elsewhere");
    }
    let bound = eventually("the requests are seen", || {
        let bound = api.get(&path).expect(200).json()["bound"].clone();
        (bound["requests"] == 3).then_some(bound)
    });
    assert!(bound["last_at"].is_string(), "{bound}");
    api.delete(&path).assert(200);
    assert_eq!(api.get(&path).expect(200).json()["bound"], json!(null), "it is over");
}
