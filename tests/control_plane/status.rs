//! What tells about Weir itself: `/livez`, `/readyz`, `/metrics`, `/v1/info`, `/v1/config`, and the headers of every answer.

use serde_json::json;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

#[test]
fn alive_and_ready() {
    let weir = Weir::start();
    weir.api().get("/livez").assert(200);
    weir.api().get("/readyz").assert(200);
    weir.api().get("/readyz?verbose").assert(200);
}

#[test]
fn every_answer_says_where_it_stands() {
    let weir = Weir::start();
    for path in ["/v1/upstreams", "/v1/health", "/v1/config", "/v1/info", "/v1/upstreams/none"] {
        let answer = weir.api().get(path);
        assert!(answer.field("weir-revision").is_some_and(|text| text.parse::<u64>().is_ok()), "{answer:?}");
        assert_eq!(answer.field("weir-store"), Some("ok"), "{answer:?}");
        assert!(answer.response.fields.has("x-request-id"), "{answer:?}");
    }
    for path in ["/v1/health", "/v1/config"] {
        assert_eq!(weir.api().get(path).field("cache-control"), Some("no-store"), "{path}");
    }
}

#[test]
fn info_says_what_runs() {
    let weir = Weir::start();
    let info = weir.api().get("/v1/info").expect(200).json();
    assert!(info["version"].is_string(), "{info}");
    assert_eq!(info["store"]["kind"], "sqlite", "{info}");
    assert!(info["store"]["epoch"].is_string(), "{info}");
}

#[test]
fn the_whole_configuration_in_one_document() {
    let weir = Weir::start();
    let api = weir.api();
    api.post("/v1/upstreams", &json!({ "id": "web", "servers": ["127.0.0.1:3001"] })).assert(201);
    let answer = api.get("/v1/config").expect(200);
    assert!(answer.etag().starts_with("\"r"));
    let document = answer.json();
    assert_eq!(document["api_version"], "v1");
    assert_eq!(document["upstreams"][0]["id"], "web");
    assert_eq!(document["upstreams"][0]["servers"][0]["address"], "127.0.0.1:3001");
    assert_eq!(document["routes"][0]["id"], "default");
    assert_eq!(document["routes"][0]["action"]["upstreams"][0]["upstream"], "web");
    assert_eq!(document["listeners"][0]["id"], "default");
    assert!(document["listeners"][0]["address"].is_string());
}

/// Each sample line is a name, labels, and a number; each family is announced by its type.
#[test]
fn metrics_are_prometheus_text() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut client = weir.client();
    for _ in 0..7 {
        client.get("/");
    }
    let text = eventually("seven requests are counted", || {
        let answer = weir.api().get("/metrics").expect(200);
        assert!(answer.field("content-type").unwrap().starts_with("text/plain"), "{answer:?}");
        let text = answer.response.text();
        let total: f64 = text
            .lines()
            .filter(|line| line.starts_with("weir_requests_total{") && line.contains("upstream=\"default\""))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum();
        (total >= 7.0).then_some(text)
    });
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let family = name.split('{').next().unwrap();
        assert!(family.starts_with("weir_") || family.starts_with("process_"), "{line}");
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| family.strip_suffix(end)).unwrap_or(family);
        assert!(
            text.contains(&format!("# TYPE {family} "))
                || text.contains(&format!("# TYPE {}", name.split('{').next().unwrap())),
            "{line}"
        );
    }
    for name in ["weir_in_flight", "weir_server_eligible", "weir_config_revision"] {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn the_health_summary_leaves_out_the_servers() {
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&["127.0.0.1:1".parse().unwrap()]));
    let full = weir.api().get("/v1/health").expect(200).json();
    assert!(full["upstreams"][0]["servers"].is_array(), "{full}");
    assert!(full["at"].is_string() && full["revision"].is_u64() && full["store"]["state"] == "ok", "{full}");
    let summary = weir.api().get("/v1/health?format=summary").expect(200).json();
    assert!(summary["upstreams"][0]["servers"].is_null(), "{summary}");
    assert_eq!(summary["totals"]["servers"], 1);
}
