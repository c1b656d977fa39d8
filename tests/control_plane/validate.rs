//! `weir validate FILE`: what its exit code says, and that it needs no running Weir.

use serde_json::json;
use tempfile::TempDir;
use weir_tests::{
    ctl::{Ctl, Ended},
    weir::Weir,
};

fn validate(text: &str) -> Ended {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weir.yaml");
    std::fs::write(&path, text).unwrap();
    Ctl::weir(&["validate"]).arg(path.to_str().unwrap()).run()
}

#[test]
fn a_valid_file_is_counted() {
    let said = validate("upstreams:\n- id: web\n  servers: ['127.0.0.1:1', '127.0.0.1:2']\n").expect(0);
    assert!(said.out.ends_with("weir.yaml is valid: 1 upstream, 2 servers\n"), "{said:?}");
    assert_eq!(said.err, "", "there is one it can be bound to");
    let two = validate("upstreams: [{id: a, servers: ['127.0.0.1:1']}, {id: b, servers: []}]").expect(0);
    assert!(two.err.starts_with("warning: /routes/default: nothing was said of routes"), "{two:?}");
    let explicit = "routes: [{id: default, action: {upstreams: [{upstream: web}]}}]\n";
    let said = validate(&format!("{explicit}upstreams: [{{id: web, servers: ['127.0.0.1:1']}}]")).expect(0);
    assert_eq!(said.err, "");
}

#[test]
fn what_is_probably_not_meant_is_valid_and_said() {
    let said = validate("upstreams: [{id: web, servers: []}]").expect(0);
    assert!(said.err.contains("warning: /upstreams/web: no server takes requests"), "{said:?}");
}

#[test]
fn what_the_command_line_says_of_listeners_is_ignored_with_a_warning() {
    let text = "listeners: [{address: '0.0.0.0:80'}]\nupstreams: [{id: web, servers: ['127.0.0.1:1']}]";
    let said = validate(text).expect(0);
    assert!(said.err.contains("warning: /listeners/default: the address of"), "{said:?}");
}

#[test]
fn every_fault_of_an_invalid_file_is_a_line() {
    let said =
        validate("upstreams:\n- {id: web, severs: []}\n- {id: web, servers: ['127.0.0.1']}\n").expect(1);
    assert_eq!(said.out, "");
    for words in
        ["is no valid configuration:\n", "\n#/upstreams/0/severs: ", "\n#/upstreams/1/servers/0/address: "]
    {
        assert!(said.err.contains(words), "{words:?}: {said:?}");
    }
    let twice = validate("upstreams:\n- {id: web, servers: []}\n- {id: web, servers: []}\n").expect(1);
    assert!(twice.err.contains("\n#/upstreams/1/id: "), "{twice:?}");
    let malformed = validate("upstreams: [").expect(1);
    assert!(malformed.err.contains("is not YAML") && malformed.err.contains("line 2"), "{malformed:?}");
}

#[test]
fn what_cannot_be_read_or_understood_is_2() {
    let absent = Ctl::weir(&["validate", "/nonexistent/weir.yaml"]).run().expect(2);
    assert!(absent.err.starts_with("weir: /nonexistent/weir.yaml cannot be read: "), "{absent:?}");
    Ctl::weir(&["validate", "/"]).run().assert(2);
    let nothing = Ctl::weir(&["validate"]).run().expect(2);
    assert!(nothing.err.contains("<FILE>"), "{nothing:?}");
    Ctl::weir(&["validate", "--strict", "weir.yaml"]).run().assert(2);
    let help = Ctl::weir(&["validate", "--help"]).run().expect(0);
    assert!(help.out.contains("Usage: weir validate <FILE>"), "{help:?}");
}

/// What it lets pass, the API takes, and the other way round; and what the API exports is valid.
#[test]
fn it_agrees_with_the_api() {
    let weir = Weir::start();
    for text in [
        "upstreams: []",
        "upstreams: [{id: web, servers: ['127.0.0.1:1']}]",
        "upstreams: [{id: web, servers: ['127.0.0.1:1', '127.0.0.1:1']}]",
        "upstreams: [{id: web, health_check: {interval: 5}}]",
        "api_version: v2",
        "routes: [{id: other}]",
        "{}",
        "[]",
        "a: [",
    ] {
        let answer = weir
            .api()
            .call("PUT", "/v1/config?dry_run=true")
            .field("Content-Type", "application/yaml")
            .body(text)
            .send();
        let said = validate(text);
        assert_eq!(said.code == 0, answer.status() == 200, "{text}: {said:?} {answer:?}");
        for error in answer.json()["errors"].as_array().into_iter().flatten() {
            let pointer = error["pointer"].as_str().unwrap();
            assert!(said.err.contains(&format!("\n{pointer}: ")), "{pointer}: {said:?}");
        }
    }
    weir.api().set_default(&json!({ "servers": ["127.0.0.1:1"] }));
    let export = weir.api().call("GET", "/v1/config").field("Accept", "application/yaml").send().expect(200);
    validate(&export.response.text()).assert(0);
}
