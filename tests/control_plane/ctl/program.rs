//! The program around the commands: completion scripts, variables, and a balancer that starts as before.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use weir_tests::ctl::Ctl;
use weir_tests::eventually::eventually;
use weir_tests::weir::{Launch, Weir};

#[test]
fn completion_scripts_are_scripts() {
    let script = |shell| Ctl::weir(&["completion", shell]).run().expect(0).out;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script("bash").as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
    assert!(script("zsh").starts_with("#compdef weir"));
    assert!(script("fish").contains("complete -c weir"));
    assert_eq!(Ctl::weir(&["completion", "bash"]).closed_after(16).code, 0);
}

#[test]
fn the_help_tells_the_exit_codes() {
    let help = Ctl::weir(&["ctl", "--help"]).run().expect(0).out;
    for code in 0..=6 {
        assert!(help.contains(&format!("\n  {code}  ")), "{help}");
    }
    assert!(Ctl::weir(&["--help"]).run().expect(0).out.contains("weir ctl"));
    assert!(Ctl::weir(&["ctl", "apply", "--help"]).run().expect(0).out.contains("--prune"));
}

/// Unit files cannot unset a variable, only empty it.
#[test]
fn an_empty_variable_is_not_set() {
    let weir = Weir::start();
    let admin = weir.admin().to_string();
    let asked =
        Ctl::weir(&["ctl", "get", "info", "--admin", &admin]).env("WEIR_ADMIN", "").env("WEIR_TOKEN", "");
    asked.run().assert(0);
    let refused = Ctl::weir(&["--admin", "10.0.0.1:1"]).env("WEIR_WORKERS", "").env("WEIR_DEMO", "").run();
    assert!(refused.expect(1).err.contains("refusing the admin address"), "the flags were read");
}

#[test]
fn a_wrong_number_of_workers_names_its_range() {
    let refused = Ctl::weir(&["--workers", "0"]).run().expect(2);
    assert_eq!(refused.err.lines().count(), 1);
    assert!(refused.err.contains("1..=1024"), "{refused:?}");
}

/// One address is the process's own; others are listeners of the API.
#[test]
fn more_than_one_address_is_refused() {
    let refused = Ctl::weir(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]).run().expect(2);
    assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
    assert!(refused.err.contains("--listen"), "{refused:?}");
    for none in ["none", "", "8080"] {
        let refused = Ctl::weir(&["--listen", none]).run().expect(2);
        assert!(refused.err.contains("--listen"), "{none:?}: {refused:?}");
    }
}

/// `--demo`: three servers, one upstream, traffic; and nothing is left behind.
#[test]
fn the_demo_balances_three_servers() {
    let weir = Launch::default().arg("--demo").start();
    let demo = eventually("the demo's upstream is well", || {
        let answer = weir.api().get("/v1/upstreams/demo/health");
        let health: Value = if answer.status() == 200 { answer.json() } else { Value::Null };
        (health["eligible"] == 3).then_some(health)
    });
    assert_eq!(demo["total"], 3);
    let mut client = weir.client();
    assert!((0..10).any(|_| client.get("/").status == 200));
    let data_dir = weir.data_dir().unwrap();
    drop(client);
    assert!(!data_dir.join("weir.db").exists() && !data_dir.join("last-good.json").exists(), "{data_dir:?}");
    weir.assert_no_errors();
}

/// Whoever insists may open the API to others, and is reminded of it.
#[test]
fn an_exposed_api_is_insisted_on_and_complained_about() {
    let (status, lines) = Launch::default().admin("0.0.0.0:0").refused();
    assert_eq!(status.code(), Some(1));
    assert!(lines[0].contains("--admin-insecure"), "{lines:?}");
    let weir = Launch::default().admin("0.0.0.0:0").arg("--admin-insecure").start();
    let said = eventually("a warning", || {
        let events = weir.logs().events();
        events.into_iter().find(|event| {
            event["level"] == "WARN"
                && event["message"].as_str().is_some_and(|text| text.contains("open to everyone"))
        })
    });
    assert_eq!(said["address"], "0.0.0.0:0");
    let port = weir.admin().port();
    Ctl::weir(&["ctl", "get", "info", "--admin", &format!("127.0.0.1:{port}")]).run().assert(0);
}
