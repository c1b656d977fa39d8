//! The whole configuration as one document: put, kept, guarded.

use serde_json::{Value, json};

use super::harness::{Answer, Harness};

const CONFIG: &str = "/v1/config";

async fn put(api: &Harness, query: &str, body: &Value) -> Answer {
    api.json("PUT", &format!("{CONFIG}{query}"), body).await
}

fn paths(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let word = |difference: &Value, name: &str| difference[name].as_str().unwrap().to_owned();
    let line = |difference: &Value| format!("{} {}", word(difference, "op"), word(difference, "path"));
    json["diff"].as_array().unwrap().iter().map(line).collect()
}

fn servers(names: std::ops::Range<u32>) -> Vec<String> {
    names.map(|name| format!("s{name}:80")).collect()
}

#[tokio::test]
async fn what_was_read_can_be_put_back_and_changes_nothing() {
    let api = Harness::new().await.with_web().await;
    let patch = json!({"zone": "z", "labels": {"a": "b"}, "weight": 0});
    api.json("PATCH", "/v1/upstreams/web/servers/a-1", &patch).await;
    let read = api.get(CONFIG).await;
    let answer = put(&api, "", &read.json()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"revision": 2, "unchanged": true, "diff": [], "warnings": []}));
    assert_eq!((answer.header("etag"), answer.revision()), (read.header("etag"), 2));
    assert_eq!(api.get(CONFIG).await.text, read.text);
}

#[tokio::test]
async fn everything_is_replaced_at_once() {
    let api = Harness::new().await.with_web().await;
    let kept = api.reader.snapshot().upstream("web").unwrap().servers[0].state.clone();
    let body = json!({
        "routes": [{"id": "default", "action": {"upstreams": [{"upstream": "api"}]}}],
        "upstreams": [
            {"id": "api", "servers": ["c:1"]},
            {"id": "web", "algorithm": "random", "servers": [{"address": "a:1", "weight": 3}]},
        ],
    });
    let answer = put(&api, "?message=new+world", &body).await;
    assert_eq!((answer.status.as_u16(), answer.revision()), (200, 2));
    assert_eq!((&answer.json()["revision"], &answer.json()["unchanged"]), (&json!(2), &json!(false)));
    assert_eq!(
        paths(&answer),
        [
            "replace /routes/default/action/upstreams",
            "add /upstreams/api",
            "replace /upstreams/web/algorithm",
            "replace /upstreams/web/servers/a-1/weight",
            "remove /upstreams/web/servers/b-1",
        ]
    );
    let table = api.reader.snapshot();
    let web = table.upstream("web").unwrap();
    assert_eq!((web.servers.len(), web.servers[0].weight), (1, 3));
    assert!(std::sync::Arc::ptr_eq(&web.servers[0].state, &kept), "the state is that of before");
    assert_eq!(api.bound().unwrap().id.as_str(), "api");
    assert_eq!(api.get("/v1/revisions/2").await.json()["message"], "new world");
}

#[tokio::test]
async fn what_is_not_named_is_deleted_or_kept() {
    let api = Harness::new().await.with_web().await;
    let body = json!({"upstreams": [{"id": "api", "servers": ["c:1"]}]});
    let kept = put(&api, "?prune=false", &body).await;
    assert_eq!(paths(&kept), ["add /upstreams/api"]);
    let pruned = put(&api, "", &body).await;
    assert_eq!(paths(&pruned), ["replace /routes/default/action/upstreams", "remove /upstreams/web"]);
    let warning = &pruned.json()["warnings"][0];
    assert_eq!(warning["path"], "/routes/default", "nothing was new that it could be bound to");
}

#[tokio::test]
async fn without_routes_the_first_new_upstream_gets_the_requests() {
    let api = Harness::new().await;
    let body = json!({"upstreams": [{"id": "web", "servers": ["a:1"]}, {"id": "api", "servers": ["b:1"]}]});
    let answer = put(&api, "", &body).await;
    assert_eq!(paths(&answer)[0], "replace /routes/default/action/upstreams");
    assert!(answer.json()["warnings"][0]["detail"].as_str().unwrap().contains("\"web\""), "{answer:?}");
    assert_eq!(put(&api, "", &body).await.json()["unchanged"], true, "put twice is put once");
    let unbound = json!({"routes": [], "upstreams": body["upstreams"]});
    assert_eq!(paths(&put(&api, "", &unbound).await), ["replace /routes/default/action/upstreams"]);
    assert_eq!(put(&api, "", &body).await.json()["unchanged"], true, "none is new");
}

#[tokio::test]
async fn a_trial_shows_what_would_be_and_changes_nothing() {
    let api = Harness::new().await.with_web().await;
    let body = json!({"upstreams": [{"id": "web", "servers": ["a:1", "b:1", "c:1"]}]});
    let tried = put(&api, "?dry_run=true", &body).await;
    assert_eq!((tried.header("weir-dry-run"), tried.header("etag"), tried.revision()), ("true", "", 1));
    let done = put(&api, "", &body).await;
    assert_eq!(tried.json(), done.json());
}

#[tokio::test]
async fn the_state_can_be_demanded() {
    let api = Harness::new().await.with_web().await;
    let body = json!({"upstreams": [{"id": "web", "servers": ["a:1"]}]});
    let tag = api.get(CONFIG).await.header("etag").to_owned();
    let send = async |tag: &str| {
        let fields = [("content-type", "application/json"), ("if-match", tag)];
        api.send("PUT", CONFIG, &fields, body.to_string()).await
    };
    assert_eq!(send(&tag).await.status, 200);
    let stale = send(&tag).await;
    stale.problem(412, "etag_mismatch");
    assert_eq!(stale.json()["current_etag"], api.get(CONFIG).await.header("etag"));
}

#[tokio::test]
async fn a_wiped_template_empties_nothing() {
    let api = Harness::new().await;
    let all = json!({"upstreams": [{"id": "big", "servers": servers(0..5)}, {"id": "small", "servers": servers(0..3)}]});
    put(&api, "", &all).await;
    let upstreams = |big: Value, small: Value| json!({"upstreams": [big, small]});
    let big = |servers: Vec<String>| json!({"id": "big", "servers": servers});
    let small = |servers: Vec<String>| json!({"id": "small", "servers": servers});
    for (name, body) in [
        ("nothing at all", json!({})),
        ("most servers of one", upstreams(big(servers(0..2)), small(servers(0..3)))),
        ("others at their addresses", upstreams(big(servers(3..8)), small(servers(0..3)))),
        ("a large upstream", json!({"upstreams": [small(servers(0..3))]})),
        ("every upstream", json!({"upstreams": [{"id": "other", "servers": ["x:1"]}]})),
    ] {
        let refused = put(&api, "", &body).await;
        refused.problem(409, "large_change");
        assert_eq!(refused.json()["losses"][0]["upstream"], "big", "{name}");
        assert_eq!(refused.json()["confirm"], 1, "{name}");
        put(&api, "?confirm=7", &body).await.problem(409, "large_change");
        let tried = put(&api, "?dry_run=true", &body).await.json();
        assert_eq!(
            tried["warnings"][0]["path"], "/upstreams/big",
            "{name}: a trial shows what would be lost"
        );
        assert!(tried["warnings"][0]["detail"].as_str().unwrap().ends_with("?confirm=1"), "{tried}");
        assert_ne!(tried["diff"], json!([]), "{name}");
        assert_eq!(put(&api, "?dry_run=true&confirm=1", &body).await.status, 200, "{name}");
        assert_eq!(put(&api, "?prune=false&dry_run=true", &json!({})).await.json()["unchanged"], true);
    }
    let half = upstreams(big(servers(0..3)), small(servers(0..1)));
    assert_eq!(put(&api, "", &half).await.status, 200, "two of five, and most of a small group");
    assert_eq!(put(&api, "?confirm=2", &json!({})).await.json()["diff"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn most_of_all_servers_do_not_go_without_a_word() {
    let api = Harness::new().await;
    let of = |a, b| json!({"upstreams": [{"id": "a", "servers": servers(0..a)}, {"id": "b", "servers": servers(0..b)}]});
    put(&api, "", &of(3, 3)).await;
    let refused = put(&api, "", &of(2, 0)).await;
    refused.problem(409, "large_change");
    let losses = json!([{"upstream": "b", "removed": 3, "of": 3}, {"upstream": "a", "removed": 1, "of": 3}]);
    assert_eq!(refused.json()["losses"], losses, "four of six");
    assert_eq!(put(&api, "", &of(0, 3)).await.status, 200, "half of them");
    assert_eq!(put(&api, "", &of(0, 1)).await.status, 200, "two of three");
}

#[tokio::test]
async fn small_upstreams_go_without_a_word_but_not_all_of_them() {
    let api = Harness::new().await;
    let body = json!({"upstreams": [{"id": "a", "servers": ["a:1"]}, {"id": "b", "servers": ["b:1"]}]});
    put(&api, "", &body).await;
    let one = json!({"upstreams": [{"id": "a", "servers": ["a:1"]}]});
    assert_eq!(put(&api, "", &one).await.status, 200);
    put(&api, "", &json!({})).await.problem(409, "large_change");
    assert_eq!(put(&api, "?confirm=2", &json!({})).await.status, 200);
    put(&api, "", &json!({"upstreams": [{"id": "empty"}]})).await;
    assert_eq!(put(&api, "", &json!({})).await.status, 200, "an empty upstream is no loss");
}

#[tokio::test]
async fn every_fault_is_named_with_its_place() {
    let api = Harness::new().await.with_web().await;
    let body = json!({
        "api_version": "v2",
        "upstream": [],
        "listeners": [{"address": "0.0.0.0:1", "idle_timeout": "75s", "hader_timeout": "1s"}],
        "routes": [
            {"id": "default", "match": {"pth": "/"}, "action": {"upstreams": [{"upstream": "a", "weight": 1000001}]}},
            {"id": "Other"}, {"id": "default"}, {"match": {}}
        ],
        "upstreams": [
            {"servers": ["a"]},
            {"id": "a", "servers": [{"address": "b:1", "wieght": 1}, "b:2"]},
            {"id": "b", "servers": ["b:2", "b:2"], "revision": 7},
            {"id": "c"}, {"id": "c"}
        ],
    });
    let refused = put(&api, "", &body).await;
    assert_eq!(
        refused.problem(422, "validation"),
        [
            "#/api_version invalid_value",
            "#/listeners/0/hader_timeout unknown_field",
            "#/routes/0/action/upstreams/0/weight out_of_range",
            "#/routes/0/match/pth unknown_field",
            "#/routes/1/id invalid_id",
            "#/routes/2/id duplicate",
            "#/routes/3/id required",
            "#/upstream unknown_field",
            "#/upstreams/0/id required",
            "#/upstreams/0/servers/0/address invalid_address",
            "#/upstreams/1/servers/0/wieght unknown_field",
            "#/upstreams/2/servers/1/address duplicate",
            "#/upstreams/4/id duplicate",
        ]
    );
    assert_eq!(api.get(CONFIG).await.revision(), 1);
}

#[tokio::test]
async fn what_only_weir_sets_is_taken_when_true() {
    let api = Harness::new().await.with_web().await;
    let mut web = api.get("/v1/upstreams/web").await.json();
    let body = |web: &Value| json!({"upstreams": [web]});
    assert_eq!(put(&api, "", &body(&web)).await.json()["unchanged"], true);
    web["servers"][1]["revision"] = json!(9);
    let refused = put(&api, "", &body(&web)).await;
    assert_eq!(refused.problem(422, "validation"), ["#/upstreams/0/servers/1/revision read_only"]);
    let routes = json!([{"id": "default", "action": {"upstreams": [{"upstream": "gone"}]}}]);
    let refused = put(&api, "?prune=false", &json!({"routes": routes})).await;
    let place = "#/routes/0/action/upstreams/0/upstream unknown_reference";
    assert_eq!(refused.problem(422, "validation"), [place]);
}

#[tokio::test]
async fn what_is_said_of_listeners_is_put_in_force_but_for_what_the_command_line_says() {
    let api = Harness::new().await.with_web().await;
    for (listener, fault) in [
        (json!({"adress": "0.0.0.0:1"}), "#/listeners/0/adress unknown_field"),
        (json!({"max_connections": "many"}), "#/listeners/0/max_connections invalid_type"),
        (json!("default"), "#/listeners/0 invalid_type"),
    ] {
        let refused = put(&api, "?prune=false", &json!({"listeners": [listener]})).await;
        assert_eq!(refused.problem(422, "validation"), [fault]);
    }
    let mut document = api.get(CONFIG).await.json();
    document["listeners"][0]["max_connections"] = json!(77);
    document["listeners"][0]["address"] = json!("0.0.0.0:1");
    document["upstreams"][0]["algorithm"] = json!("random");
    document["listeners"].as_array_mut().unwrap().push(json!({"id": "other", "address": "[0::1]:81"}));
    let tried = put(&api, "?dry_run=true", &document).await;
    let done = put(&api, "", &document).await;
    assert_eq!((done.status.as_u16(), tried.json()), (200, done.json()));
    let expected = [
        "replace /listeners/default/max_connections",
        "add /listeners/other",
        "replace /upstreams/web/algorithm",
    ];
    assert_eq!(paths(&done), expected);
    let warnings = done.json()["warnings"].clone();
    let told: Vec<&str> =
        warnings.as_array().unwrap().iter().map(|told| told["path"].as_str().unwrap()).collect();
    assert_eq!(told, ["/listeners/default"]);
    let detail = warnings[0]["detail"].as_str().unwrap();
    assert!(detail.ends_with("address stays \"0.0.0.0:8080\""), "{detail}");
    let exported = api.get(CONFIG).await.json();
    assert_eq!(exported["listeners"][1]["address"], "[::1]:81");
    let unchanged = put(&api, "", &exported).await.json();
    assert_eq!((&unchanged["unchanged"], &unchanged["warnings"]), (&json!(true), &json!([])));
    let without = put(&api, "", &json!({"upstreams": exported["upstreams"]})).await.json();
    assert_eq!(without["unchanged"], true, "what is not spoken of stays");
    exported_without_others_deletes_them(&api, exported).await;
}

/// As of routes: what is allowed and cannot serve anybody is told.
#[tokio::test]
async fn a_listener_whose_upstream_has_no_server_is_warned_of() {
    let api = Harness::new().await;
    let document = |servers: Value| {
        json!({
            "upstreams": [{"id": "db", "servers": servers}],
            "listeners": [{"id": "tcp", "address": "[::1]:81", "protocol": "tcp", "upstream": "db"}],
            "routes": [{"id": "default", "action": {"fixed_response": {"status": 404}}}]
        })
    };
    let told = put(&api, "", &document(json!([]))).await.json()["warnings"].clone();
    let detail = "no server takes connections: those of the listener \"tcp\" are reset";
    assert_eq!(told, json!([{"path": "/upstreams/db", "detail": detail}]));
    assert_eq!(put(&api, "", &document(json!(["[::1]:82"]))).await.json()["warnings"], json!([]));
}

#[tokio::test]
async fn settings_of_tls_that_are_not_enabled_are_warned_of() {
    let api = Harness::new().await;
    let document = |tls: Value| json!({"upstreams": [{"id": "db", "servers": ["[::1]:82"], "tls": tls}]});
    let told = put(&api, "", &document(json!({"server_name": "db.test"}))).await.json()["warnings"].clone();
    let detail = "it is not `enabled`: its servers are spoken to in plain text";
    assert_eq!(told, json!([{"path": "/upstreams/db/tls", "detail": detail}]));
    for tls in [json!({"enabled": true, "server_name": "db.test"}), json!({})] {
        assert_eq!(put(&api, "", &document(tls)).await.json()["warnings"], json!([]));
    }
}

/// Listeners that are not named are deleted; `default` is as it was before it was ever changed.
async fn exported_without_others_deletes_them(api: &Harness, mut exported: Value) {
    exported["listeners"] = json!([]);
    let kept = put(api, "?prune=false", &exported).await.json();
    assert_eq!(kept["unchanged"], true);
    let done = put(api, "", &exported).await;
    assert_eq!(paths(&done), ["replace /listeners/default/max_connections", "remove /listeners/other"]);
    assert_eq!(api.get(CONFIG).await.json()["listeners"][0]["address"], "0.0.0.0:8080");
}

#[tokio::test]
async fn ten_thousand_servers_are_put_at_once() {
    let api = Harness::new().await;
    let upstreams: Vec<Value> = (0..100)
        .map(|n| json!({"id": format!("u{n}"), "servers": (0..100).map(|m| format!("s{n}-{m}:80")).collect::<Vec<_>>()}))
        .collect();
    let body = json!({"upstreams": upstreams});
    assert_eq!(put(&api, "", &body).await.json()["diff"].as_array().unwrap().len(), 101);
    let again = put(&api, "", &body).await;
    assert_eq!(again.json()["unchanged"], true);
}

#[tokio::test]
async fn yaml_is_read_and_written() {
    let api = Harness::new().await;
    let yaml = ("content-type", "application/yaml; charset=utf-8");
    let text = "# the shop\nupstreams:\n- id: web\n  health_check: {path: /healthz}\n  servers:\n  - a:1\n  - address: b:1\n    weight: 2\n";
    let answer = api.send("PUT", CONFIG, &[yaml], text).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    let read = api.send("GET", CONFIG, &[("accept", "application/yaml")], "").await;
    assert_eq!((read.header("content-type"), read.header("vary")), ("application/yaml", "Accept"));
    assert!(read.text.contains("        id: b-1\n"), "{}", read.text);
    assert_eq!(crate::yaml::parse(read.text.as_bytes()).unwrap(), api.get(CONFIG).await.json());
    let back = api.send("PUT", CONFIG, &[yaml], read.text.clone()).await;
    assert_eq!(back.json()["unchanged"], true);
    let same = api.send("GET", "/v1/revisions/1/config", &[("accept", "text/yaml")], "").await;
    assert_eq!(same.text, read.text);
    let rolled = api.send("POST", "/v1/config/rollback?confirm=1", &[yaml], "to: 0").await;
    assert_eq!(rolled.status, 200);
}

#[tokio::test]
async fn faulty_yaml_is_pointed_at() {
    let api = Harness::new().await;
    let yaml = ("content-type", "application/yaml");
    for (text, place) in [("upstreams: [", "line 2"), ("a: 1\na: 2", "line 2 column 1"), ("a: \"", "line 1")]
    {
        let refused = api.send("PUT", CONFIG, &[yaml], text).await;
        refused.problem(400, "malformed_yaml");
        assert!(refused.json()["detail"].as_str().unwrap().contains(place), "{refused:?}");
    }
    let refused = api.send("PUT", CONFIG, &[yaml], "upstreams:\n- id: web\n  severs: []").await;
    assert_eq!(refused.problem(422, "validation"), ["#/upstreams/0/severs unknown_field"]);
    let refused = api.send("PUT", CONFIG, &[yaml], "# nothing").await;
    assert_eq!(refused.problem(422, "validation"), ["# invalid_type"]);
    let elsewhere = api.send("POST", "/v1/upstreams", &[yaml], "servers: [a:1]").await;
    elsewhere.problem(415, "unsupported_media_type");
}
