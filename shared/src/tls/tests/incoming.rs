//! What clients are shown, and what they have to show.

use super::*;

#[test]
fn the_host_that_is_named_decides_on_the_certificate() {
    let authority = authority();
    let known = known([
        identity("first", &fresh(&authority, &["first.test"])),
        identity("exact", &fresh(&authority, &["www.a.test"])),
        identity("wild", &fresh(&authority, &["*.a.test", "a.test"])),
    ]);
    let shown = |listener: &IncomingTls, name: &str| {
        // Whoever shows what, it is not verified here.
        let settings = UpstreamTls { enabled: true, verify: model::TlsVerify::Off, ..UpstreamTls::default() };
        let any = outgoing(&settings, &Known::default()).unwrap();
        let met = meet(any.config(Offer::Http1), listener, name).ok()?;
        let certificate = met.0.peer_certificates().unwrap()[0].clone();
        known
            .values()
            .find(|known| Facts::of(&certificate).unwrap() == known.facts)
            .map(|it| it.id.to_string())
    };
    let settings = showing(&["first", "wild", "exact"]);
    let lenient = listener(&settings, &known, None);
    let strict = listener(&ListenerTls { unknown_name: UnknownName::Refuse, ..settings }, &known, None);
    for (name, expected, refused) in [
        ("www.a.test", "exact", false),
        ("WWW.A.TEST", "exact", false),
        ("other.a.test", "wild", false),
        ("a.test", "wild", false),
        ("deep.other.a.test", "first", true),
        ("b.test", "first", true),
        ("10.0.0.1", "first", true),
    ] {
        assert_eq!(shown(&lenient, name).as_deref(), Some(expected), "{name}");
        assert_eq!(shown(&strict, name).is_none(), refused, "{name}");
    }
}

#[test]
fn a_client_gets_the_certificate_whose_key_it_can_verify() {
    let authority = authority();
    let rsa = signed(&authority, &["a.test"], KeyPair::from_pem(RSA_2048).unwrap());
    let known = known([identity("ecdsa", &fresh(&authority, &["a.test"])), identity("rsa", &rsa)]);
    let listener = listener(&showing(&["ecdsa", "rsa"]), &known, None);
    let key_type = |provider: CryptoProvider| {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[&TLS12]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        let (client, _) = meet(&config, &listener, "a.test").unwrap();
        Facts::of(&client.peer_certificates().unwrap()[0]).unwrap().key_type
    };
    let all = ring::default_provider();
    assert_eq!(key_type(all.clone()), "ecdsa-p256");
    let mut only_rsa = all;
    only_rsa.cipher_suites.retain(|suite| format!("{suite:?}").contains("ECDHE_RSA"));
    assert_eq!(key_type(only_rsa), "rsa-2048");
}

#[test]
fn a_connection_carries_requests_for_its_certificates_hosts() {
    let authority = authority();
    let known = known([
        identity("one", &fresh(&authority, &["a.test", "*.a.test"])),
        identity("two", &fresh(&authority, &["b.test"])),
    ]);
    let listener = listener(&showing(&["one", "two"]), &known, None);
    assert!(listener.serves("a.test", "a.test") && listener.serves("a.test", "www.a.test"));
    assert!(!listener.serves("a.test", "b.test") && !listener.serves("b.test", "a.test"));
    assert!(listener.serves("unknown.test", "unknown.test") && listener.serves("unknown.test", "a.test"));
    assert!(!listener.serves("unknown.test", "b.test"));
}

#[test]
fn clients_prove_who_they_are_as_far_as_is_asked() {
    let (authority, foreign) = (authority(), authority());
    let known = known([identity("site", &fresh(&authority, &["a.test"])), bundle("clients", &authority)]);
    let with = |mode| {
        let client_auth = ClientAuth { mode, ca: Some("clients".into()) };
        listener(&ListenerTls { client_auth, ..showing(&["site"]) }, &known, None)
    };
    let (own, other) = (fresh(&authority, &["client.test"]), fresh(&foreign, &["client.test"]));
    for (mode, shown, goes, is_known) in [
        (ClientAuthMode::Off, Some(&own), true, false),
        (ClientAuthMode::Optional, None, true, false),
        (ClientAuthMode::Optional, Some(&own), true, true),
        (ClientAuthMode::Optional, Some(&other), false, false),
        (ClientAuthMode::Required, None, false, false),
        (ClientAuthMode::Required, Some(&own), true, true),
        (ClientAuthMode::Required, Some(&other), false, false),
    ] {
        let listener = with(mode);
        let met = meet(&Arc::new(client(&authority, shown)), &listener, "a.test");
        assert_eq!(met.is_ok(), goes, "{mode:?} {}", shown.is_some());
        if let Ok((_, server)) = met {
            assert_eq!(server.peer_certificates().is_some(), is_known, "{mode:?}");
        }
    }
}

#[test]
fn a_connection_goes_on_where_no_more_is_asked_than_its_client_has_proved() {
    let (authority, foreign) = (authority(), authority());
    let site = |names| identity("site", &fresh(&authority, names));
    let (before, after) = (
        known([site(&["a.test"]), bundle("one", &authority), bundle("two", &foreign)]),
        known([site(&["b.test"]), bundle("one", &authority), bundle("two", &foreign)]),
    );
    let asking = |mode, ca: &str, known: &Known| {
        let client_auth = ClientAuth { mode, ca: Some(ca.into()) };
        listener(&ListenerTls { client_auth, ..showing(&["site"]) }, known, None)
    };
    use ClientAuthMode::{Off, Optional, Required};
    for (was, proof, asked, goes_on) in [
        ((Optional, "one"), Proof::None, (Optional, "two"), true),
        ((Optional, "one"), Proof::None, (Required, "one"), false),
        ((Optional, "one"), Proof::Certificate, (Required, "one"), true),
        ((Optional, "one"), Proof::Certificate, (Optional, "two"), false),
        ((Required, "one"), Proof::Certificate, (Required, "two"), false),
        ((Required, "one"), Proof::Certificate, (Off, "two"), true),
        ((Off, "one"), Proof::None, (Optional, "one"), true),
        ((Off, "one"), Proof::None, (Required, "one"), false),
    ] {
        let (made, now) = (asking(was.0, was.1, &before), asking(asked.0, asked.1, &after));
        let is_taken = now.still_takes(&made, TlsVersion::Tls12, proof);
        assert_eq!(is_taken, goes_on, "{was:?} {proof:?} {asked:?}");
    }
    let made = asking(Off, "one", &before);
    let newer = ListenerTls { min_version: TlsVersion::Tls13, ..showing(&["site"]) };
    let newer = listener(&newer, &after, None);
    assert!(newer.still_takes(&made, TlsVersion::Tls13, Proof::None));
    assert!(!newer.still_takes(&made, TlsVersion::Tls12, Proof::None));
}
