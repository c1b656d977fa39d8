//! Certificates from the command line: added from files, shown, renewed, deleted; and where they are used.

use serde_json::Value;
use tempfile::TempDir;
use weir_tests::ctl::Ctl;
use weir_tests::weir::Weir;

use crate::mutual_tls::{authority, signed, write};

#[test]
fn certificates_are_added_shown_renewed_and_deleted() {
    let (weir, folder, authority) = (Weir::start(), TempDir::new().unwrap(), authority());
    let file = |name: &str, text: &str| write(folder.path(), name, text);
    let [first, second] = [(); 2].map(|()| signed(&authority, "shop.test"));
    let add = |id: &str, certificate: &str, key: &str, more: &str| {
        let files = format!("--certificate {certificate} --private-key {key}");
        Ctl::on(&weir, &format!("add certificate {id} {files} {more}"))
    };
    let (pem, key) = (file("1.pem", &first.certificate), file("1.key", &first.key));
    let said = add("shop", &pem, &key, "--dry-run").run().expect(0);
    assert!(said.out.contains("dry run") && !said.out.contains("PRIVATE KEY"), "{said:?}");
    let said = add("shop", &pem, &key, "--field labels.team=web").run().expect(0);
    assert!(
        said.out.starts_with("certificate shop added, valid until ") && said.out.contains("(revision 1)")
    );
    add("shop", &pem, &key, "").run().assert(3);

    let listener = "add listener edge 127.0.0.1:0 --field protocol=https --field tls.certificates=[\"shop\"]";
    Ctl::on(&weir, listener).run().assert(0);
    let shown = Ctl::on(&weir, "get certificates").run().expect(0);
    let row = shown.out.lines().find(|line| line.starts_with("shop")).unwrap();
    for word in ["identity", "shop.test", "ecdsa-p256", "ok", "/listeners/edge"] {
        assert!(row.contains(word), "{word}: {shown:?}");
    }
    let listeners = Ctl::on(&weir, "get listeners").run().expect(0);
    let row = listeners.out.lines().find(|line| line.starts_with("edge")).unwrap();
    assert!(row.contains("https") && row.contains("shop") && row.contains("true"), "{listeners:?}");
    Ctl::on(&weir, "get listener none").run().assert(1);

    let fingerprint = || weir.api().get("/v1/certificates/shop").json()["fingerprint"].clone();
    let before = fingerprint();
    let (pem, key) = (file("2.pem", &second.certificate), file("2.key", &second.key));
    let said = add("shop", &pem, &key, "--replace").run().expect(0);
    assert!(said.out.starts_with("certificate shop replaced"), "{said:?}");
    assert_ne!(before, fingerprint());
    Ctl::on(&weir, "set certificate shop description=renewed").run().assert(0);

    let refused = Ctl::on(&weir, "delete certificate shop").run().expect(3);
    assert!(refused.err.contains("edge"), "{refused:?}");
    Ctl::on(&weir, "delete listener edge").run().assert(0);
    Ctl::on(&weir, "delete certificate shop").run().assert(0);
    Ctl::on(&weir, "get certificate shop").run().assert(1);
    weir.assert_no_errors();
}

/// From standard input; of kind `ca`; in other forms; and what is no certificate.
#[test]
fn authorities_come_without_a_key() {
    let (weir, folder) = (Weir::start(), TempDir::new().unwrap());
    let add = "add certificate ours --kind ca --certificate -";
    Ctl::on(&weir, add).stdin(authority().pem()).run().assert(0);
    let shown = Ctl::on(&weir, "get certificates -o json").run().expect(0);
    assert_eq!(shown.out.trim_end(), weir.api().get("/v1/certificates").response.text().trim_end());
    let shown: Value = shown.json();
    assert_eq!((&shown["items"][0]["kind"], &shown["items"][0]["private_key"]), (&"ca".into(), &Value::Null));
    let none = Ctl::on(&weir, "get certificates --status expired,expiring").run().expect(0);
    assert_eq!(none.out.lines().count(), 1, "{none:?}");

    let own = signed(&authority(), "a.test");
    let alone = write(folder.path(), "own.pem", &own.certificate);
    let other = write(folder.path(), "other.key", &signed(&authority(), "a.test").key);
    let binary = folder.path().join("binary");
    std::fs::write(&binary, [0x30, 0x82, 0xff]).unwrap();
    for (flags, said) in [
        (format!("--certificate {alone}"), "#/private_key"),
        (format!("--certificate {alone} --private-key {other}"), "#/private_key"),
        (format!("--certificate {other}"), "#/certificate"),
        (format!("--certificate {}", binary.display()), "is not PEM"),
        ("--certificate /nonexistent".to_owned(), "cannot read /nonexistent"),
    ] {
        let refused = Ctl::on(&weir, &format!("add certificate x {flags}")).run().expect(2);
        assert!(refused.err.contains(said), "{flags}: {refused:?}");
    }
}
