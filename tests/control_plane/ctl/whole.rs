//! The whole configuration: apply, diff, history, and back again.

use serde_json::json;
use tempfile::TempDir;
use weir_tests::ctl::Ctl;
use weir_tests::weir::{Launch, Weir};

fn document(weight: u32) -> String {
    json!({
        "upstreams": [{
            "id": "web", "health_check": { "enabled": false },
            "servers": [{ "address": "127.0.0.1:1", "weight": weight }],
        }],
    })
    .to_string()
}

#[test]
fn what_was_applied_can_be_compared_and_taken_back() {
    let weir = Weir::start();
    let on = |args: &str, text: String| Ctl::on(&weir, args).stdin(text).run();

    assert!(on("diff -f -", document(1)).expect(1).out.contains("+ /upstreams/web"));
    assert_eq!(weir.api().revision(), 0, "a comparison changes nothing");
    let said = on("apply -f - --message first", document(1)).expect(0);
    assert!(said.out.contains("+ /upstreams/web") && said.out.ends_with("(revision 1)\n"), "{said:?}");
    let said = on("apply -f -", document(1)).expect(0);
    assert_eq!(said.out, "nothing differs (revision 1)\n");
    assert_eq!(on("diff -f -", document(1)).expect(0).out, "");

    let said = on("diff -f -", document(5)).expect(1);
    assert_eq!(said.out, "~ /upstreams/web/servers/127.0.0.1-1/weight: 1 -> 5\n");
    let said = on("apply -f - --dry-run", document(5)).expect(0);
    assert!(said.out.contains("1 -> 5") && said.out.contains("dry run"), "{said:?}");
    on("apply -f -", document(5)).assert(0);

    let said = on("rollback 1 --message back", String::new()).expect(0);
    assert!(said.out.contains("5 -> 1") && said.out.ends_with("1 change (revision 3)\n"), "{said:?}");
    let history = on("history", String::new()).expect(0).out;
    let lines: Vec<&str> = history.lines().collect();
    assert!(
        lines[0].starts_with("REVISION") && lines[1].starts_with("3 ") && lines[1].ends_with("back"),
        "{history}"
    );
    assert!(lines[3].starts_with("1 ") && lines[3].ends_with("first"), "{history}");
    let shown = on("history 2", String::new()).expect(0).out;
    assert!(shown.starts_with("revision 2, ") && shown.contains("weight: 1 -> 5"), "{shown}");
    on("rollback 99", String::new()).assert(1);
    weir.assert_no_errors();
}

/// What is read is what is put back, at every kept revision.
#[test]
fn a_configuration_is_saved_and_restored() {
    let weir = Weir::start();
    Ctl::on(&weir, "add upstream web 127.0.0.1:1 --field health_check.enabled=false").run().assert(0);
    let saved = Ctl::on(&weir, "get config -o json").run().expect(0).out;
    Ctl::on(&weir, "set upstream web algorithm=random").run().assert(0);
    let earlier = Ctl::on(&weir, "get config --revision 1 -o json").run().expect(0).out;
    assert_eq!(saved, earlier);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weir.json");
    std::fs::write(&path, &saved).unwrap();
    let file = path.to_str().unwrap();
    Ctl::on(&weir, "diff -f").arg(file).run().assert(1);
    Ctl::on(&weir, "apply -f").arg(file).run().assert(0);
    Ctl::on(&weir, "diff -f").arg(file).run().assert(0);
}

#[test]
fn what_a_file_does_not_name_goes_unless_it_is_kept() {
    let weir = Weir::start();
    Ctl::on(&weir, "add upstream old 127.0.0.1:1").run().assert(0);
    Ctl::on(&weir, "apply -f - --prune=false").stdin(document(1)).run().assert(0);
    Ctl::on(&weir, "get upstream old web").run().assert(0);
}

/// A template that came out empty must not empty a fleet.
#[test]
fn most_servers_go_only_when_that_is_confirmed() {
    let weir = Weir::start();
    Ctl::on(&weir, "apply -f -").stdin(document(1)).run().assert(0);
    let nothing = "{\"upstreams\":[]}";
    let refused = Ctl::on(&weir, "apply -f -").stdin(nothing).run().expect(3);
    assert!(refused.err.contains("--confirm 1"), "{refused:?}");
    Ctl::on(&weir, "apply -f -").stdin("\n").run().assert(2);
    let refused = Ctl::on(&weir, "apply -f -").stdin("{\"upstreams\":[{\"idd\":1}]}").run().expect(2);
    assert!(refused.err.contains("#/upstreams/0/idd"), "{refused:?}");
    Ctl::on(&weir, "apply -f - --confirm 1").stdin(nothing).run().assert(0);
}

#[test]
fn where_the_state_must_be_named_it_is_the_one_found() {
    let weir = Launch::default().arg("--require-if-match").start();
    let text = "upstreams: [{id: web, servers: ['127.0.0.1:1', '127.0.0.1:2']}]";
    Ctl::on(&weir, "diff -f -").stdin(text).run().assert(1);
    Ctl::on(&weir, "apply -f -").stdin(text).run().assert(0);
    Ctl::on(&weir, "drain web 127.0.0.1:1").run().assert(0);
    Ctl::on(&weir, "undrain web 127.0.0.1:1").run().assert(0);
    Ctl::on(&weir, "rollback 1").run().assert(0);
    let stale = Ctl::on(&weir, "rollback 1 --if-match r1.x").run().expect(3);
    assert!(stale.err.contains("412 etag_mismatch"), "{stale:?}");
}
