//! Limits of servers that are found out from how fast they answer.

use std::thread;
use std::time::Duration;

use serde_json::json;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::load::{Load, Plan};
use weir_tests::weir::Weir;

use super::Busy;

#[test]
fn a_server_that_keeps_up_is_given_more_and_never_more_than_may_be() {
    let server = Busy::taking(Duration::from_millis(5));
    let weir = Weir::start();
    let adaptive = json!({"enabled": true, "initial": 4, "min": 2, "max": 12, "window": "50ms"});
    let settings = json!({"adaptive_limit": adaptive, "limits": {"queue": {"timeout": "60s"}}});
    weir.api().set_default(&config::with(&[server.origin.address()], &settings));
    let limit = || weir.api().server_health(server.origin.address())["limit"].as_u64();
    assert_eq!(limit(), Some(4));
    let plan = Plan { connections: 32, pace: Duration::ZERO, ..Plan::gets(weir.data()) };
    let load = Load::start(plan);
    eventually("the limit grows", || (limit() > Some(4)).then_some(()));
    let tally = load.stop();
    tally.assert_flawless();
    assert!((5..=12).contains(&server.most()), "{}", server.most());
    let patch = json!({"adaptive_limit": {"max": 3}});
    weir.api().patch("/v1/upstreams/default", &patch).assert(200);
    assert_eq!(limit(), Some(3), "a lower bound holds at once");
    let patch = json!({"adaptive_limit": {"enabled": false}});
    weir.api().patch("/v1/upstreams/default", &patch).assert(200);
    assert_eq!(limit(), None);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| weir.client().get("/").status)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 8]);
}
