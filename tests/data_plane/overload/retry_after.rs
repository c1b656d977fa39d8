//! Servers that ask to be left alone for a while.

use serde_json::json;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Step};
use weir_tests::weir::Weir;
use weir_tests::{config, eventually::eventually};

fn unavailable(after: &str) -> Origin {
    let answer = reply::message("503 Service Unavailable", &[&format!("Retry-After: {after}")], "later");
    Origin::script(move |_| vec![Step::Send(answer.clone())])
}

#[test]
fn a_server_that_asks_for_it_is_left_alone_while_there_is_another() {
    let (tired, other) = (unavailable("3600"), Origin::named("other"));
    let weir = Weir::start();
    let servers = [tired.address(), other.address()];
    let settings = |enabled: bool| {
        let retry_after = json!({"enabled": enabled, "max_time": "1h"});
        let settings = json!({"algorithm": "round_robin", "server_retry_after": retry_after, "retries": {"attempts": 0}});
        config::with(&servers, &settings)
    };
    weir.api().set_default(&settings(false));
    let mut client = weir.client();
    let mut statuses = |count: usize| (0..count).map(|_| client.get("/").status).collect::<Vec<_>>();
    assert_eq!(statuses(10).iter().filter(|status| **status == 503).count(), 5, "off by default");
    weir.api().set_default(&settings(true));
    assert!(statuses(2).contains(&503));
    assert_eq!(statuses(20), [200; 20]);
    assert!(weir.api().server_health(tired.address())["paused_until"].is_string());
    assert!(weir.api().server_health(other.address())["paused_until"].is_null());
    // Nobody else is left: better a tired server than none.
    let path = format!("/v1/upstreams/default/servers/{}", config::slug(other.address()));
    weir.api().patch(&path, &json!({"admin_state": "maint"})).assert(200);
    assert_eq!(statuses(2), [503; 2]);
}

#[test]
fn the_time_is_bounded_and_ends() {
    let (tired, other) = (unavailable("999999999999"), Origin::named("other"));
    let weir = Weir::start();
    let retry_after = json!({"enabled": true, "max_time": "1s"});
    let settings =
        json!({"algorithm": "round_robin", "server_retry_after": retry_after, "retries": {"attempts": 0}});
    weir.api().set_default(&config::with(&[tired.address(), other.address()], &settings));
    let mut client = weir.client();
    eventually("the server asks", || (client.get("/").status == 503).then_some(()));
    assert_eq!(tired.count(), 1);
    eventually("it is tried again", || {
        client.get("/");
        (tired.count() == 2).then_some(())
    });
}
