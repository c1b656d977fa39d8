//! Tokens from the command line.

use tempfile::TempDir;
use weir_tests::ctl::Ctl;
use weir_tests::weir::Weir;

#[test]
fn a_token_is_made_used_and_revoked() {
    let weir = Weir::start();
    let made = Ctl::on(&weir, "token create ops --scope admin -q").run().expect(0);
    let secret = made.out.trim().to_owned();
    assert!(secret.starts_with("weir_ops_"), "{made:?}");
    let refused = Ctl::on(&weir, "get info").run().expect(5);
    assert!(refused.err.contains("WEIR_TOKEN"), "{refused:?}");

    let listed = Ctl::on(&weir, "token list").env("WEIR_TOKEN", &secret).run().expect(0);
    assert!(listed.out.lines().nth(1).is_some_and(|line| line.starts_with("ops")), "{listed:?}");
    assert!(!listed.out.contains(&secret), "a secret is shown once: {listed:?}");

    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let with_file = |args: &str| Ctl::on(&weir, args).arg("--token-file").arg(file.to_str().unwrap()).run();
    with_file("token create ci --scope health:read --ttl 1h").assert(0);
    with_file("token revoke ci").assert(0);
    let refused = with_file("token revoke ops").expect(3);
    assert!(refused.err.contains("--open"), "{refused:?}");
    with_file("token revoke ops --open").assert(0);
    Ctl::on(&weir, "get info").run().assert(0);
}
