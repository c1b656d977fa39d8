//! One table of cases for every feature of the Gateway API's `HTTPRoute` that finds a route.

use serde_json::{Value, json};

use super::{Asked, compiled, config};

/// Checks that each request is taken by the route named behind it.
fn check(routes: &Value, cases: &[(&str, &str)]) {
    let table = compiled(config(routes), None);
    for (request, expected) in cases {
        assert_eq!(Asked::parse(request).routed(&table), *expected, "{request}");
    }
}

fn default() -> Value {
    json!({"id": "default"})
}

/// `HTTPExactPathMatching`.
#[test]
fn exact_paths() {
    let route = |id: &str, path: &str| json!({"id": id, "match": {"path": {"type": "exact", "value": path}}});
    check(
        &json!([
            default(),
            route("one", "/one"),
            route("two", "/two"),
            route("slash", "/two/"),
            route("root", "/")
        ]),
        &[
            ("GET x.test/one", "one"),
            ("GET x.test/one?a=b", "one"),
            ("GET x.test/one/", "default"),
            ("GET x.test/One", "default"),
            ("GET x.test/one/more", "default"),
            ("GET x.test/two", "two"),
            ("GET x.test/two/", "slash"),
            ("GET x.test/", "root"),
            ("GET x.test/other", "default"),
        ],
    );
}

/// `HTTPRouteMatching`, `HTTPRoutePathMatchOrder`.
#[test]
fn prefixes_go_by_segment_and_the_longest_wins() {
    let route = |id: &str, path: &str| json!({"id": id, "match": {"path": {"value": path}}});
    let exact = json!({"id": "exact", "match": {"path": {"type": "exact", "value": "/match/exact"}}});
    check(
        &json!([
            default(),
            route("short", "/match"),
            route("long", "/match/prefix"),
            route("deep", "/match/exact/one"),
            route("slash", "/slash/"),
            exact,
            route("encoded", "/ä/{b}")
        ]),
        &[
            ("GET x.test/match", "short"),
            ("GET x.test/match/", "short"),
            ("GET x.test/matches", "default"),
            ("GET x.test/match/prefix", "long"),
            ("GET x.test/match/prefix/one/any", "long"),
            ("GET x.test/match/prefixes", "short"),
            ("GET x.test/match/exact", "exact"),
            ("GET x.test/match/exact/", "short"),
            ("GET x.test/match/exact/one", "deep"),
            ("GET x.test/match/exact/one/two", "deep"),
            ("GET x.test/match/exact/two", "short"),
            ("GET x.test/slash", "slash"),
            ("GET x.test/slash/", "slash"),
            ("GET x.test/slash/one", "slash"),
            ("GET x.test/Match", "default"),
            ("GET x.test/%c3%A4/%7bb%7D/c", "encoded"),
        ],
    );
}

#[test]
fn expressions_stand_between_exact_paths_and_prefixes() {
    let route = |id: &str, kind: &str, path: &str| json!({"id": id, "match": {"path": {"type": kind, "value": path}}});
    check(
        &json!([
            default(),
            route("number", "regex", "/users/[0-9]+"),
            route("longer", "regex", "/users/[0-9]+/posts"),
            route("me", "exact", "/users/7"),
            route("users", "prefix", "/users/8/deep/prefix"),
            route("any", "regex", ".*/raw"),
            route("two", "regex", "/(a|b)/(c|d)")
        ]),
        &[
            ("GET x.test/users/7", "me"),
            ("GET x.test/users/8", "number"),
            ("GET x.test/users/8/", "default"),
            ("GET x.test/users/8/posts", "longer"),
            ("GET x.test/users/8/deep/prefix", "users"),
            ("GET x.test/users/8/deep/prefix/raw", "any"),
            ("GET x.test/x/users/8", "default"),
            ("GET x.test/b/c", "two"),
            ("GET x.test/b/c/d", "default"),
        ],
    );
}

/// `HTTPRouteHostnameIntersection`, `HTTPRouteListenerHostnameMatching` as far as they are about routes.
#[test]
fn the_most_specific_host_comes_first() {
    let route = |id: &str, hosts: Value| json!({"id": id, "match": {"hosts": hosts}});
    check(
        &json!([
            default(),
            route("very", json!(["very.specific.com"])),
            route("wild", json!(["*.wildcard.io"])),
            route("deep", json!(["*.deep.wildcard.io"])),
            route("both", json!(["A.test", "*.a.test"])),
            route("v6", json!(["[::1]"])),
            route("v4", json!(["10.0.0.1"])),
            json!({"id": "path", "match": {"hosts": ["very.specific.com"], "path": {"value": "/non"}}}),
            json!({"id": "hostless", "match": {"path": {"type": "exact", "value": "/exact"}}}),
        ]),
        &[
            ("GET very.specific.com/", "very"),
            ("GET very.specific.com:8080/", "very"),
            ("GET VERY.Specific.com/", "very"),
            ("GET very.specific.com./", "very"),
            ("GET very.specific.com.:80/", "very"),
            ("GET very.specific.com/non", "path"),
            ("GET very.specific.com/exact", "very"),
            ("GET other.com/exact", "hostless"),
            ("GET non.matching.com/", "default"),
            ("GET wildcard.io/", "default"),
            ("GET foo.wildcard.io/", "wild"),
            ("GET foo.bar.wildcard.io/", "wild"),
            ("GET x.deep.wildcard.io/", "deep"),
            ("GET deep.wildcard.io/", "wild"),
            ("GET notwildcard.io/", "default"),
            ("GET a.test/", "both"),
            ("GET b.a.test/", "both"),
            ("GET [::1]/", "v6"),
            ("GET [::1]:8080/", "v6"),
            ("GET 10.0.0.1:8080/", "v4"),
            ("GET /", "default"),
        ],
    );
    let many = format!("GET {}.wildcard.io/", vec!["x"; 100].join("."));
    let long = format!("GET {}.wildcard.io/", vec!["x"; 200].join("."));
    check(
        &json!([default(), route("wild", json!(["*.wildcard.io"]))]),
        &[(many.as_str(), "wild"), (long.as_str(), "default")],
    );
}

/// A host whose routes do not match leaves the request to the next one.
#[test]
fn what_a_host_does_not_take_others_may() {
    let route = |id: &str, host: &str, path: &str| json!({"id": id, "match": {"hosts": [host], "path": {"value": path}}});
    check(
        &json!([
            default(),
            route("exact", "a.b.test", "/exact"),
            route("wild", "*.b.test", "/wild"),
            route("wider", "*.test", "/wider"),
            json!({"id": "any", "match": {"path": {"value": "/any"}}})
        ]),
        &[
            ("GET a.b.test/exact", "exact"),
            ("GET a.b.test/wild", "wild"),
            ("GET a.b.test/wider", "wider"),
            ("GET a.b.test/any", "any"),
            ("GET a.b.test/other", "default"),
        ],
    );
}

/// `HTTPRouteMethodMatching`.
#[test]
fn methods() {
    let route = |id: &str, methods: Value, more: Value| {
        let mut matches = json!({ "methods": methods });
        matches.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"id": id, "match": matches})
    };
    check(
        &json!([
            default(),
            route("post", json!(["POST"]), json!({})),
            route("get", json!(["GET", "HEAD"]), json!({})),
            route("path", json!([]), json!({"path": {"value": "/path"}})),
            route("both", json!(["PATCH"]), json!({"path": {"value": "/path"}})),
            json!({"id": "header", "match": {"headers": [{"name": "x", "value": "1"}]}}),
        ]),
        &[
            ("GET x.test/", "get"),
            ("HEAD x.test/", "get"),
            ("POST x.test/", "post"),
            ("DELETE x.test/", "default"),
            ("GET x.test/path", "path"),
            ("PATCH x.test/path", "both"),
            ("PROPFIND x.test/", "default"),
            // A method comes before any number of fields.
            ("POST x.test/ x:1", "post"),
            ("DELETE x.test/ x:1", "header"),
        ],
    );
}

/// `HTTPRouteHeaderMatching`.
#[test]
fn header_fields() {
    let route = |id: &str, headers: Value| json!({"id": id, "match": {"headers": headers}});
    check(
        &json!([
            default(),
            route("one", json!([{"name": "version", "value": "one"}])),
            route("two", json!([{"name": "Version", "value": "two"}])),
            route(
                "two-orange",
                json!([{"name": "version", "value": "two"}, {"name": "color", "value": "orange"}])
            ),
            route("blue", json!([{"name": "color", "value": "blue"}])),
            route("there", json!([{"name": "x-there", "type": "present"}])),
            route("begins", json!([{"name": "x-begins", "type": "prefix", "value": "ab"}])),
            route("regex", json!([{"name": "x-regex", "type": "regex", "value": "a+|b"}])),
        ]),
        &[
            ("GET x.test/ version:one", "one"),
            ("GET x.test/ VERSION:one", "one"),
            ("GET x.test/ version:One", "default"),
            ("GET x.test/ version:two", "two"),
            ("GET x.test/ version:two color:orange", "two-orange"),
            ("GET x.test/ version:two color:blue", "blue"),
            ("GET x.test/ color:orange", "default"),
            ("GET x.test/ version:three version:one", "one"),
            ("GET x.test/ x-there:", "there"),
            ("GET x.test/ x-begins:abc", "begins"),
            ("GET x.test/ x-begins:a", "default"),
            ("GET x.test/ x-regex:aaa", "regex"),
            ("GET x.test/ x-regex:ab", "default"),
        ],
    );
}

/// `HTTPRouteQueryParamMatching`.
#[test]
fn parameters() {
    let route = |id: &str, query: Value| json!({"id": id, "match": {"query": query}});
    check(
        &json!([
            default(),
            route("whale", json!([{"name": "animal", "value": "whale"}])),
            route("dolphin", json!([{"name": "animal", "value": "dolphin"}])),
            route(
                "blue",
                json!([{"name": "animal", "value": "dolphin"}, {"name": "color", "value": "blue"}])
            ),
            route("ultra", json!([{"name": "ultraColor", "type": "present"}])),
            json!({"id": "header", "match": {"headers": [{"name": "x", "value": "1"}]}}),
        ]),
        &[
            ("GET x.test/?animal=whale", "whale"),
            ("GET x.test/?animal=dolphin", "dolphin"),
            ("GET x.test/?animal=dolphin&color=blue", "blue"),
            ("GET x.test/?color=blue&animal=%64olphin", "blue"),
            ("GET x.test/?animal=shark", "default"),
            ("GET x.test/?animal=shark&animal=whale", "default"),
            ("GET x.test/?Animal=whale", "default"),
            ("GET x.test/?ultraColor", "ultra"),
            ("GET x.test/", "default"),
            // A field comes before any number of parameters.
            ("GET x.test/?animal=dolphin&color=blue x:1", "header"),
        ],
    );
}

#[test]
fn clients_and_listeners() {
    check(
        &json!([
            default(),
            json!({"id": "office", "match": {"client_cidrs": ["10.0.0.0/8", "fd00::/8"]}}),
            json!({"id": "internal", "listeners": ["internal", "other"]}),
            json!({"id": "any", "match": {"path": {"value": "/any"}}}),
        ]),
        &[
            ("GET x.test/ ~10.1.2.3", "office"),
            ("GET x.test/ ~::ffff:10.1.2.3", "office"),
            ("GET x.test/ ~fd00::1", "office"),
            ("GET x.test/ ~11.0.0.1", "default"),
            ("GET x.test/ @internal", "internal"),
            ("GET x.test/ @internal ~10.1.2.3", "office"),
            ("GET x.test/any @internal", "any"),
        ],
    );
}

#[test]
fn priority_comes_after_the_host_and_before_the_path() {
    let route = |id: &str, priority: i32, host: Value, path: &str| json!({"id": id, "priority": priority, "match": {"hosts": host, "path": {"value": path}}});
    check(
        &json!([
            default(),
            route("deep", 0, json!([]), "/a/b/c"),
            route("high", 10, json!([]), "/a"),
            route("low", -10, json!([]), "/a/b/c/d"),
            route("low-root", -1000, json!([]), "/"),
            route("own", -1000, json!(["own.test"]), "/a"),
        ]),
        &[
            ("GET x.test/a/b/c", "high"),
            ("GET x.test/a/b/c/d", "high"),
            ("GET own.test/a/b/c", "own"),
            // The catch-all route comes last whatever the priorities are.
            ("GET x.test/z", "low-root"),
            ("GET own.test/z", "low-root"),
        ],
    );
}

#[test]
fn a_tie_goes_to_the_id_that_comes_first() {
    check(
        &json!([
            json!({"id": "b", "match": {"path": {"value": "/x"}}}),
            json!({"id": "a", "match": {"path": {"value": "/x/"}}}),
            default(),
            json!({"id": "aa"}),
        ]),
        &[("GET x.test/x", "a"), ("GET x.test/y", "aa")],
    );
}

#[test]
fn what_is_off_takes_nothing() {
    check(
        &json!([
            json!({"id": "default", "enabled": false}),
            json!({"id": "off", "enabled": false, "match": {"path": {"value": "/off"}}}),
            json!({"id": "on", "match": {"path": {"value": "/on"}}}),
        ]),
        &[("GET x.test/off", "none"), ("GET x.test/on", "on")],
    );
    check(
        &json!([json!({"id": "default", "listeners": ["a"]})]),
        &[("GET x.test/", "none"), ("GET x.test/ @a", "default")],
    );
}

/// What a server might take for another path is not let past the route of that path.
#[test]
fn a_path_that_can_be_read_differently_is_taken_only_if_that_makes_no_difference() {
    check(
        &json!([default(), json!({"id": "admin", "match": {"path": {"value": "/admin"}}})]),
        &[
            ("GET x.test/admin/../x", "ambiguous"),
            ("GET x.test/x/../admin", "ambiguous"),
            ("GET x.test/x/%2e%2E/admin/y", "ambiguous"),
            ("GET x.test/x/..%2fadmin", "ambiguous"),
            ("GET x.test/x/..;/admin", "ambiguous"),
            ("GET x.test//admin", "ambiguous"),
            ("GET x.test/./admin", "ambiguous"),
            ("GET x.test/admin;a=b/c", "ambiguous"),
            ("GET x.test/admin%2Fx", "ambiguous"),
            ("GET x.test/admin%5Cx", "ambiguous"),
            ("GET x.test/%61dmin", "admin"),
            ("GET x.test/admin//x", "admin"),
            ("GET x.test/admin/a%2Fb", "admin"),
            ("GET x.test/admin/./x", "admin"),
            ("GET x.test/admin/x/../y", "admin"),
            ("GET x.test/bucket/a%2Fb", "default"),
            ("GET x.test/a//b", "default"),
            ("GET x.test/../../x", "default"),
            ("GET x.test/a/%2525", "default"),
        ],
    );
}
