//! `weir ctl` over TLS: whom it trusts, and the certificate it shows.

use std::path::Path;

use tempfile::TempDir;
use weir_tests::ctl::{Ctl, Ended};
use weir_tests::weir::{Launch, Weir};

use crate::mutual_tls::{authority, signed, start, write};

fn ctl(weir: &Weir, folder: &Path, host: &str, flags: &str) -> Ended {
    let place = format!("https://{host}:{}", weir.admin().port());
    let mut args = vec!["ctl", "get", "info", "--admin", &place];
    let flags: Vec<String> = flags
        .split_whitespace()
        .map(|word| match word.strip_prefix('@') {
            Some(name) => folder.join(name).display().to_string(),
            None => word.to_owned(),
        })
        .collect();
    args.extend(flags.iter().map(String::as_str));
    Ctl::weir(&args).run()
}

#[test]
fn a_certificate_is_checked_and_shown() {
    let folder = TempDir::new().unwrap();
    let authority = authority();
    let weir = start(folder.path(), &authority);
    let ops = signed(&authority, "ops.example");
    write(folder.path(), "ops.pem", &ops.certificate);
    write(folder.path(), "ops.key", &ops.key);
    let run = |host, flags| ctl(&weir, folder.path(), host, flags);

    let known = run("localhost", "--ca @ca.pem --cert @ops.pem --key @ops.key").expect(0);
    assert_eq!(known.err, "");
    run("localhost", "--ca @ca.pem").assert(5);
    let place = format!("https://localhost:{}", weir.admin().port());
    let by_variables = Ctl::weir(&["ctl", "get", "info"])
        .env("WEIR_ADMIN", &place)
        .env("WEIR_CA", folder.path().join("ca.pem").to_str().unwrap())
        .arg("--cert")
        .arg(folder.path().join("ops.pem").to_str().unwrap())
        .arg("--key")
        .arg(folder.path().join("ops.key").to_str().unwrap());
    by_variables.run().assert(0);

    let refused = run("127.0.0.1", "--ca @ca.pem").expect(4);
    assert!(refused.err.contains("not valid for name"), "{refused:?}");
    weir.assert_no_errors();
}

#[test]
fn whoever_is_not_trusted_is_told_nothing() {
    let folder = TempDir::new().unwrap();
    let weir = start(folder.path(), &authority());
    write(folder.path(), "other.pem", &authority().pem());
    let refused = ctl(&weir, folder.path(), "localhost", "--ca @other.pem").expect(4);
    assert!(refused.err.contains("invalid peer certificate"), "{refused:?}");
    for (flags, said) in [
        ("--ca @none.pem", "cannot use"),
        ("--ca @own.key", "it holds no certificate"),
        ("--ca @ca.pem --cert @own.pem", "--key"),
        ("--ca @ca.pem --cert @own.pem --key @ca.pem", "cannot use"),
    ] {
        let refused = ctl(&weir, folder.path(), "localhost", flags).expect(2);
        assert!(refused.err.contains(said) && refused.err.lines().count() == 1, "{flags}: {refused:?}");
    }
    let plain = Launch::default().start();
    ctl(&plain, folder.path(), "localhost", "--ca @ca.pem").assert(4);
}
