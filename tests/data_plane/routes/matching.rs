//! One case for every feature of the Gateway API's `HTTPRoute` that finds a route, over sockets.

use serde_json::json;

use super::{Scene, to};

/// Target, lines and the server that answers.
const CASES: [(&str, &str, &str); 33] = [
    ("/", "", "a"),
    ("/", "Host: b.test\r\n", "b"),
    ("/", "Host: B.TEST:8080\r\n", "b"),
    ("http://b.test/", "Host: other.test\r\n", "b"),
    ("/", "Host: x.wild.test\r\n", "c"),
    ("/", "Host: x.y.wild.test\r\n", "c"),
    ("/", "Host: wild.test\r\n", "a"),
    ("/", "Host: x.deep.wild.test\r\n", "d"),
    ("/exact", "", "b"),
    ("/exact?a=b", "", "b"),
    ("/exact/", "", "a"),
    ("/Exact", "", "a"),
    ("/prefix", "", "b"),
    ("/prefix/", "", "b"),
    ("/prefix/x", "", "b"),
    ("/prefixes", "", "a"),
    ("/prefix/deep", "", "c"),
    ("/prefix/deep/x", "", "c"),
    ("/users/7", "", "d"),
    ("/users/7/posts", "", "d"),
    ("/users/x", "", "a"),
    ("/method", "", "b"),
    ("/x", "version: two\r\nX-Tier: any\r\n", "c"),
    ("/x", "version: two\r\n", "a"),
    ("/x", "version: one\r\nversion: two\r\nX-Tier: any\r\n", "c"),
    ("/agent", "User-Agent: curl/8\r\n", "d"),
    ("/agent", "User-Agent: Mozilla\r\n", "a"),
    ("/x?animal=blue%20whale&size=30", "", "d"),
    ("/x?size=30&animal=blue+whale", "", "d"),
    ("/x?animal=blue+whale&size=big", "", "a"),
    ("/local", "", "b"),
    ("/elsewhere", "", "a"),
    ("/%65xact", "", "b"),
];

#[test]
fn each_feature_finds_its_route() {
    let scene = Scene::new(&["a", "b", "c", "d"]);
    scene.route("default", &json!({}), &to("a"));
    scene.route("host", &json!({"hosts": ["b.test"]}), &to("b"));
    scene.route("wild", &json!({"hosts": ["*.wild.test"]}), &to("c"));
    scene.route("wild-deep", &json!({"hosts": ["*.deep.wild.test"]}), &to("d"));
    scene.route("exact", &json!({"path": {"type": "exact", "value": "/exact"}}), &to("b"));
    scene.route("prefix", &json!({"path": {"type": "prefix", "value": "/prefix"}}), &to("b"));
    scene.route("prefix-deep", &json!({"path": {"value": "/prefix/deep/"}}), &to("c"));
    scene.route("regex", &json!({"path": {"type": "regex", "value": "/users/[0-9]+(/.*)?"}}), &to("d"));
    scene.route("method", &json!({"path": {"value": "/method"}, "methods": ["HEAD", "GET"]}), &to("b"));
    let header = json!([{"name": "Version", "value": "two"}, {"name": "x-tier", "type": "present"}]);
    scene.route("header", &json!({ "headers": header }), &to("c"));
    let begins = json!([{"name": "user-agent", "type": "prefix", "value": "curl/"}]);
    scene.route("agent", &json!({"path": {"value": "/agent"}, "headers": begins}), &to("d"));
    let query = json!([{"name": "animal", "value": "blue whale"}, {"name": "size", "type": "regex", "value": "[0-9]+"}]);
    scene.route("query", &json!({ "query": query }), &to("d"));
    scene.route("client", &json!({"path": {"value": "/local"}, "client_cidrs": ["127.0.0.0/8"]}), &to("b"));
    scene.route(
        "elsewhere",
        &json!({"path": {"value": "/elsewhere"}, "client_cidrs": ["10.0.0.0/8"]}),
        &to("b"),
    );
    for (target, lines, expected) in CASES {
        let answer = scene.ask(target, lines);
        assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{target} {lines}");
    }
    assert_eq!(scene.weir.client().post("/method", "x").text(), "a");
    scene.weir.assert_no_errors();
}

#[test]
fn priority_and_the_switch_decide_at_once() {
    let scene = Scene::new(&["a", "b"]);
    scene.route("default", &json!({}), &to("a"));
    scene.route("deep", &json!({"path": {"value": "/x/y/z"}}), &to("a"));
    scene.route("short", &json!({"path": {"value": "/x"}}), &to("b"));
    let mut client = scene.weir.client();
    let mut text = || client.get("/x/y/z").text();
    assert_eq!(text(), "a");
    scene.weir.api().patch("/v1/routes/short", &json!({"priority": 1})).assert(200);
    assert_eq!(text(), "b");
    scene.weir.api().patch("/v1/routes/short", &json!({"enabled": false})).assert(200);
    assert_eq!(text(), "a");
    scene.weir.api().delete("/v1/routes/deep").assert(204);
    scene.weir.api().patch("/v1/routes/default", &json!({"enabled": false})).assert(200);
    let answer = client.get("/x/y/z");
    assert_eq!(
        (answer.status, answer.fields.one("proxy-status")),
        (404, Some("weir; error=destination_not_found"))
    );
    assert!(!answer.announces_close(), "nothing was wrong with the request");
}

/// What a server might take for another path does not get past that path's route, and everything else passes as it came.
#[test]
fn no_spelling_of_a_path_gets_past_its_route() {
    let scene = Scene::new(&["public"]);
    scene.route("default", &json!({}), &to("public"));
    scene.route("admin", &json!({"path": {"value": "/admin"}}), &json!({"fixed_response": {"status": 403}}));
    for target in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/%61dmin",
        "/admin?x",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/..%2fadmin",
        "/x%2f..%2Fadmin",
        "/..;/admin",
        "/admin;x",
        "/admin%2Fx",
        "/%2fadmin",
        "/admin%5cx",
        "/x/..%5Cadmin",
        "/x//..//admin",
        "/admin/../x",
    ] {
        let answer = scene.ask(target, "");
        assert!(matches!(answer.status, 400 | 403), "{target}: {}", answer.status);
    }
    assert_eq!(scene.origins[0].count(), 0);
    let harmless = ["/a//b", "/a%2Fb", "/a;b/c", "/../a", "/a/%7Eb", "/%zz", "/admins", "/a/admin"];
    for target in harmless {
        assert_eq!(scene.ask(target, "").status, 200, "{target}");
    }
    assert_eq!(scene.origins[0].targets(), harmless);
}
