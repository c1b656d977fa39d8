//! From nothing to traffic, and every change of single resources, without another client.

use std::time::Duration;

use serde_json::json;
use weir_tests::ctl::Ctl;
use weir_tests::eventually::{eventually, within};
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

#[test]
fn the_first_five_minutes() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let weir = Weir::start();
    let said = Ctl::on(&weir, "add upstream web").arg(&one.address().to_string()).run().expect(0);
    assert_eq!(said.out, "upstream web added with 1 server, bound to route default (revision 1)\n");
    assert_eq!(weir.client().get("/").text(), "one");

    let said = Ctl::on(&weir, "add server web").arg(&two.address().to_string()).run().expect(0);
    assert!(said.out.contains("added (revision 2)"), "{said:?}");
    eventually("all is well", || (Ctl::on(&weir, "health").run().code == 0).then_some(()));
    let health = Ctl::on(&weir, "health web").run().expect(0);
    assert!(health.out.contains(&one.address().to_string()) && health.out.contains("healthy"), "{health:?}");

    let gone = one.address().to_string();
    drop(one);
    // Three failed checks, with the default interval and its jitter.
    let health = within(Duration::from_secs(40), "a server is down", || {
        let health = Ctl::on(&weir, "health").run();
        (health.code == 1 && health.out.contains("unhealthy")).then_some(health)
    });
    assert!(health.out.contains("connect_refused") && health.out.starts_with("degraded"), "{health:?}");

    Ctl::on(&weir, "delete server web").arg(&gone).run().assert(0);
    assert_eq!(weir.client().get("/").text(), "two");
    weir.assert_no_errors();
}

#[test]
fn fields_are_set() {
    let weir = Weir::start();
    Ctl::on(&weir, "add upstream web 127.0.0.1:1 --field health_check.enabled=false").run().assert(0);
    let said = Ctl::on(&weir, "set server web 127.0.0.1-1 weight=5 admin_state=maint").run().expect(0);
    assert_eq!(said.out, "web/127.0.0.1-1: admin_state=maint weight=5 (revision 2)\n");
    let said = Ctl::on(&weir, "set upstream web algorithm=random retries.attempts=0").run().expect(0);
    assert_eq!(said.out, "web: algorithm=random retries.attempts=0 (revision 3)\n");
    let server = weir.api().get("/v1/upstreams/web/servers/127.0.0.1-1").json();
    assert_eq!((&server["weight"], &server["admin_state"]), (&json!(5), &json!("maint")));
}

#[test]
fn listeners_come_and_go() {
    let weir = Weir::start();
    let said = Ctl::on(&weir, "add listener inner 127.0.0.1:0 --field max_headers=20").run().expect(0);
    assert_eq!(said.out, "listener inner added (revision 1)\n");
    let shown = Ctl::on(&weir, "get listener inner").run().expect(0);
    assert!(shown.out.contains("http") && shown.out.contains("true"), "{shown:?}");
    let said = Ctl::on(&weir, "set listener inner idle_timeout=2m").run().expect(0);
    assert_eq!(said.out, "inner: idle_timeout=2m (revision 2)\n");
    let taken = weir.admin().to_string();
    let said = Ctl::on(&weir, "add listener late").arg(&taken).run().expect(0);
    assert!(said.out.contains("not bound") && said.out.contains("in use"), "{said:?}");
    Ctl::on(&weir, "delete listener inner").run().assert(0);
    Ctl::on(&weir, "get listener inner").run().assert(1);
    Ctl::on(&weir, "delete listener default").run().assert(3);
}

#[test]
fn several_servers_are_added_or_none() {
    let weir = Weir::start();
    Ctl::on(&weir, "add upstream web").run().assert(0);
    Ctl::on(&weir, "add server web 127.0.0.1:1 no-port").run().assert(2);
    assert_eq!(weir.api().get("/v1/upstreams/web").json()["servers"], json!([]));
    let said =
        Ctl::on(&weir, "add server web 127.0.0.1:1 127.0.0.1:2 --weight 3 --field zone=a").run().expect(0);
    assert_eq!(said.out, "web: 127.0.0.1-1 127.0.0.1-2 added (revision 2)\n");
    let again = Ctl::on(&weir, "add server web 127.0.0.1:1 127.0.0.1:2 --weight 3 --field zone=a").run();
    assert!(again.expect(0).out.contains("there already"));
}

/// A dry run says what it would do, and does nothing.
#[test]
fn a_dry_run_changes_nothing() {
    let weir = Weir::start();
    Ctl::on(&weir, "add upstream web 127.0.0.1:1").run().assert(0);
    for line in [
        "add upstream api 127.0.0.1:1",
        "add server web 127.0.0.1:2",
        "set server web 127.0.0.1-1 weight=2",
        "set upstream web algorithm=random",
        "delete server web 127.0.0.1-1",
        "delete upstream web --cascade",
    ] {
        let said = Ctl::on(&weir, line).arg("--dry-run").run().expect(0);
        assert!(said.out.contains("dry run: nothing was changed"), "{line}: {said:?}");
    }
    assert_eq!(weir.api().revision(), 1);
}
