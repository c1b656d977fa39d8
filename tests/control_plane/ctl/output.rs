//! The forms of the output, and a reader that goes away.

use serde_json::{Value, json};
use weir_tests::ctl::Ctl;
use weir_tests::weir::Weir;

fn with_web() -> Weir {
    let weir = Weir::start();
    let fields = "--field health_check.enabled=false --field labels.team=shop";
    Ctl::on(&weir, &format!("add upstream web 127.0.0.1:1 127.0.0.1:2 {fields}")).run().assert(0);
    weir
}

#[test]
fn tables_have_a_head_and_a_row_each() {
    let weir = with_web();
    for (line, head, row) in [
        ("get upstreams", "ID   STATE", "web  healthy  2/2"),
        ("get upstream web", "ID   STATE", "web  healthy  2/2"),
        ("get upstreams --label team:shop", "ID   STATE", "web  healthy  2/2"),
        ("get servers web", "ID           ADDRESS", "127.0.0.1-2  127.0.0.1:2  1"),
        ("get server web 127.0.0.1:2", "ID           ADDRESS", "127.0.0.1-2  127.0.0.1:2  1"),
        ("get routes", "ID       PRIORITY", "default"),
        ("get route default", "ID       PRIORITY", "default"),
        ("get listeners", "ID       ADDRESS", "default"),
    ] {
        let shown = Ctl::on(&weir, line).run().expect(0);
        assert!(shown.out.starts_with(head), "{line}: {}", shown.out);
        assert!(shown.out.lines().any(|line| line.starts_with(row)), "{line}: {}", shown.out);
        assert!(!shown.out.contains('\u{1b}'), "no colours where no person looks: {shown:?}");
    }
    let none = Ctl::on(&weir, "get upstreams --label team:other").run().expect(0);
    assert_eq!(none.out.lines().count(), 1, "{none:?}");
}

#[test]
fn how_upstreams_are_checked_is_in_a_word() {
    let weir = with_web();
    for add in [
        "add upstream by-path --field health_check.path=/healthz",
        "add upstream by-type --field health_check.type=http",
        "add upstream plain",
    ] {
        Ctl::on(&weir, add).run().assert(0);
    }
    let shown = Ctl::on(&weir, "get upstreams").run().expect(0);
    for (name, check) in
        [("web", " off "), ("by-path", " http /healthz "), ("by-type", " http "), ("plain", " tcp ")]
    {
        let row = shown.out.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(row.contains(check), "{row}");
    }
}

/// JSON is what the API answered, byte for byte.
#[test]
fn json_is_the_document_of_the_api() {
    let weir = with_web();
    for (line, path) in [
        ("get upstream web", "/v1/upstreams/web"),
        ("get upstreams", "/v1/upstreams?expand=servers"),
        ("get server web 127.0.0.1-1", "/v1/upstreams/web/servers/127.0.0.1-1"),
        ("get servers web", "/v1/upstreams/web/servers"),
        ("get config", "/v1/config"),
        ("get routes", "/v1/routes"),
    ] {
        let shown = Ctl::on(&weir, line).arg("--output").arg("json").run().expect(0);
        assert_eq!(shown.out.trim_end(), weir.api().get(path).response.text().trim_end(), "{line}");
    }
    let both = Ctl::on(&weir, "get server web 127.0.0.1-1 127.0.0.1-2 -o json").run().expect(0).json();
    assert_eq!(both["items"].as_array().map(Vec::len), Some(2), "{both}");
    let changed = Ctl::on(&weir, "set server web 127.0.0.1-1 weight=2 -o json").run().expect(0).json();
    assert_eq!(changed["weight"], 2);
}

#[test]
fn yaml_is_the_same_document() {
    let weir = with_web();
    let shown = Ctl::on(&weir, "get server web 127.0.0.1-1 -o yaml").run().expect(0);
    assert!(shown.out.contains("address: \"127.0.0.1:1\"\nadmin_state: ready\n"), "{}", shown.out);
}

#[test]
fn quiet_changes_say_nothing() {
    let weir = with_web();
    let said = Ctl::on(&weir, "set server web 127.0.0.1-1 weight=2 -q").run().expect(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
    assert_eq!(weir.api().get("/v1/upstreams/web/servers/127.0.0.1-1").json()["weight"], 2);
}

/// Lists are longer than a page of the API.
#[test]
fn long_lists_are_whole() {
    let weir = Weir::start();
    let servers: Vec<Value> = (1..=1500).map(|port| json!(format!("127.0.0.1:{port}"))).collect();
    weir.api().set_default(&json!({ "health_check": { "enabled": false }, "servers": servers }));
    let shown = Ctl::on(&weir, "get servers default -o json").run().expect(0).json();
    assert_eq!(shown["items"].as_array().map(Vec::len), Some(1500));
    assert_eq!(shown["next"], Value::Null);
    let shown = Ctl::on(&weir, "health").run().expect(0);
    assert_eq!(shown.out.lines().filter(|line| line.starts_with("default")).count(), 1500);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let weir = Weir::start();
    let servers: Vec<Value> = (1..=5000).map(|port| json!(format!("127.0.0.1:{port}"))).collect();
    weir.api().set_default(&json!({ "health_check": { "enabled": false }, "servers": servers }));
    for line in ["get servers default", "get config -o json", "health --watch --interval 1"] {
        let ended = Ctl::on(&weir, line).closed_after(16).expect(0);
        assert_eq!(ended.err, "", "{line}");
    }
}

/// Elsewhere than on a terminal, only what changes is told.
#[test]
fn watching_tells_changes() {
    let weir = with_web();
    let watching = Ctl::on(&weir, "health --watch --interval 1").start();
    watching.line("web/127.0.0.1-1 healthy");
    Ctl::on(&weir, "set server web 127.0.0.1-1 admin_state=maint -q").run().assert(0);
    let line = watching.line("healthy -> ");
    assert!(line.contains("web/127.0.0.1-1 healthy -> unused (admin_maint)"), "{line}");
    assert_eq!(watching.out().len(), 3, "{:?}", watching.out());
}
