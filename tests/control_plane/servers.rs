//! Every verb of `/v1/upstreams/{id}/servers`.

use serde_json::json;
use weir_tests::weir::Weir;

use super::problem::{assert_problem, pointers};

const SERVERS: &str = "/v1/upstreams/web/servers";

fn started() -> Weir {
    let weir = Weir::start();
    weir.api().post("/v1/upstreams", &json!({ "id": "web", "servers": ["127.0.0.1:3001"] })).assert(201);
    weir
}

fn addresses(weir: &Weir) -> Vec<String> {
    let list = weir.api().get(SERVERS).expect(200).json();
    let items = list["items"].as_array().unwrap();
    items.iter().map(|server| server["address"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn added_as_a_string_an_object_or_an_array() {
    let weir = started();
    let api = weir.api();
    let added = api.post(SERVERS, &json!("127.0.0.1:3002")).expect(201);
    assert!(
        added.field("location").is_some_and(|location| location.ends_with("/servers/127.0.0.1-3002")),
        "{added:?}"
    );
    assert!(added.etag().starts_with("\"r"));
    api.post(SERVERS, &json!({ "id": "three", "address": "127.0.0.1:3003", "weight": 5 })).assert(201);
    api.post(SERVERS, &json!(["127.0.0.1:3004", { "address": "[::1]:3005" }, "localhost:3006"])).assert(201);
    let expected = [
        "127.0.0.1:3001",
        "127.0.0.1:3002",
        "127.0.0.1:3003",
        "127.0.0.1:3004",
        "[::1]:3005",
        "localhost:3006",
    ];
    let mut found = addresses(&weir);
    found.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(api.get(&format!("{SERVERS}/three")).expect(200).json()["weight"], 5);
}

/// An array is one change: a fault in one member refuses them all, and every fault is pointed at.
#[test]
fn an_array_is_all_or_nothing() {
    let weir = started();
    let revision = weir.api().revision();
    let answer = weir
        .api()
        .post(SERVERS, &json!(["127.0.0.1:3002", "nonsense", "127.0.0.1:3003", { "address": "127.0.0.1" }]));
    let problem = assert_problem(&answer, 422, "validation");
    let found = pointers(&problem);
    assert_eq!(found.len(), 2, "{problem}");
    assert!(found[0].starts_with("#/1") && found[1].starts_with("#/3"), "{problem}");
    assert_eq!((addresses(&weir), weir.api().revision()), (vec!["127.0.0.1:3001".to_owned()], revision));

    weir.api().post(SERVERS, &json!(["127.0.0.1:3002", "127.0.0.1:3003"])).assert(201);
    assert_eq!(weir.api().revision(), revision + 1, "one commit");
}

#[test]
fn adding_what_is_there_is_harmless_and_adding_it_differently_is_not() {
    let weir = started();
    let api = weir.api();
    let revision = api.revision();
    let same = api.post(SERVERS, &json!("127.0.0.1:3001")).expect(200).json();
    let same = if same.is_array() { same[0].clone() } else { same };
    assert_eq!(same["id"], "127.0.0.1-3001");
    assert_eq!(api.revision(), revision);
    let other = api.post(SERVERS, &json!({ "address": "127.0.0.1:3001", "weight": 9 }));
    let problem = other.json();
    assert_eq!((other.status(), &problem["status"]), (409, &json!(409)), "{problem}");
    assert!(problem.to_string().contains("127.0.0.1-3001"), "{problem}");
}

#[test]
fn read_by_id_or_by_address() {
    let weir = started();
    for name in ["127.0.0.1-3001", "127.0.0.1%3A3001"] {
        let server = weir.api().get(&format!("{SERVERS}/{name}")).expect(200);
        assert_eq!(server.json()["address"], "127.0.0.1:3001");
        assert!(server.etag().starts_with("\"r"));
    }
    assert_problem(&weir.api().get(&format!("{SERVERS}/none")), 404, "not_found");
    assert_problem(&weir.api().get("/v1/upstreams/none/servers"), 404, "not_found");
    assert_problem(&weir.api().get("/v1/upstreams/none/servers/none"), 404, "not_found");
}

#[test]
fn replaced_and_patched() {
    let weir = started();
    let api = weir.api();
    let path = format!("{SERVERS}/127.0.0.1-3001");
    let put = api
        .put(&path, &json!({ "address": "127.0.0.1:3001", "weight": 3, "zone": "eu-1a" }))
        .expect(200)
        .json();
    assert_eq!((&put["weight"], &put["zone"]), (&json!(3), &json!("eu-1a")));
    let patched = api.patch(&path, &json!({ "weight": 4 })).expect(200).json();
    assert_eq!((&patched["weight"], &patched["zone"]), (&json!(4), &json!("eu-1a")));
    let put = api.put(&path, &json!({ "address": "127.0.0.1:3001" })).expect(200).json();
    assert_eq!(put["weight"], 1);
    assert_ne!(put["zone"], "eu-1a", "what is not said is the default again");
    api.put(&format!("{SERVERS}/new"), &json!({ "address": "127.0.0.1:3009" })).assert(201);
    let moved = api.patch(&path, &json!({ "address": "127.0.0.1:4000" }));
    assert_eq!(pointers(&assert_problem(&moved, 422, "validation")), ["#/address"], "an address is for life");
    assert_problem(&api.patch(&format!("{SERVERS}/none"), &json!({ "weight": 1 })), 404, "not_found");
}

#[test]
fn removed() {
    let weir = started();
    let api = weir.api();
    api.post(SERVERS, &json!("127.0.0.1:3002")).assert(201);
    let removed = api.delete(&format!("{SERVERS}/127.0.0.1-3002"));
    assert!(matches!(removed.status(), 202 | 204), "{removed:?}");
    weir_tests::eventually::eventually("the idle server is gone", || {
        (addresses(&weir) == ["127.0.0.1:3001"]).then_some(())
    });
    assert_problem(&api.delete(&format!("{SERVERS}/127.0.0.1-3002")), 404, "not_found");
    api.delete(&format!("{SERVERS}/127.0.0.1-3001")).assert(204);
    assert!(addresses(&weir).is_empty());
}

#[test]
fn a_server_change_touches_its_upstream() {
    let weir = started();
    let api = weir.api();
    let before = api.get("/v1/upstreams/web").expect(200).etag();
    api.patch(&format!("{SERVERS}/127.0.0.1-3001"), &json!({ "weight": 2 })).assert(200);
    assert_ne!(api.get("/v1/upstreams/web").expect(200).etag(), before);
}

#[test]
fn ids_are_derived_from_addresses_and_stay_apart() {
    let weir = started();
    let api = weir.api();
    api.post(SERVERS, &json!({ "id": "127.0.0.1-3002", "address": "127.0.0.1:4000" })).assert(201);
    let added = api.post(SERVERS, &json!("127.0.0.1:3002")).expect(201).json();
    let added = if added.is_array() { added[0].clone() } else { added };
    let id = added["id"].as_str().unwrap();
    assert!(id != "127.0.0.1-3002" && id.starts_with("127.0.0.1-3002-"), "{id}");
    let taken = api.post(SERVERS, &json!({ "id": "127.0.0.1-3001", "address": "127.0.0.1:5000" }));
    assert_eq!(taken.status(), 409, "{taken:?}");
}

#[test]
fn a_thousand_in_one_array() {
    let weir = started();
    let many: Vec<String> = (0..1000).map(|n| format!("10.9.{}.{}:80", n / 250, n % 250 + 1)).collect();
    let revision = weir.api().revision();
    weir.api().post(SERVERS, &json!(many)).assert(201);
    assert_eq!(weir.api().revision(), revision + 1);
    let upstream = weir.api().get("/v1/upstreams/web").expect(200).json();
    assert_eq!(upstream["servers"].as_array().unwrap().len(), 1001);
    let more: Vec<String> = (0..1001).map(|n| format!("10.8.{}.{}:80", n / 250, n % 250 + 1)).collect();
    assert_problem(&weir.api().post(SERVERS, &json!(more)), 422, "validation");
}
