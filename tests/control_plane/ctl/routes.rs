//! Routes from the command line: added, shown, changed, compared, applied, deleted.

use serde_json::json;
use weir_tests::ctl::Ctl;
use weir_tests::weir::Weir;

#[test]
fn routes_are_added_shown_changed_and_deleted() {
    let weir = Weir::start();
    for name in ["web", "api"] {
        Ctl::on(&weir, &format!("add upstream {name} 127.0.0.1:1 --field health_check.enabled=false"))
            .run()
            .assert(0);
    }
    let line = "add route canary --host shop.test --path /cart --to web=90 --to api=10 --field priority=5";
    let said = Ctl::on(&weir, line).run().expect(0);
    assert_eq!(said.out, "route canary added (revision 3)\n");
    let said = Ctl::on(&weir, "add route twin --host shop.test --path /cart/ --to web --field priority=5")
        .run()
        .expect(0);
    assert!(said.out.contains("canary") && said.out.contains("revision 4"), "{said:?}");
    let line = "add route old --host old.test --field action.redirect.scheme=https";
    Ctl::on(&weir, line).run().assert(0);
    let shown = Ctl::on(&weir, "get routes").run().expect(0);
    let row = |name: &str| shown.out.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("canary").contains("web=90,api=10") && row("canary").contains("/cart"), "{shown:?}");
    assert!(row("twin").contains("conflicted") && row("old").contains("redirect 302"), "{shown:?}");
    let conflicted = Ctl::on(&weir, "get routes --state conflicted").run().expect(0);
    assert_eq!(conflicted.out.lines().count(), 2, "{conflicted:?}");

    let said = Ctl::on(&weir, "set route canary action.timeout=5s enabled=false").run().expect(0);
    assert_eq!(said.out, "canary: action.timeout=5s enabled=false (revision 6)\n");
    assert_eq!(weir.api().get("/v1/routes/canary").json()["action"]["timeout"], "5s");
    Ctl::on(&weir, "delete route twin").run().assert(0);
    Ctl::on(&weir, "delete route default").run().assert(2);
    let wrong = Ctl::on(&weir, "add route x --to webb").run().expect(2);
    assert!(wrong.err.contains("did you mean \"web\"?"), "{wrong:?}");
    Ctl::on(&weir, "add route x --to web=many").run().assert(2);
}

#[test]
fn a_file_with_routes_is_compared_and_applied() {
    let weir = Weir::start();
    Ctl::on(&weir, "add upstream web 127.0.0.1:1 --field health_check.enabled=false").run().assert(0);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut config = weir.api().get("/v1/config").json();
    config["routes"].as_array_mut().unwrap().push(json!({
        "id": "api", "match": {"path": {"type": "regex", "value": "/v[0-9]+/.*"}}, "action": {"upstreams": [{"upstream": "web"}]}
    }));
    std::fs::write(file.path(), config.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let differs = Ctl::on(&weir, "diff -f").arg(path).run().expect(1);
    assert!(differs.out.contains("/routes/api"), "{differs:?}");
    Ctl::on(&weir, "apply -f").arg(path).run().assert(0);
    Ctl::on(&weir, "diff -f").arg(path).run().assert(0);
    assert_eq!(weir.api().get("/v1/routes/api").json()["status"]["state"], "ok");
}
