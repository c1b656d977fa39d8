//! Certificates that are read, or refused.

use super::*;

#[test]
fn a_certificate_says_what_it_is() {
    let authority = authority();
    let made =
        compile(identity("site", &fresh(&authority, &["WWW.a.test", "*.b.test", "10.0.0.7"]))).unwrap();
    assert_eq!(made.facts.hosts, ["www.a.test", "*.b.test"]);
    assert_eq!(made.facts.names, ["WWW.a.test", "*.b.test", "10.0.0.7"]);
    assert_eq!((made.facts.key_type.as_str(), made.facts.fingerprint.len()), ("ecdsa-p256", 64));
    let key = KeyPair::from_pem(RSA_2048).unwrap();
    let made = compile(identity("site", &signed(&authority, &["a.test"], key))).unwrap();
    assert_eq!(made.facts.key_type, "rsa-2048");
    assert!(!format!("{made:?}").contains("PRIVATE"));
}

#[test]
fn the_status_follows_the_clock() {
    let day = 24 * 3600 * 1000;
    let status =
        |now: i64| CertificateStatus::of(Timestamp(10 * day), Timestamp(100 * day), Timestamp(now * day));
    let expected = [
        (9, CertificateStatus::NotYetValid),
        (10, CertificateStatus::Ok),
        (69, CertificateStatus::Ok),
        (70, CertificateStatus::Expiring),
        (100, CertificateStatus::Expiring),
        (101, CertificateStatus::Expired),
    ];
    for (day, expected) in expected {
        assert_eq!(status(day), expected, "day {day}");
    }
}

#[test]
fn every_fault_is_pointed_at_and_repeats_no_key() {
    let authority = authority();
    let (certificate, key) = fresh(&authority, &["a.test"]);
    let (other, other_key) = fresh(&authority, &["b.test"]);
    let chain = format!("{certificate}{}", authority.pem());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let weak = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (certificate, key, pointer, says) in [
        ("", key.as_str(), "#/certificate", "BEGIN CERTIFICATE"),
        ("nothing", &key, "#/certificate", "not PEM"),
        (garbled, &key, "#/certificate", "no X.509"),
        (&format!("{certificate}{key}"), &key, "#/certificate", "private_key"),
        (&format!("{certificate}{other}"), &key, "#/certificate", "out of order"),
        (&certificate, &other_key, "#/private_key", "not the key"),
        (&certificate, "nothing", "#/private_key", "not a private key"),
        (&certificate, &certificate, "#/private_key", "not a private key"),
        (&certificate, encrypted, "#/private_key", "encrypted"),
        (&certificate, RSA_1024, "#/private_key", "RSA of 2048"),
        (&certificate, weak, "#/private_key", "cannot be used"),
    ] {
        let errors = compile(identity("site", &(certificate.to_owned(), key.to_owned()))).unwrap_err();
        let [error] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!(error.pointer, pointer, "{error:?}");
        assert!(error.detail.contains(says) && !error.detail.contains("MI"), "{error:?}");
    }
    assert!(compile(identity("site", &(chain, key.clone()))).is_ok(), "with the one that signed it");
    let without = model::Certificate { private_key: None, ..identity("site", &(certificate, key)) };
    assert_eq!(compile(without).unwrap_err()[0].pointer, "#/private_key");
}

#[test]
fn a_key_fits_its_certificate_alone() {
    let authority = authority();
    let (one, other) = (fresh(&authority, &["a.test"]), fresh(&authority, &["a.test"]));
    let certificate = identity("site", &one);
    assert!(key_fits(&certificate, &PrivateKey::new(&one.1)));
    assert!(!key_fits(&certificate, &PrivateKey::new(&other.1)));
    assert!(!key_fits(&certificate, &PrivateKey::new("")));
}
