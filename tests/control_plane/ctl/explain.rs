//! `weir ctl explain`, of a server that is down.

use std::net::TcpListener;

use weir_tests::config;
use weir_tests::ctl::Ctl;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

#[test]
fn a_server_that_is_down_is_explained() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Alone it would get requests all the same: too few servers would be healthy.
    let others = [Origin::named("one"), Origin::named("two")];
    let weir = Weir::start();
    let mut upstream = config::plain(&[gone, others[0].address(), others[1].address()]);
    upstream["health_check"] = serde_json::json!({ "interval": "100ms", "timeout": "50ms" });
    weir.api().set_default(&upstream);
    let server = config::slug(gone);
    let told = eventually("it is down", || {
        let told = Ctl::on(&weir, &format!("explain default {server}")).run().expect(0).out;
        (told.contains(": unhealthy\n") && !told.contains("(panic)")).then_some(told)
    });
    assert!(told.starts_with(&format!("default/{server} ({gone}) gets no requests")), "{told}");
    assert!(told.contains("refused") && told.contains("FACTOR") && told.contains("Last checks:"), "{told}");
    Ctl::on(&weir, "explain default nope").run().assert(1);
}
