//! What a route does with its requests: rewrites, fields, redirects, fixed responses, limits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::{
    eventually::eventually,
    origin::Origin,
    reply::{self, Step},
};

use super::{Scene, to, to_with};
use crate::semantics::metric;

#[test]
fn paths_and_hosts_are_rewritten_and_the_query_stays() {
    let scene = Scene::new(&["a"]);
    scene.route(
        "prefix",
        &json!({"path": {"value": "/v1"}}),
        &to_with(
            "a",
            &json!({
                "rewrite": {"host": "internal.test:81", "path": {"type": "replace_prefix", "value": "/api/"}}
            }),
        ),
    );
    scene.route(
        "full",
        &json!({"path": {"value": "/full"}}),
        &to_with(
            "a",
            &json!({
                "rewrite": {"path": {"value": "/one"}}
            }),
        ),
    );
    scene.route("regex", &json!({"path": {"type": "regex", "value": "/users/[0-9]+/.*"}}), &to_with("a", &json!({
        "rewrite": {"path": {"type": "regex", "pattern": "^/users/([0-9]+)/(.*)$", "value": "/$2/of/${1}"}}
    })));
    for target in ["/v1", "/v1/", "/v1/x?y=z&/v1", "/%76%31/x", "/full/x?y", "/users/7/posts/new?a"] {
        assert_eq!(scene.ask(target, "").status, 200, "{target}");
    }
    assert_eq!(
        scene.origins[0].targets(),
        ["/api", "/api/", "/api/x?y=z&/v1", "/api/x", "/one?y", "/posts/new/of/7?a"]
    );
    let seen = scene.origins[0].seen();
    let field = |nth: usize, name: &str| seen[nth].request.head.fields.one(name).map(str::to_owned);
    assert_eq!(field(0, "host").unwrap(), "internal.test:81");
    assert_eq!(field(0, "x-forwarded-host").unwrap(), "x.test", "servers are told what the client asked for");
    assert_eq!(field(4, "host").unwrap(), "x.test");
    // `..` would lead out of what was put before it.
    for target in ["/v1/../x", "/v1/..%2fx", "/v1/%2e%2e/x", "/v1/..;/x"] {
        assert_eq!(scene.ask(target, "").status, 400, "{target}");
    }
    assert_eq!(scene.origins[0].count(), 6);
}

#[test]
fn fields_are_set_added_and_removed_both_ways() {
    let origin = Origin::script(|_| {
        vec![Step::Send(reply::message("200 OK", &["X-Powered-By: old", "X-Kept: 1", "Server: s"], "body"))]
    });
    let scene = Scene::of(vec![("a", origin)]);
    scene.route("default", &json!({}), &to_with("a", &json!({
        "request_headers": {"set": {"X-Set": "new"}, "add": {"x-add": "more"}, "remove": ["Cookie", "x-gone"]},
        "response_headers": {"set": {"server": "weir"}, "add": {"x-kept": "2"}, "remove": ["X-Powered-By"]}
    })));
    let answer = scene
        .ask("/", "x-set: old\r\nX-SET: older\r\nx-add: one\r\nCookie: a=b\r\nX-Gone: 1\r\nx-other: 1\r\n");
    assert_eq!(answer.fields.all("server"), ["weir"]);
    assert_eq!(answer.fields.all("x-kept"), ["1", "2"]);
    assert!(!answer.fields.has("x-powered-by"));
    let fields = scene.origins[0].only().request.head.fields;
    assert_eq!(fields.all("x-set"), ["new"]);
    assert_eq!(fields.all("x-add"), ["one", "more"]);
    assert_eq!(fields.all("x-other"), ["1"]);
    assert!(!fields.has("cookie") && !fields.has("x-gone"), "{fields:?}");
}

#[test]
fn clients_are_sent_elsewhere() {
    let scene = Scene::new(&[]);
    let redirect = |id: &str, to: Value| {
        let path = json!({"path": {"value": format!("/{id}")}});
        scene.route(
            id,
            &path,
            &json!({ "redirect": to, "response_headers": {"set": {"cache-control": "max-age=60"}} }),
        );
    };
    redirect("https", json!({"scheme": "https", "status": 301}));
    redirect("host", json!({"host": "b.test", "status": 308}));
    redirect("port", json!({"port": 8443, "scheme": "https"}));
    redirect("path", json!({"path": {"type": "replace_prefix", "value": "/new"}}));
    let data = scene.weir.data();
    for (target, lines, status, location) in [
        ("/https/x?y=z", "", 301, "https://x.test/https/x?y=z".to_owned()),
        ("/host", "Host: a.test:8080\r\n", 308, "http://b.test:8080/host".to_owned()),
        ("/port", "", 302, "https://x.test:8443/port".to_owned()),
        ("/path/x%20y?q", &format!("Host: {data}\r\n"), 302, format!("http://{data}/new/x%20y?q")),
    ] {
        let answer = scene.ask(target, lines);
        assert_eq!(
            (answer.status, answer.fields.one("location")),
            (status, Some(location.as_str())),
            "{target}"
        );
        assert_eq!((answer.body.len(), answer.fields.one("cache-control")), (0, Some("max-age=60")));
    }
    let mut client = scene.weir.client();
    assert_eq!(client.exchange("GET /https HTTP/1.0\r\n\r\n").status, 400, "no host to lead to");
}

#[test]
fn answers_are_given_without_a_server() {
    let scene = Scene::new(&[]);
    let answer = json!({"status": 503, "headers": {"retry-after": "60"}, "body": "back at noon\n"});
    scene.route("closed", &json!({"path": {"value": "/closed"}}), &json!({ "fixed_response": answer }));
    scene.route("empty", &json!({"path": {"value": "/empty"}}), &json!({"fixed_response": {"status": 204}}));
    scene.route("limited", &json!({"path": {"value": "/limited"}}), &json!({
        "fixed_response": {"body": "ok"}, "rate_limits": [{"name": "few", "requests": 1, "per": "1h", "burst": 2}]
    }));
    let mut client = scene.weir.client();
    for _ in 0..3 {
        let answer = client.get("/closed");
        assert_eq!((answer.status, answer.text().as_str()), (503, "back at noon\n"));
        assert_eq!(answer.fields.one("retry-after"), Some("60"));
        assert_eq!(answer.fields.one("content-type"), Some("text/plain; charset=utf-8"));
    }
    let head = client.exchange("HEAD /closed HTTP/1.1\r\nHost: x.test\r\n\r\n");
    assert_eq!((head.status, head.fields.one("content-length")), (503, Some("13")));
    assert_eq!(client.get("/empty").status, 204);
    let body = "POST /closed HTTP/1.1\r\nHost: x.test\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(scene.weir.client().exchange(body).status, 503);
    let waiting =
        "POST /closed HTTP/1.1\r\nHost: x.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let answer = scene.weir.client().exchange(waiting);
    assert_eq!((answer.status, answer.interim.len()), (503, 0), "nobody wants the body");
    let statuses: Vec<u16> = (0..3).map(|_| client.get("/limited").status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(client.get("/limited").fields.one("ratelimit-policy"), Some("\"few\";q=1;w=3600"));
    scene.weir.assert_no_errors();
}

#[test]
fn a_route_limits_its_requests() {
    let slow = Origin::script(|seen| match seen.request.head.target.as_str() {
        "/slow-head" => {
            vec![Step::Pause(Duration::from_secs(3)), Step::Send(reply::message("200 OK", &[], "late"))]
        }
        "/slow-body" => vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf".to_vec()),
            Step::Pause(Duration::from_secs(3)),
            Step::Send(b"half".to_vec()),
        ],
        "/slow-client" => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n".to_vec();
            vec![Step::Send(head), Step::Fill(67_108_864)]
        }
        "/broken" => vec![Step::Send(reply::message("503 Service Unavailable", &[], "no"))],
        _ => reply::ok("ok"),
    });
    let scene = Scene::of(vec![("a", slow)]);
    scene.route("default", &json!({}), &to("a"));
    let timeout = to_with("a", &json!({"timeout": "300ms"}));
    scene.route("slow", &json!({"path": {"type": "regex", "value": "/slow-.*"}}), &timeout);
    let mut client = scene.weir.client();
    let began = Instant::now();
    let answer = client.get("/slow-head");
    assert_eq!(
        (answer.status, answer.fields.one("proxy-status")),
        (504, Some("weir; error=http_response_timeout"))
    );
    assert!(answer.text().contains("route-timeout"), "{}", answer.text());
    assert!(began.elapsed() > Duration::from_millis(290) && began.elapsed() < Duration::from_secs(2));
    let began = Instant::now();
    client.send("GET /slow-body HTTP/1.1\r\nHost: x.test\r\n\r\n");
    let broken = client.response("GET");
    assert!(broken.is_err(), "half a body is no body: {broken:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
    let mut unread = scene.weir.client();
    unread.send("GET /slow-client HTTP/1.1\r\nHost: x.test\r\n\r\n");
    eventually("a client that does not read has no longer than others", || {
        let is_over = metric(&scene.weir, "weir_requests_active") == 0;
        (is_over && scene.origins[0].sent() > 1_000_000).then_some(())
    });
    assert_eq!(scene.ask("/other", "").text(), "ok");

    let answering = to_with("a", &json!({"response_timeout": "300ms"}));
    scene.route("slow", &json!({"path": {"type": "regex", "value": "/slow-.*"}}), &answering);
    let began = Instant::now();
    assert_eq!(scene.ask("/slow-head", "").status, 504);
    assert!(began.elapsed() < Duration::from_secs(2));

    scene.route("small", &json!({"path": {"value": "/small"}}), &to_with("a", &json!({"max_body_bytes": 4})));
    assert_eq!(scene.weir.client().post("/small", "four").status, 200);
    assert_eq!(scene.weir.client().post("/small", "fives").status, 413);
    let chunked =
        "POST /small HTTP/1.1\r\nHost: x.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfives\r\n0\r\n\r\n";
    assert_eq!(scene.weir.client().exchange(chunked).status, 413);
    assert_eq!(scene.weir.client().post("/large", "fives").status, 200);
}

/// The upstream is asked once; a route may ask more often, or the other way round.
#[test]
fn a_route_decides_how_often_a_request_is_tried() {
    let failing = Origin::script(|_| vec![Step::Send(reply::message("503 Service Unavailable", &[], "no"))]);
    let scene = Scene::of(vec![("bad", failing), ("good", Origin::named("good"))]);
    let servers: Vec<_> = scene.origins.iter().map(|origin| origin.address().to_string()).collect();
    let upstream = json!({
        "servers": servers, "algorithm": "round_robin", "retries": {"attempts": 0},
        "health_check": {"enabled": false}, "outlier_detection": {"enabled": false}
    });
    scene.weir.api().put("/v1/upstreams/both?bind=false", &upstream).assert(201);
    scene.route("default", &json!({}), &to("both"));
    // Taking turns, each retry leaves the failing server next in turn: every request needs one.
    let retries = json!({"attempts": 1, "on": ["status_503"], "budget_percent": 100});
    let again = to_with("both", &json!({"retries": retries}));
    scene.route("again", &json!({"path": {"value": "/again"}}), &again);
    let count = |target: &str| (0..20).filter(|_| scene.ask(target, "").status == 503).count();
    assert_eq!(count("/again"), 0);
    assert!(count("/once") >= 5);
}

#[test]
fn requests_are_counted_by_route() {
    let scene = Scene::new(&["a"]);
    scene.route("counted", &json!({"path": {"value": "/counted"}}), &to("a"));
    for _ in 0..3 {
        scene.ask("/counted", "");
    }
    scene.ask("/other", "");
    let metrics = scene.weir.api().get("/metrics").response.text();
    for line in [
        "weir_route_responses_total{route=\"counted\",code_class=\"2xx\"} 3",
        "weir_route_responses_total{route=\"default\",code_class=\"5xx\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}
