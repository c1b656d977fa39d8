//! All verbs of `/v1/upstreams/{upstream}/servers`.

use serde_json::json;

use super::harness::Harness;

const SERVERS: &str = "/v1/upstreams/web/servers";

#[tokio::test]
async fn servers_are_added_as_text_object_or_array() {
    let api = Harness::new().await.with_web().await;
    let text = api.post(SERVERS, json!("c:1")).await;
    assert_eq!((text.status.as_u16(), text.header("location")), (201, "/v1/upstreams/web/servers/c-1"));
    assert_eq!((text.header("etag"), text.json()["weight"].as_u64()), ("\"r2.abc123\"", Some(1)));
    let object = api.post(SERVERS, json!({"address": "d:1", "weight": 3})).await;
    assert_eq!((object.status.as_u16(), object.json()["weight"].as_u64()), (201, Some(3)));
    let array = api.post(SERVERS, json!(["e:1", {"id": "six", "address": "f:1"}])).await;
    assert_eq!((array.status.as_u16(), array.revision()), (201, 4));
    assert_eq!(array.json()["items"][1]["id"], "six");
    let table = api.reader.snapshot();
    let ids: Vec<&str> =
        table.upstream("web").unwrap().servers.iter().map(|server| server.id.as_str()).collect();
    assert_eq!(ids, ["a-1", "b-1", "c-1", "d-1", "e-1", "six"]);
    api.post("/v1/upstreams/nope/servers", json!("c:1")).await.problem(404, "not_found");
}

#[tokio::test]
async fn adding_again_is_harmless_when_equal_and_refused_when_not() {
    let api = Harness::new().await.with_web().await;
    let again = api.post(SERVERS, json!("a:1")).await;
    assert_eq!((again.status.as_u16(), again.revision(), &again.json()["id"]), (200, 1, &json!("a-1")));
    assert_eq!(api.post(SERVERS, json!(["a:1", "b:1"])).await.status, 200);
    let mixed = api.post(SERVERS, json!(["a:1", "c:1"])).await;
    assert_eq!((mixed.status.as_u16(), mixed.json()["items"].as_array().unwrap().len()), (201, 2));
    let different = api.post(SERVERS, json!({"address": "A:1", "weight": 5})).await;
    assert_eq!(different.problem(409, "exists"), ["#/address duplicate"]);
    assert_eq!(different.json()["existing"], "/v1/upstreams/web/servers/a-1");
    let named = api.post(SERVERS, json!({"id": "a-1", "address": "z:1"})).await;
    assert_eq!(named.problem(409, "exists"), ["#/id duplicate"]);
}

#[tokio::test]
async fn an_array_is_added_wholly_or_not_at_all() {
    let api = Harness::new().await.with_web().await;
    let body = json!(["c:1", {"address": "b:1", "weight": 9}, "d:1"]);
    assert_eq!(api.post(SERVERS, body).await.problem(409, "exists"), ["#/1/address duplicate"]);
    assert_eq!(api.get(SERVERS).await.json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(api.get(SERVERS).await.revision(), 1);
}

#[tokio::test]
async fn a_server_is_found_by_id_and_by_address() {
    let api = Harness::new().await;
    let body = json!({"id": "web", "servers": [{"id": "six", "address": "[::1]:80"}, "10.0.0.7:8080"]});
    api.post("/v1/upstreams", body).await;
    for key in ["six", "%5B%3A%3A1%5D%3A80", "10.0.0.7-8080", "10.0.0.7:8080", "10.0.0.7%3A8080"] {
        assert_eq!(api.get(&format!("{SERVERS}/{key}")).await.status, 200, "{key}");
        assert_eq!(api.get(&format!("{SERVERS}/{key}/health")).await.status, 200, "{key}");
    }
    api.get(&format!("{SERVERS}/10.0.0.8:8080")).await.problem(404, "not_found");
}

#[tokio::test]
async fn an_address_is_the_same_however_written() {
    let api = Harness::new().await;
    let servers = json!(["127.0.0.1:080", "[0:0:0:0:0:0:0:1]:80", "Web.local:0081"]);
    let made = api.post("/v1/upstreams", json!({"id": "web", "servers": servers})).await.json();
    let addresses: Vec<&str> =
        made["servers"].as_array().unwrap().iter().map(|it| it["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["127.0.0.1:80", "[::1]:80", "web.local:81"]);
    let again = api.json("PUT", "/v1/upstreams/web", &json!({"servers": servers})).await;
    assert_eq!((again.status.as_u16(), again.revision()), (200, 1), "equal already");
    let added = api.post(SERVERS, json!(["127.0.0.1:80", "[::0001]:080"])).await;
    assert_eq!((added.status.as_u16(), added.revision()), (200, 1), "there already");
    let other = api.post(SERVERS, json!({"address": "127.0.0.1:0080", "weight": 2})).await;
    assert_eq!(other.problem(409, "exists"), ["#/address duplicate"]);
    for key in ["127.0.0.1:080", "%5B0:0:0:0:0:0:0:1%5D:80", "WEB.local:81"] {
        assert_eq!(api.get(&format!("{SERVERS}/{key}")).await.status, 200, "{key}");
        assert_eq!(api.get(&format!("{SERVERS}/{key}/health")).await.status, 200, "{key}");
        let put = api
            .json(
                "PUT",
                &format!("{SERVERS}/{key}"),
                &json!({"address": key.replace("%5B", "[").replace("%5D", "]")}),
            )
            .await;
        assert_eq!((put.status.as_u16(), put.revision()), (200, 1), "{key}: {}", put.text);
    }
    let new = api.json("PUT", &format!("{SERVERS}/10.0.0.1:080"), &json!({"address": "10.0.0.1:80"})).await;
    assert_eq!((new.status.as_u16(), &new.json()["id"]), (201, &json!("10.0.0.1-80")));
    assert_eq!(api.send("DELETE", &format!("{SERVERS}/127.0.0.1:080"), &[], "").await.status, 204);
}

#[tokio::test]
async fn a_server_is_put_by_id_or_address() {
    let api = Harness::new().await.with_web().await;
    let put = |key: &'static str, body: serde_json::Value| {
        let api = &api;
        async move { api.json("PUT", &format!("{SERVERS}/{key}"), &body).await }
    };
    let by_address = put("c:1", json!({})).await;
    assert_eq!((by_address.status.as_u16(), &by_address.json()["id"]), (201, &json!("c-1")));
    let by_id = put("four", json!({"address": "d:1"})).await;
    assert_eq!((by_id.status.as_u16(), &by_id.json()["id"]), (201, &json!("four")));
    let replaced = put("four", json!({"weight": 4})).await;
    assert_eq!((replaced.status.as_u16(), &replaced.json()["address"]), (200, &json!("d:1")));
    let equal = put("four", json!({"weight": 4})).await;
    assert_eq!((equal.status.as_u16(), equal.revision()), (200, replaced.revision()));
    let read = api.get(&format!("{SERVERS}/four")).await.json();
    assert_eq!(put("four", read.clone()).await.json(), read);
    for (key, body, fault) in [
        ("five", json!({}), "#/address required"),
        ("five", json!({"id": "six", "address": "e:1"}), "#/id immutable"),
        ("four", json!({"address": "e:1"}), "#/address immutable"),
        ("four", json!({"id": "six"}), "#/id immutable"),
        ("e:1", json!({"address": "f:1"}), "#/address immutable"),
        ("Five", json!({"address": "e:1"}), "#/id invalid_id"),
    ] {
        assert_eq!(put(key, body.clone()).await.problem(422, "validation"), [fault], "{key} {body}");
    }
    put("five", json!({"address": "a:1"})).await.problem(409, "exists");
}

#[tokio::test]
async fn a_server_is_patched_and_deleted() {
    let api = Harness::new().await.with_web().await;
    let path = format!("{SERVERS}/a-1");
    let drained = api.json("PATCH", &path, &json!({"admin_state": "drain", "weight": 3})).await;
    assert_eq!((drained.status.as_u16(), drained.revision()), (200, 2));
    assert_eq!(api.get("/v1/upstreams/web").await.header("etag"), "\"r2.abc123\"", "a child was touched");
    assert_eq!(api.get(&format!("{SERVERS}/b-1")).await.header("etag"), "\"r1.abc123\"");
    let reset = api.json("PATCH", &path, &json!({"weight": null})).await.json();
    assert_eq!((&reset["weight"], &reset["admin_state"]), (&json!(1), &json!("drain")));
    for (body, fault) in [
        (json!({"address": "z:1"}), "#/address immutable"),
        (json!({"id": "z"}), "#/id immutable"),
        (json!({"weight": 70000}), "#/weight out_of_range"),
        (json!({"wait": 1}), "#/wait unknown_field"),
        (json!({"wait": null}), "#/wait unknown_field"),
        (json!("a:1"), "# invalid_type"),
    ] {
        let answer = api.json("PATCH", &path, &body).await;
        assert_eq!(answer.problem(422, "validation"), [fault], "{body}");
    }
    assert_eq!(api.send("DELETE", &path, &[], "").await.status, 204);
    api.send("DELETE", &path, &[], "").await.problem(404, "not_found");
    assert_eq!(api.send("DELETE", &format!("{SERVERS}/b:1"), &[], "").await.status, 204);
    let health = api.get("/v1/upstreams/web/health").await.json();
    assert_eq!(health["state"], "empty");
}

#[tokio::test]
async fn servers_come_in_pages() {
    let api = Harness::new().await.with_web().await;
    api.post(SERVERS, json!(["0:x:1"])).await.problem(422, "validation");
    api.post(SERVERS, json!(["aa:1"])).await;
    let first = api.get(&format!("{SERVERS}?limit=2")).await.json();
    assert_eq!((&first["items"][1]["id"], &first["next"]), (&json!("aa-1"), &json!("aa-1")));
    let second = api.get(&format!("{SERVERS}?limit=2&after=aa-1")).await.json();
    assert_eq!((&second["items"][0]["id"], &second["next"]), (&json!("b-1"), &json!(null)));
}
