//! Bad input: the documented problem, every fault pointed at, nothing changed, nothing logged as trouble.

use serde_json::{Value, json};
use weir_tests::api::{Answer, Call};
use weir_tests::weir::Weir;

use super::problem::{assert_problem, pointers};

/// A Weir with one upstream, and what must still be true when the test is over.
struct Unchanged {
    weir: Weir,
    revision: u64,
    config: Value,
}

impl Unchanged {
    fn start() -> Self {
        let weir = Weir::start();
        weir.api().post("/v1/upstreams", &json!({ "id": "web", "servers": ["127.0.0.1:3001"] })).assert(201);
        let (revision, config) = (weir.api().revision(), weir.api().get("/v1/config").expect(200).json());
        Self { weir, revision, config }
    }

    fn check(self) {
        assert_eq!(self.weir.api().revision(), self.revision);
        assert_eq!(self.weir.api().get("/v1/config").expect(200).json(), self.config);
        let trouble = self.weir.logs().trouble(&["ERROR", "WARN"]);
        assert!(trouble.is_empty(), "a client's mistake is no trouble of ours: {trouble:#?}");
    }

    fn call(&self, method: &str, path: &str) -> Call {
        self.weir.api().call(method, path)
    }

    fn post(&self, body: &Value) -> Answer {
        self.weir.api().post("/v1/upstreams", body)
    }
}

/// Each document is refused with one fault, at exactly this place.
fn check_pointers(table: &[(Value, &str)]) {
    let unchanged = Unchanged::start();
    let mut faults = Vec::new();
    for (document, expected) in table {
        let answer = unchanged.post(document);
        if answer.status() != 422 {
            faults.push(format!("{document}: {} {}", answer.status(), answer.response.text()));
            continue;
        }
        let problem = assert_problem(&answer, 422, "validation");
        let found = pointers(&problem);
        // A server given as a string may be pointed at itself or as the address it stands for.
        if found != [*expected] && found != [format!("{expected}/address")] {
            faults.push(format!("{document}: {problem}"));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), table.len(), faults.join("\n"));
    unchanged.check();
}

#[test]
fn wrong_types() {
    check_pointers(&[
        (json!({ "id": "a", "servers": "127.0.0.1:3001" }), "#/servers"),
        (json!({ "id": "a", "servers": [42] }), "#/servers/0"),
        (json!({ "id": "a", "servers": [{ "address": 42 }] }), "#/servers/0/address"),
        (
            json!({ "id": "a", "servers": [{ "address": "127.0.0.1:1", "weight": "heavy" }] }),
            "#/servers/0/weight",
        ),
        (json!({ "id": "a", "algorithm": 1 }), "#/algorithm"),
        (json!({ "id": "a", "health_check": [] }), "#/health_check"),
        (json!({ "id": "a", "health_check": { "enabled": "yes" } }), "#/health_check/enabled"),
        (json!({ "id": "a", "connect_timeout": 3 }), "#/connect_timeout"),
        (json!({ "id": "a", "labels": { "team": 1 } }), "#/labels/team"),
        (json!({ "id": 7 }), "#/id"),
    ]);
}

#[test]
fn values_out_of_range() {
    let server = |more: Value| json!({ "id": "a", "servers": [more] });
    check_pointers(&[
        (json!({ "id": "a", "algorithm": "fastest" }), "#/algorithm"),
        (json!({ "id": "Not A Slug" }), "#/id"),
        (json!({ "id": "" }), "#/id"),
        (json!({ "id": "a".repeat(64) }), "#/id"),
        (json!({ "id": "a", "connect_timeout": "3 parsecs" }), "#/connect_timeout"),
        (json!({ "id": "a", "connect_timeout": "5m" }), "#/connect_timeout"),
        (json!({ "id": "a", "response_timeout": "1ms" }), "#/response_timeout"),
        (json!({ "id": "a", "panic_threshold_percent": 101 }), "#/panic_threshold_percent"),
        (json!({ "id": "a", "retries": { "attempts": 6 } }), "#/retries/attempts"),
        (json!({ "id": "a", "health_check": { "path": "healthz" } }), "#/health_check/path"),
        (json!({ "id": "a", "health_check": { "interval": "1ms" } }), "#/health_check/interval"),
        (
            json!({ "id": "a", "health_check": { "interval": "1s", "timeout": "1s" } }),
            "#/health_check/timeout",
        ),
        (
            json!({ "id": "a", "health_check": { "expected_statuses": ["abc"] } }),
            "#/health_check/expected_statuses/0",
        ),
        (
            json!({ "id": "a", "health_check": { "expected_statuses": ["200", "300-200"] } }),
            "#/health_check/expected_statuses/1",
        ),
        (
            json!({ "id": "a", "outlier_detection": { "consecutive_5xx": 1001 } }),
            "#/outlier_detection/consecutive_5xx",
        ),
        (
            json!({ "id": "a", "outlier_detection": { "success_rate_stdev_factor": 1900 } }),
            "#/outlier_detection/success_rate_stdev_factor",
        ),
        (
            json!({ "id": "a", "outlier_detection": { "max_ejection_time_jitter": "2h" } }),
            "#/outlier_detection/max_ejection_time_jitter",
        ),
        (server(json!({ "address": "127.0.0.1:1", "weight": 65_536 })), "#/servers/0/weight"),
        (server(json!({ "address": "127.0.0.1:1", "weight": -1 })), "#/servers/0/weight"),
        (server(json!({ "address": "127.0.0.1:1", "admin_state": "on" })), "#/servers/0/admin_state"),
    ]);
}

#[test]
fn addresses_that_are_none() {
    let servers = |list: Value| json!({ "id": "a", "servers": list });
    check_pointers(&[
        (servers(json!(["127.0.0.1"])), "#/servers/0"),
        (servers(json!([{ "address": "127.0.0.1" }])), "#/servers/0/address"),
        (servers(json!(["127.0.0.1:70000"])), "#/servers/0"),
        (servers(json!(["127.0.0.1:0"])), "#/servers/0"),
        (servers(json!(["127.0.0.1:"])), "#/servers/0"),
        (servers(json!(["127.0.0.1:http"])), "#/servers/0"),
        (servers(json!([":3001"])), "#/servers/0"),
        (servers(json!(["http://127.0.0.1:3001"])), "#/servers/0"),
        (servers(json!(["::1:3001"])), "#/servers/0"),
        (servers(json!([""])), "#/servers/0"),
        (servers(json!(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1"])), "#/servers/2"),
        (servers(json!([{ "weight": 1 }])), "#/servers/0/address"),
    ]);
}

/// Not the first fault: all of them, in one answer.
#[test]
fn all_faults_come_at_once() {
    let unchanged = Unchanged::start();
    let answer = unchanged.post(&json!({
        "id": "a",
        "panic_threshold_percent": 101,
        "connect_timeout": "99h",
        "health_check": { "interval": "5s", "timeout": "10s", "path": "nope" },
        "servers": ["127.0.0.1:1", { "address": "127.0.0.1" }, { "address": "127.0.0.1:1" }],
    }));
    let problem = assert_problem(&answer, 422, "validation");
    let expected = [
        "#/connect_timeout",
        "#/health_check/path",
        "#/health_check/timeout",
        "#/panic_threshold_percent",
        "#/servers/1/address",
        "#/servers/2/address",
    ];
    assert_eq!(pointers(&problem), expected, "{problem}");
    for error in problem["errors"].as_array().unwrap() {
        assert!(error["code"].is_string() && error["detail"].is_string(), "{error}");
    }
    unchanged.check();
}

#[test]
fn an_unknown_field_gets_the_nearest_known_name() {
    let table = [
        (json!({ "id": "a", "algoritm": "random" }), "#/algoritm", "algorithm"),
        (json!({ "id": "a", "serves": [] }), "#/serves", "servers"),
        (json!({ "id": "a", "health_check": { "intervall": "5s" } }), "#/health_check/intervall", "interval"),
        (
            json!({ "id": "a", "servers": [{ "address": "127.0.0.1:1", "wieght": 2 }] }),
            "#/servers/0/wieght",
            "weight",
        ),
        (json!({ "id": "a", "retries": { "atempts": 2 } }), "#/retries/atempts", "attempts"),
    ];
    let unchanged = Unchanged::start();
    for (document, pointer, name) in table {
        let problem = assert_problem(&unchanged.post(&document), 422, "validation");
        assert_eq!(pointers(&problem), [pointer], "{problem}");
        assert_eq!(problem["errors"][0]["code"], "unknown_field", "{problem}");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(name), "{problem}");
    }
    unchanged.check();
}

/// An upstream is a group here; who means one server is told what to write.
#[test]
fn the_other_reading_of_upstream_is_explained() {
    let unchanged = Unchanged::start();
    for document in [json!({ "address": "127.0.0.1:3001" }), json!({ "url": "http://127.0.0.1:3001" })] {
        let problem = assert_problem(&unchanged.post(&document), 422, "validation");
        assert!(problem.to_string().contains("servers"), "{problem}");
    }
    unchanged.check();
}

#[test]
fn what_is_no_json_is_400() {
    let unchanged = Unchanged::start();
    let bodies: [&[u8]; 8] = [
        b"{",
        b"",
        b"not json",
        b"{\"id\":\"a\",}",
        b"{\"id\":\"a\"} {}",
        b"{'id':'a'}",
        b"\xff\xfe",
        b"{\"id\":\"\xff\"}",
    ];
    for body in bodies {
        let answer = unchanged
            .call("POST", "/v1/upstreams")
            .field("Content-Type", "application/json")
            .body(body)
            .send();
        assert_problem(&answer, 400, "malformed_json");
    }
    let deep = "[".repeat(100_000);
    let answer =
        unchanged.call("POST", "/v1/upstreams").field("Content-Type", "application/json").body(deep).send();
    assert_problem(&answer, 400, "malformed_json");
    unchanged.check();
}

/// JSON, but no object: a fault of the document as a whole.
#[test]
fn json_of_another_shape_is_refused() {
    let unchanged = Unchanged::start();
    for document in [json!([]), json!("text"), json!(42), json!(null), json!(true)] {
        let answer = unchanged.post(&document);
        assert!(matches!(answer.status(), 400 | 422), "{document}: {answer:?}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    }
    unchanged.check();
}

/// A name that stands twice may be read either way, so it is refused.
#[test]
fn a_member_given_twice_is_refused() {
    let unchanged = Unchanged::start();
    let answer = unchanged
        .call("POST", "/v1/upstreams")
        .field("Content-Type", "application/json")
        .body("{\"id\":\"a\",\"algorithm\":\"random\",\"algorithm\":\"round_robin\"}")
        .send();
    assert!(matches!(answer.status(), 400 | 422), "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    unchanged.check();
}

#[test]
fn a_body_too_large_is_413() {
    let unchanged = Unchanged::start();
    // Declared, not sent: the answer must not wait for 129 MiB.
    let mut wire = weir_tests::client::Wire::connect(unchanged.weir.admin());
    wire.send(format!(
        "POST /v1/upstreams HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        unchanged.weir.admin(),
        129 * 1024 * 1024,
    ));
    let answer = Answer { asked: "POST /v1/upstreams".to_owned(), response: wire.response("POST").unwrap() };
    assert_problem(&answer, 413, "body_too_large");
    unchanged.check();
}

#[test]
fn another_media_type_is_415() {
    let unchanged = Unchanged::start();
    for media in ["text/plain", "application/xml", "multipart/form-data", "application/merge-patch+json"] {
        let answer = unchanged
            .call("POST", "/v1/upstreams")
            .field("Content-Type", media)
            .body("{\"id\":\"a\"}")
            .send();
        assert_problem(&answer, 415, "unsupported_media_type");
    }
    let xml = unchanged
        .call("PATCH", "/v1/upstreams/web")
        .field("Content-Type", "application/xml")
        .body("<a/>")
        .send();
    assert_problem(&xml, 415, "unsupported_media_type");
    unchanged.check();
}

#[test]
fn what_does_not_exist_is_404_and_what_cannot_be_done_is_405() {
    let unchanged = Unchanged::start();
    let body = json!({ "weight": 1 });
    for path in [
        "/v1/upstreams/none",
        "/v1/upstreams/web/servers/none",
        "/v1/nothing",
        "/nothing",
        "/v1/upstreams/web/none",
    ] {
        assert_problem(&unchanged.call("GET", path).send(), 404, "not_found");
    }
    assert_problem(&unchanged.weir.api().patch("/v1/upstreams/none", &body), 404, "not_found");
    assert_problem(
        &unchanged.weir.api().post("/v1/upstreams/none/servers", &json!("127.0.0.1:1")),
        404,
        "not_found",
    );
    for (method, path) in [
        ("DELETE", "/v1/upstreams"),
        ("POST", "/v1/upstreams/web"),
        ("POST", "/v1/health"),
        ("DELETE", "/v1/info"),
    ] {
        let answer = unchanged.call(method, path).send();
        assert_problem(&answer, 405, "method_not_allowed");
        assert!(answer.response.fields.has("allow"), "{answer:?}");
    }
    unchanged.check();
}

#[test]
fn a_query_that_means_nothing_is_refused() {
    let unchanged = Unchanged::start();
    for query in ["limit=0", "limit=1001", "limit=many"] {
        let answer = unchanged.call("GET", &format!("/v1/upstreams?{query}")).send();
        assert!(matches!(answer.status(), 400 | 422), "{query}: {answer:?}");
        assert!(answer.json()["errors"].to_string().contains("limit"), "{query}: {answer:?}");
    }
    unchanged.check();
}

#[test]
fn what_only_weir_sets_cannot_be_set() {
    let unchanged = Unchanged::start();
    for field in ["revision", "created_at", "updated_at"] {
        let mut document = unchanged.weir.api().get("/v1/upstreams/web").expect(200).json();
        document[field] = if field == "revision" { json!(999) } else { json!("2001-01-01T00:00:00Z") };
        let answer = unchanged.weir.api().put("/v1/upstreams/web", &document);
        assert_eq!(pointers(&assert_problem(&answer, 422, "validation")), [format!("#/{field}")]);
    }
    unchanged.check();
}
