//! Bad input: each the documented problem with every fault pointed at, and nothing changed.

use serde_json::{Value, json};

use super::harness::Harness;

/// Bodies for POST /v1/upstreams with the faults they have.
#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_upstreams() -> Vec<(Value, Vec<&'static str>)> {
    vec![
        (json!({"servers": 5}), vec!["#/servers invalid_type"]),
        (json!({"servers": [5]}), vec!["#/servers/0 invalid_type"]),
        (json!({"algorithm": "fastest"}), vec!["#/algorithm invalid_type"]),
        (json!({"algoritm": "random"}), vec!["#/algoritm unknown_field"]),
        (json!({"health_check": {"pth": "/"}}), vec!["#/health_check/pth unknown_field"]),
        (json!({"servers": [{"address": "a:1", "wieght": 1}]}), vec!["#/servers/0/wieght unknown_field"]),
        (json!({"panic_threshold_percent": 101}), vec!["#/panic_threshold_percent out_of_range"]),
        (json!({"panic_threshold_percent": 300}), vec!["#/panic_threshold_percent out_of_range"]),
        (json!({"panic_threshold_percent": -1}), vec!["#/panic_threshold_percent out_of_range"]),
        (json!({"connect_timeout": "5"}), vec!["#/connect_timeout invalid_value"]),
        (json!({"connect_timeout": "2h"}), vec!["#/connect_timeout out_of_range"]),
        (json!({"health_check": {"timeout": "10s"}}), vec!["#/health_check/timeout out_of_range"]),
        (
            json!({"health_check": {"expected_statuses": ["99"]}}),
            vec!["#/health_check/expected_statuses/0 invalid_value"],
        ),
        (json!({"retries": {"on": ["always"]}}), vec!["#/retries/on/0 invalid_type"]),
        (json!({"retries": {"on": ["status_501"]}}), vec!["#/retries/on/0 invalid_type"]),
        (json!({"retries": {"budget_percent": 101}}), vec!["#/retries/budget_percent out_of_range"]),
        (
            json!({"hedging": {"percentile": 101, "delay": "0s", "max_percent": 0}}),
            vec![
                "#/hedging/delay out_of_range",
                "#/hedging/max_percent out_of_range",
                "#/hedging/percentile out_of_range",
            ],
        ),
        (json!({"hedging": {"percentile": 49.9}}), vec!["#/hedging/percentile out_of_range"]),
        (json!({"hedging": {"max_percent": 101}}), vec!["#/hedging/max_percent out_of_range"]),
        (json!({"hedging": {"delay": "5"}}), vec!["#/hedging/delay invalid_value"]),
        (json!({"hedging": {"percentil": 95}}), vec!["#/hedging/percentil unknown_field"]),
        (json!({"hedging": {"enabled": "yes"}}), vec!["#/hedging/enabled invalid_type"]),
        (json!({"servers": ["10.0.0.8"]}), vec!["#/servers/0/address invalid_address"]),
        (json!({"servers": ["a:1", "http://b:1"]}), vec!["#/servers/1/address invalid_address"]),
        (json!({"servers": ["a:1", "A:1"]}), vec!["#/servers/1/address duplicate"]),
        (
            json!({"servers": [{"id": "x", "address": "a:1"}, {"id": "x", "address": "b:1"}]}),
            vec!["#/servers/1/id duplicate"],
        ),
        (json!({"servers": [{"weight": 1}]}), vec!["#/servers/0/address required"]),
        (json!({"servers": [{"address": "a:1", "weight": 65536}]}), vec!["#/servers/0/weight out_of_range"]),
        (json!({"servers": [{"address": "a:1", "priority": 16}]}), vec!["#/servers/0/priority out_of_range"]),
        (
            json!({"overprovisioning_percent": 99, "zone_awareness": {"mode": "far", "min_servers": 0}}),
            vec!["#/zone_awareness/mode invalid_type"],
        ),
        (
            json!({
                "overprovisioning_percent": 99, "zone_awareness": {"min_servers": 0}, "subset": {"size": 10_001},
                "slow_start": {"duration": "1ms", "min_weight_percent": 0, "aggression": 0},
            }),
            vec![
                "#/overprovisioning_percent out_of_range",
                "#/slow_start/aggression out_of_range",
                "#/slow_start/duration out_of_range",
                "#/slow_start/min_weight_percent out_of_range",
                "#/subset/size out_of_range",
                "#/zone_awareness/min_servers out_of_range",
            ],
        ),
        (
            json!({"servers": [{"address": "a:1", "admin_state": "off"}]}),
            vec!["#/servers/0/admin_state invalid_type"],
        ),
        (json!({"id": "Web"}), vec!["#/id invalid_id"]),
        (json!({"id": ""}), vec!["#/id invalid_id"]),
        (json!({"id": 7}), vec!["#/id invalid_type"]),
        (json!({"revision": 7}), vec!["#/revision read_only"]),
        (
            json!({"servers": [{"address": "a:1", "created_at": "2026-01-01T00:00:00Z"}]}),
            vec!["#/servers/0/created_at read_only"],
        ),
        (json!({"address": "a:1"}), vec!["#/address unknown_field"]),
        (json!([]), vec!["# invalid_type"]),
        (json!("a:1"), vec!["# invalid_type"]),
        (json!(null), vec!["# invalid_type"]),
        (
            json!({
                "id": "-", "descripton": "x", "connect_timeout": "1ms", "labels": {"": "x"},
                "health_check": {"path": "x", "jitter_percent": 51},
                "servers": ["a:0", {"address": "b:1", "zone": "z".repeat(64), "lables": {}}],
            }),
            vec![
                "#/connect_timeout out_of_range",
                "#/descripton unknown_field",
                "#/health_check/jitter_percent out_of_range",
                "#/health_check/path invalid_value",
                "#/id invalid_id",
                "#/labels/ out_of_range",
                "#/servers/0/address invalid_address",
                "#/servers/1/lables unknown_field",
                "#/servers/1/zone out_of_range",
            ],
        ),
    ]
}

#[tokio::test]
async fn bad_upstreams_are_refused_with_every_fault() {
    let api = Harness::new().await.with_web().await;
    for (body, faults) in bad_upstreams() {
        let answer = api.post("/v1/upstreams", body.clone()).await;
        assert_eq!(answer.problem(422, "validation"), faults, "{body}: {}", answer.text);
        assert_eq!(answer.revision(), 1, "{body}");
    }
    assert_eq!(api.get("/v1/upstreams").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn bad_servers_are_refused_with_every_fault() {
    let api = Harness::new().await.with_web().await;
    let path = "/v1/upstreams/web/servers";
    for (body, faults) in [
        (json!({"addres": "c:1"}), vec!["#/addres unknown_field", "#/address required"]),
        (json!("c"), vec!["#/address invalid_address"]),
        (json!(5), vec!["# invalid_type"]),
        (json!(["c:1", "d"]), vec!["#/1/address invalid_address"]),
        (json!(["c:1", "c:1"]), vec!["#/1/address duplicate"]),
        (
            json!([{"address": "c:1", "weight": "x"}, {"address": "d:1", "wait": 1}]),
            vec!["#/0/weight invalid_type", "#/1/wait unknown_field"],
        ),
        (json!([5, 6]), vec!["#/0 invalid_type", "#/1 invalid_type"]),
        (json!(vec!["c:1"; 1001]), vec!["# too_many"]),
        (json!({"address": "c:1", "revision": 1}), vec!["#/revision read_only"]),
    ] {
        let answer = api.post(path, body.clone()).await;
        assert_eq!(answer.problem(422, "validation"), faults, "{}", answer.text);
    }
    assert_eq!(api.get("/v1/upstreams/web").await.json()["servers"].as_array().unwrap().len(), 2);
    assert_eq!(api.get("/v1/config").await.revision(), 1);
}

#[tokio::test]
async fn hints_say_what_to_write_instead() {
    let api = Harness::new().await;
    for (body, hint) in [
        (json!({"servers": ["10.0.0.8"]}), "did you mean \\\"10.0.0.8:80\\\"?"),
        (json!({"algoritm": "random"}), "did you mean \\\"algorithm\\\"?"),
        (json!({"url": "http://a"}), "write \\\"servers\\\": [\\\"host:port\\\"]"),
        (json!({"health_check": {"timeout": "9s"}}), "\"allowed\":\"10ms..<interval\""),
        (json!({"servers": [{"address": "a:1", "weight": 70000}]}), "\"allowed\":\"0..65535\""),
        (json!({"servers": [{"address": "a:1", "weight": -1}]}), "must be 0 to 65535"),
    ] {
        let answer = api.post("/v1/upstreams", body).await;
        assert!(answer.text.contains(hint), "{}", answer.text);
    }
}

#[tokio::test]
async fn broken_json_is_placed() {
    let api = Harness::new().await;
    let kind = [("content-type", "application/json")];
    for (body, place) in [
        ("{\"id\":\n\"web\",}", "line 2 column 7"),
        ("{\"id\":\"a\",\"id\":\"b\"}", "given twice"),
        ("", "empty"),
        ("{", "EOF"),
        ("{} {}", "trailing"),
    ] {
        let answer = api.send("POST", "/v1/upstreams", &kind, body).await;
        assert_eq!(answer.problem(400, "malformed_json"), [""; 0]);
        assert!(answer.text.contains(place), "{body}: {}", answer.text);
    }
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    api.send("POST", "/v1/upstreams", &kind, deep).await.problem(400, "malformed_json");
}

#[tokio::test]
async fn media_types_are_minded() {
    let api = Harness::new().await;
    let body = "{\"servers\":[\"a:1\"]}";
    for kind in ["text/plain", "application/xml", "multipart/form-data", "application/merge-patch+json"] {
        let answer = api.send("POST", "/v1/upstreams", &[("content-type", kind)], body).await;
        answer.problem(415, "unsupported_media_type");
        assert!(answer.text.contains("--json"), "{}", answer.text);
    }
    let form = ("content-type", "application/x-www-form-urlencoded");
    let from_browser =
        api.send("POST", "/v1/upstreams", &[form, ("sec-fetch-site", "same-origin")], body).await;
    from_browser.problem(415, "unsupported_media_type");
    let json = ("content-type", "application/json");
    let packed = api.send("POST", "/v1/upstreams", &[json, ("content-encoding", "gzip")], body).await;
    packed.problem(415, "unsupported_media_type");
    assert_eq!(api.send("POST", "/v1/upstreams", &[form], body).await.status, 201);
    let charset = [("content-type", "Application/JSON; charset=utf-8")];
    let other = "{\"id\":\"b\"}";
    assert_eq!(api.send("POST", "/v1/upstreams", &charset, other).await.status, 201);
}

#[tokio::test]
async fn faults_are_told_without_the_words_of_a_programming_language() {
    let api = Harness::new().await.with_web().await;
    let detail = |answer: super::harness::Answer| answer.json()["errors"][0]["detail"].to_string();
    let rollback = detail(api.post("/v1/config/rollback", json!({"to": "1"})).await);
    assert!(rollback.contains("expected a whole number"), "{rollback}");
    let then = json!({"then": "delete"});
    let drain = detail(api.post("/v1/upstreams/web/servers/a-1/drain", then).await);
    assert!(drain.contains("unknown value `delete`, expected one of `keep`"), "{drain}");
    let since = detail(api.get("/v1/audit?since=yesterday").await);
    assert!(since.contains("2026-11-22T21:40:00Z"), "{since}");
    let far = json!({"id": "far", "servers": [{"address": "a:1", "priority": 300}]});
    let priority = detail(api.post("/v1/upstreams", far).await);
    assert!(priority.contains("expected a whole number from 0 to 255"), "{priority}");
}

#[tokio::test]
async fn large_bodies_are_refused_whether_announced_or_not() {
    let api = Harness::new().await;
    let json = ("content-type", "application/json");
    let length = (crate::api::body::MAX_BODY_BYTES + 1).to_string();
    let announced = api.send("POST", "/v1/upstreams", &[json, ("content-length", &length)], "{}").await;
    announced.problem(413, "body_too_large");
    let large = format!("{{\"description\":\"{}\"}}", "x".repeat(crate::api::body::MAX_BODY_BYTES));
    api.send("POST", "/v1/upstreams", &[json], large).await.problem(413, "body_too_large");
}

#[tokio::test]
async fn unknown_places_methods_and_parameters_are_problems_too() {
    let api = Harness::new().await.with_web().await;
    for path in [
        "/v1",
        "/v2/upstreams",
        "/v1/upstreams/",
        "/v1/upstreams/nope",
        "/v1/upstreams/web/servers/nope",
        "/v1/upstreams/nope/servers",
        "/v1/upstreams/nope/health",
        "/v1/upstreams/web/servers/nope/health",
        "/v1/routes/nope",
        "/v1/revision",
        "/docs/problems/nope",
        "/docs/nope.js",
    ] {
        api.get(path).await.problem(404, "not_found");
    }
    for (method, path, allow) in [
        ("DELETE", "/v1/upstreams", "GET,HEAD,POST"),
        ("POST", "/v1/upstreams/web", "GET,HEAD,PUT,PATCH,DELETE"),
        ("PATCH", "/v1/config", "GET,HEAD,PUT"),
        ("OPTIONS", "/v1/health", "GET,HEAD"),
    ] {
        let answer = api.json(method, path, &json!({})).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    for (path, fault) in [
        ("/v1/upstreams?limit=0", "limit out_of_range"),
        ("/v1/upstreams?limit=x", "limit out_of_range"),
        ("/v1/upstreams?limt=5", "limt unknown_field"),
        ("/v1/upstreams?expand=everything", "expand invalid_value"),
        ("/v1/upstreams?limit=1&limit=2", "limit duplicate"),
        ("/v1/upstreams?label=x", "label invalid_value"),
        ("/v1/health?state=ill", "state invalid_value"),
        ("/v1/config?revison=1", "revison unknown_field"),
    ] {
        assert_eq!(api.get(path).await.problem(422, "validation"), [fault], "{path}");
    }
    let mistyped = api.send("DELETE", "/v1/upstreams/web?dryrun=true&cascade=true", &[], "").await;
    assert_eq!(mistyped.problem(422, "validation"), ["dryrun unknown_field"]);
    assert!(mistyped.text.contains("dry_run"), "{}", mistyped.text);
    api.get("/v1/upstreams/%ff").await.problem(400, "malformed_request");
}

#[tokio::test]
async fn other_sites_are_refused() {
    let api = Harness::new().await.with_web().await;
    for fields in [
        [("host", "evil.example"), ("accept", "*/*")],
        [("host", "localhost"), ("origin", "http://evil.example")],
        [("host", "localhost"), ("sec-fetch-site", "cross-site")],
    ] {
        api.send("GET", "/v1/config", &fields, "").await.problem(403, "forbidden");
        api.send("DELETE", "/v1/upstreams/web?cascade=true", &fields, "").await.problem(403, "forbidden");
    }
    api.send("GET", "/v1/config", &[("host", "")], "").await.problem(400, "malformed_request");
    assert_eq!(api.get("/v1/upstreams/web").await.status, 200);
}

#[tokio::test]
async fn a_long_name_costs_little_and_is_repeated_in_short() {
    let api = Harness::new().await.with_web().await;
    let kind = [("content-type", "application/json")];
    let begun = tokio::time::Instant::now();
    let long = "x".repeat(4 << 20);
    let answer = api.send("POST", "/v1/upstreams", &kind, format!("{{\"{long}\":1}}")).await;
    let faults = answer.problem(422, "validation");
    assert!(faults.len() == 1 && faults[0].ends_with(" unknown_field"));
    assert!(answer.text.len() < 2048, "{} bytes", answer.text.len());
    // Comparing a name this long with the known ones would take hours.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    let answer = api.send("POST", "/v1/upstreams", &kind, format!("{{\"{long}\":1,\"{long}\":1}}")).await;
    answer.problem(400, "malformed_json");
    assert!(answer.text.len() < 2048, "{} bytes", answer.text.len());
    let patch = api.send("PATCH", "/v1/upstreams/web", &kind, format!("{{\"{long}\":null}}")).await;
    patch.problem(413, "body_too_large");
    let address =
        api.post("/v1/upstreams", json!({"id": "y", "labels": {&long: ""}, "servers": [long]})).await;
    assert_eq!(address.problem(422, "validation").len(), 2);
    assert!(address.text.len() < 4096, "{} bytes", address.text.len());
    let long = "x".repeat(2000);
    let patch = api.send("PATCH", "/v1/upstreams/web", &kind, format!("{{\"{long}\":null}}")).await;
    assert!(patch.text.len() < 2048 && patch.status == 422, "{}", patch.text);
    let query = api.get(&format!("/v1/upstreams?{long}=1")).await;
    assert!(query.text.len() < 1024 && query.status == 422, "{}", query.text);
}

#[tokio::test]
async fn too_many_servers_are_refused_before_any_is_read() {
    let api = Harness::new().await;
    let answer = api.post("/v1/upstreams", json!({"servers": vec![5; 10_001]})).await;
    assert_eq!(answer.problem(422, "validation"), ["#/servers too_many"]);
}

#[tokio::test]
async fn a_byte_order_mark_is_named() {
    let api = Harness::new().await;
    let json = ("content-type", "application/json");
    let refused = api.send("POST", "/v1/upstreams", &[json], "\u{feff}{}").await;
    refused.problem(400, "malformed_json");
    assert!(refused.json()["detail"].as_str().unwrap().contains("byte order mark"), "{refused:?}");
}

#[tokio::test]
async fn the_admin_address_leads_to_its_documentation() {
    let answer = Harness::new().await.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/docs/"));
}

#[tokio::test]
async fn a_read_says_nothing_of_changes() {
    let api = Harness::new().await;
    let detail = |answer: &super::harness::Answer| answer.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail(&api.get("/v1/health?nonsense=1").await), "1 field is invalid.");
    let changing = api.post("/v1/upstreams", json!({"servers": [1]})).await;
    assert_eq!(detail(&changing), "1 field is invalid; nothing was changed.");
}
