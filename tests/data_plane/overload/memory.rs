//! Memory: above the limit new work is refused, and the API goes on.

use weir_tests::origin::Origin;
use weir_tests::weir::Launch;
use weir_tests::{config, eventually::eventually};

#[test]
fn new_connections_are_refused_while_memory_is_short() {
    let origin = Origin::named("one");
    let weir = Launch::default().arg("--max-memory-bytes").arg("4096").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    for _ in 0..5 {
        let answer = weir.client().get("/");
        assert_eq!((answer.status, answer.announces_close()), (503, true));
        assert_eq!(answer.fields.one("proxy-status"), Some("weir; error=proxy_internal_error"));
    }
    assert_eq!(origin.count(), 0);
    eventually("what was refused is counted", || {
        let health = weir.api().get("/v1/health").expect(200).json();
        (health["listener"]["connections_shed"] == 5).then_some(())
    });
}

#[test]
fn enough_memory_is_no_limit() {
    let origin = Origin::named("one");
    let weir = Launch::default().arg("--max-memory-bytes").arg("4294967296").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    assert_eq!(weir.client().get("/").status, 200);
}
