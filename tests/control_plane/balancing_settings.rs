//! Settings of balancing and resilience that make no sense: each is pointed at, and nothing changes, neither the resource nor
//! what happens to requests.

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

/// What is wrong, and where.
fn bad_settings() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"algorithm": "fastest"}), "#/algorithm"),
        (json!({"comparison": {"choice_count": 1}}), "#/comparison/choice_count"),
        (json!({"latency": {"decay_time": "0s"}}), "#/latency/decay_time"),
        (json!({"latency": {"hot_quantile": 1.5}}), "#/latency/hot_quantile"),
        (json!({"load_reports": {"max_age": "2m"}}), "#/load_reports/max_age"),
        (json!({"algorithm": "ring_hash", "hash": {"on": "colour"}}), "#/hash/on"),
        (json!({"algorithm": "ring_hash", "hash": {"on": "header"}}), "#/hash/name"),
        (json!({"algorithm": "maglev", "hash": {"table_size": 7}}), "#/hash/table_size"),
        (json!({"algorithm": "maglev", "hash": {"balance_percent": 100}}), "#/hash/balance_percent"),
        (json!({"shadow": {"algorithm": "fastest"}}), "#/shadow/algorithm"),
        (json!({"affinity": {"enabled": true, "cookie": "my cookie"}}), "#/affinity/cookie"),
        (json!({"affinity": {"ttl": "-1s"}}), "#/affinity/ttl"),
        (json!({"panic_threshold_percent": 101}), "#/panic_threshold_percent"),
        (json!({"overprovisioning_percent": 99}), "#/overprovisioning_percent"),
        (json!({"zone_awareness": {"mode": "far"}}), "#/zone_awareness/mode"),
        (json!({"subset": {"size": 20_000}}), "#/subset/size"),
        (json!({"slow_start": {"min_weight_percent": 101}}), "#/slow_start/min_weight_percent"),
        (json!({"outlier_detection": {"interval": "0s"}}), "#/outlier_detection/interval"),
        (
            json!({"outlier_detection": {"max_ejection_percent": 101}}),
            "#/outlier_detection/max_ejection_percent",
        ),
        (json!({"health_check": {"timeout": "5s", "interval": "5s"}}), "#/health_check/timeout"),
        (json!({"limits": {"queue": {"timeout": "2h"}}}), "#/limits/queue/timeout"),
        (json!({"adaptive_limit": {"min": 9, "max": 8}}), "#/adaptive_limit/max"),
        (json!({"circuit_breaker": {"window": "0s"}}), "#/circuit_breaker/window"),
        (json!({"circuit_breaker": {"error_percent": 101}}), "#/circuit_breaker/error_percent"),
        (json!({"retries": {"budget_percent": 101}}), "#/retries/budget_percent"),
        (json!({"hedging": {"max_percent": 101}}), "#/hedging/max_percent"),
        (json!({"hedging": {"percentile": 100}}), "#/hedging/percentile"),
        (json!({"rate_limits": [{"per": "0s"}]}), "#/rate_limits/0/per"),
        (json!({"server_retry_after": {"max_time": "2h"}}), "#/server_retry_after/max_time"),
    ]
}

#[test]
fn what_makes_no_sense_is_pointed_at_and_changes_nothing() {
    let origin = Origin::named("one");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let mut client = weir.client();
    let before = weir.api().get("/v1/upstreams/default").expect(200).json();
    let revision = weir.api().revision();
    for (patch, pointer) in bad_settings() {
        let answer = weir.api().patch("/v1/upstreams/default", &patch).expect(422).json();
        let pointers: Vec<&Value> =
            answer["errors"].as_array().unwrap().iter().map(|e| &e["pointer"]).collect();
        assert_eq!(pointers, [pointer], "{patch}: {answer:#}");
        assert_eq!(client.get("/").text(), "one", "{patch}");
    }
    assert_eq!(weir.api().get("/v1/upstreams/default").expect(200).json(), before);
    assert_eq!(weir.api().revision(), revision);
    weir.assert_no_errors();
}
