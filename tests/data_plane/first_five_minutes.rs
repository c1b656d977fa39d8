//! The first five minutes: post an upstream, send traffic, read its health. What the README promises, on the real binary.

use serde_json::json;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

#[test]
fn post_an_upstream_send_traffic_read_health() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let weir = Weir::start();

    let created =
        weir.api().post("/v1/upstreams", &config::plain(&[one.address(), two.address()])).expect(201);
    assert_eq!(created.field("location"), Some("/v1/upstreams/default"));
    assert_eq!(created.json()["id"], "default");
    assert_eq!(created.json()["bound_routes"], json!(["default"]));

    let mut client = weir.client();
    let first = client.get("/");
    assert_eq!(first.status, 200, "the request right behind the answer");
    assert!(["one", "two"].contains(&first.text().as_str()), "{first:?}");
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(one.count() > 0 && two.count() > 0, "both take a share: {} and {}", one.count(), two.count());

    let health = eventually("both servers are healthy", || {
        let health = weir.api().get("/v1/health").expect(200).json();
        (health["totals"]["healthy"] == 2).then_some(health)
    });
    assert_eq!(health["status"], "ok");
    assert_eq!(health["upstreams"][0]["id"], "default");
    assert_eq!(health["upstreams"][0]["state"], "healthy");
    assert_eq!(health["upstreams"][0]["routes"], json!(["default"]));
    let servers = health["upstreams"][0]["servers"].as_array().unwrap();
    let mut ids: Vec<_> = servers.iter().map(|server| server["id"].as_str().unwrap().to_owned()).collect();
    let mut expected = vec![config::slug(one.address()), config::slug(two.address())];
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);

    drop(one);
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "two", "one server down, no request lost");
    }
    weir.assert_no_errors();
}

/// `curl -d` says that it sends a form.
#[test]
fn a_body_that_claims_to_be_a_form_is_taken_as_json() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api()
        .call("POST", "/v1/upstreams")
        .field("Content-Type", "application/x-www-form-urlencoded")
        .body(config::plain(&[origin.address()]).to_string())
        .send()
        .assert(201);
    assert_eq!(weir.client().get("/").text(), "origin");
}

#[test]
fn before_the_first_upstream_the_answer_says_what_to_do() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    let mut client = weir.client();
    let empty = client.get("/");
    assert_eq!(empty.status, 503);
    assert_eq!(empty.fields.one("content-type"), Some("application/problem+json"));
    assert!(empty.text().contains("/v1/upstreams"), "{}", empty.text());
    weir.api().post("/v1/upstreams", &config::plain(&[origin.address()])).assert(201);
    assert_eq!(client.get("/").text(), "origin", "on the connection that got the 503");
}

#[test]
fn only_the_first_upstream_is_bound_and_only_unless_told_otherwise() {
    let (first, second) = (Origin::named("first"), Origin::named("second"));
    let weir = Weir::start();
    let document = |id: &str, origin: &Origin| json!({ "id": id, "servers": [origin.address().to_string()] });

    let unbound = weir.api().post("/v1/upstreams?bind=false", &document("a", &first)).expect(201).json();
    assert_eq!(unbound["bound_routes"].as_array().map_or(0, Vec::len), 0, "{unbound}");
    assert_eq!(weir.client().get("/").status, 503);

    weir.api().post("/v1/upstreams", &document("b", &second)).assert(201);
    assert_eq!(weir.client().get("/").text(), "second");
    let third = weir.api().post("/v1/upstreams", &document("c", &first)).expect(201).json();
    assert_eq!(third["bound_routes"].as_array().map_or(0, Vec::len), 0, "{third}");
    assert_eq!(weir.client().get("/").text(), "second");
}
