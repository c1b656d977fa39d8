//! Promise 3: the next request after the answer to a change is routed by it.

use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

#[test]
fn p3_read_your_writes() {
    let origins = ["a", "b"].map(Origin::named);
    let weir = Weir::start();
    let mut kept = weir.client();
    for turn in 0..100 {
        let origin = &origins[turn % 2];
        weir.api().set_default(&config::bare(&[origin.address()]));
        let name = ["a", "b"][turn % 2];
        assert_eq!(kept.get("/").text(), name, "on a connection that was there before, turn {turn}");
        assert_eq!(weir.client().get("/").text(), name, "on a new one, turn {turn}");
        let seen = weir.api().get("/v1/upstreams/default").expect(200).json();
        assert_eq!(seen["servers"][0]["address"], origin.address().to_string(), "turn {turn}");
    }
}
