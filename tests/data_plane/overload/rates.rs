//! Rates at which requests may come: exact over all workers, kept over changes, and told to whoever exceeds them.

use std::thread;

use serde_json::{Value, json};
use weir_tests::client::Response;
use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

fn limited(rates: &Value) -> (Origin, Weir) {
    let origin = Origin::named("one");
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[origin.address()], &json!({ "rate_limits": rates })));
    (origin, weir)
}

/// What the API says of the rates.
fn shown(weir: &Weir) -> Value {
    weir.api().get("/v1/upstreams/default/health").expect(200).json()["rate_limits"].clone()
}

fn ask(weir: &Weir, field: &str) -> Response {
    weir.client().exchange(format!("GET / HTTP/1.1\r\nHost: weir.test\r\n{field}\r\n"))
}

#[test]
fn a_rate_holds_over_all_workers_and_says_when_to_come_again() {
    let rate = json!({"name": "per-client", "requests": 2, "per": "1h", "burst": 10, "key": "client_ip"});
    let (origin, weir) = limited(&json!([rate]));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..32).map(|_| scope.spawn(|| ask(&weir, "").status)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((count(200), count(429), origin.count()), (10, 22, 10), "{statuses:?}");

    let mut client = weir.client();
    let answer = client.get("/");
    assert_eq!(answer.status, 429);
    let seconds: u64 = answer.fields.one("retry-after").unwrap().parse().unwrap();
    assert!((1..=1800).contains(&seconds), "one is earned in half an hour: {seconds}");
    assert_eq!(answer.fields.one("ratelimit-policy"), Some("\"per-client\";q=2;w=3600"));
    assert_eq!(answer.fields.one("ratelimit"), Some(&*format!("\"per-client\";r=0;t={seconds}")));
    assert_eq!(answer.fields.one("proxy-status"), Some("weir; error=http_request_denied"));
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["code"], "rate-limited");
    assert!(!answer.announces_close(), "nothing is wrong with the connection");
    assert_eq!(client.get("/").status, 429);
    assert_eq!(shown(&weir), json!([{"name": "per-client", "keys": 1, "refused": 24}]));
}

#[test]
fn a_change_keeps_what_was_used() {
    let rate = |burst: u32| json!({"requests": 1, "per": "24h", "burst": burst});
    let (_origin, weir) = limited(&json!([rate(3)]));
    let mut client = weir.client();
    let mut statuses = |count: usize| (0..count).map(|_| client.get("/").status).collect::<Vec<_>>();
    assert_eq!(statuses(4), [200, 200, 200, 429]);
    let patch = |patch: &Value| weir.api().patch("/v1/upstreams/default", patch).assert(200);
    patch(&json!({"description": "something else"}));
    assert_eq!(statuses(1), [429], "another change");
    patch(&json!({"rate_limits": [rate(5)]}));
    assert_eq!(statuses(3), [200, 200, 429], "two more, and not five");
    patch(&json!({"rate_limits": []}));
    assert_eq!(statuses(5), [200; 5]);
}

#[test]
fn keys_have_allowances_of_their_own_and_all_rates_hold() {
    let rates = json!([
        {"name": "user", "requests": 1, "per": "24h", "burst": 2, "key": "header", "header": "X-User"},
        {"name": "all", "requests": 1, "per": "24h", "burst": 5},
    ]);
    let (_origin, weir) = limited(&rates);
    let ask_as = |user: &str| ask(&weir, &format!("X-User: {user}\r\n"));
    assert_eq!(["a", "a", "b", "b"].map(|user| ask_as(user).status), [200; 4]);
    let refused = ask_as("a");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.fields.all("ratelimit-policy"), ["\"user\";q=1;w=86400", "\"all\";q=1;w=86400"]);
    assert!(refused.fields.one("ratelimit").unwrap().starts_with("\"user\";r=0;"), "{refused:?}");
    assert_eq!(ask(&weir, "").status, 200, "who has no key has one allowance with others");
    // Five have gone through: what the first rate refused has used nothing of the second.
    let refused = ask_as("c");
    assert_eq!(refused.status, 429);
    assert!(refused.fields.one("ratelimit").unwrap().starts_with("\"all\";r=0;"), "{refused:?}");
    let metrics = weir.api().get("/metrics").expect(200).response.text();
    for line in [
        "weir_rate_limited_total{upstream=\"default\",rate=\"user\"} 1",
        "weir_rate_limited_total{upstream=\"default\",rate=\"all\"} 1",
        "weir_rate_limit_keys{upstream=\"default\",rate=\"all\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// Six requests in an hour: one is earned in ten minutes.
#[test]
fn answers_tell_of_rates_as_often_as_they_are_to() {
    let rate = |name: &str, burst: u32, fields: &str| json!({"name": name, "requests": 6, "per": "1h", "burst": burst, "fields": fields});
    let (origin, weir) =
        limited(&json!([rate("a", 6, "always"), rate("b", 4, "never"), rate("c", 5, "refused")]));
    let mut client = weir.client();
    let told = |answer: &Response| {
        let all = |name| answer.fields.all(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        (answer.status, all("ratelimit-policy"), all("ratelimit"), answer.fields.one("retry-after").is_some())
    };
    let policy = |name: &str| format!("\"{name}\";q=6;w=3600");
    // Some time may have passed, hence bounds.
    for left in [5, 4, 3, 2] {
        let (status, policies, left_of, wait) = told(&client.get("/"));
        assert_eq!((status, policies, wait), (200, vec![policy("a")], false));
        let (start, seconds) = left_of[0].rsplit_once('=').unwrap();
        assert_eq!((left_of.len(), start), (1, &*format!("\"a\";r={left};t")));
        let seconds: u64 = seconds.parse().unwrap();
        assert!(((5 - left) * 600 + 1..=(6 - left) * 600).contains(&seconds), "{seconds}");
    }
    // The one that is exceeded is not told of; when to come again is.
    assert_eq!(told(&client.get("/")), (429, vec![policy("a"), policy("c")], vec![], true));
    let rates =
        json!({"rate_limits": [rate("a", 6, "always"), rate("b", 4, "refused"), rate("c", 5, "always")]});
    weir.api().patch("/v1/upstreams/default", &rates).assert(200);
    let (status, policies, left_of, _) = told(&client.get("/"));
    assert_eq!((status, policies), (429, vec![policy("a"), policy("b"), policy("c")]));
    assert!(left_of.len() == 1 && left_of[0].starts_with("\"b\";r=0;t="), "{left_of:?}");
    // What Weir answers itself tells, too, and what was refused has used nothing.
    let rates = json!({"rate_limits": [rate("a", 6, "always"), rate("c", 5, "always")]});
    weir.api().patch("/v1/upstreams/default", &rates).assert(200);
    let server = format!("/v1/upstreams/default/servers/{}", config::slug(origin.address()));
    weir.api().patch(&server, &json!({"admin_state": "maint"})).assert(200);
    let (status, policies, left_of, _) = told(&client.get("/"));
    assert_eq!((status, policies), (503, vec![policy("a"), policy("c")]));
    assert!(left_of[0].starts_with("\"a\";r=1;t=") && left_of[0].contains(", \"c\";r=0;t="), "{left_of:?}");
}

#[test]
fn a_refused_request_with_a_body_leaves_nothing_on_the_connection() {
    let (origin, weir) = limited(&json!([{"requests": 1, "per": "24h"}]));
    let mut client = weir.client();
    assert_eq!(client.get("/").status, 200);
    // What is cheap to throw away costs no connection; what is not is not waited for.
    let answer = client.post("/", "GET /smuggled HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    assert_eq!((answer.status, answer.announces_close()), (429, false));
    let answer = client.exchange("POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!((answer.status, answer.announces_close()), (429, true));
    assert_eq!(origin.count(), 1);
}

#[test]
fn settings_that_make_no_sense_are_pointed_at() {
    let (_origin, weir) = limited(&json!([]));
    let rate = |more: &Value| {
        let mut rate = json!({"requests": 1});
        rate.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"rate_limits": [rate]})
    };
    for (patch, pointer) in [
        (rate(&json!({"name": "per client"})), "#/rate_limits/0/name"),
        (rate(&json!({"requests": 0})), "#/rate_limits/0/requests"),
        (rate(&json!({"per": "0s"})), "#/rate_limits/0/per"),
        (rate(&json!({"burst": 0})), "#/rate_limits/0/burst"),
        (rate(&json!({"key": "cookie"})), "#/rate_limits/0/key"),
        (rate(&json!({"key": "header"})), "#/rate_limits/0/header"),
        (rate(&json!({"key": "header", "header": "a b"})), "#/rate_limits/0/header"),
        (rate(&json!({"ipv4_prefix": 33})), "#/rate_limits/0/ipv4_prefix"),
        (rate(&json!({"rate": 5})), "#/rate_limits/0/rate"),
        (rate(&json!({"fields": "sometimes"})), "#/rate_limits/0/fields"),
        (json!({"circuit_breaker": {"error_percent": 101}}), "#/circuit_breaker/error_percent"),
        (json!({"circuit_breaker": {"window": "0s"}}), "#/circuit_breaker/window"),
        (json!({"server_retry_after": {"max_time": "2h"}}), "#/server_retry_after/max_time"),
        (json!({"server_retry_after": {"statuses": ["5xx"]}}), "#/server_retry_after/statuses/0"),
        (json!({"adaptive_limit": {"min": 9, "max": 8}}), "#/adaptive_limit/max"),
        (json!({"adaptive_limit": {"smoothing": 2}}), "#/adaptive_limit/smoothing"),
    ] {
        let answer = weir.api().patch("/v1/upstreams/default", &patch).expect(422).json();
        assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
    }
}
