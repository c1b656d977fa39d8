//! Sessions that go on.

use super::{super::tickets, *};

#[test]
fn a_session_goes_on_whatever_certificate_is_shown_now() {
    let authority = authority();
    let tickets = tickets::new().unwrap();
    let settings = showing(&["site"]);
    let make = || {
        let known = known([identity("site", &fresh(&authority, &["a.test"]))]);
        listener(&settings, &known, Some(&tickets))
    };
    let (one, replaced) = (make(), make());
    for version in [&TLS12, &TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
        let client = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        assert_eq!(kind(&client, &one), HandshakeKind::Full);
        assert_eq!(kind(&client, &one), HandshakeKind::Resumed);
        assert_eq!(kind(&client, &replaced), HandshakeKind::Resumed);
    }
}

#[test]
fn a_ticket_is_worth_nothing_where_more_is_asked() {
    let authority = authority();
    let tickets = tickets::new().unwrap();
    let known = known([
        identity("site", &fresh(&authority, &["a.test"])),
        bundle("clients", &authority),
        bundle("others", &super::authority()),
    ]);
    let asking = |mode, ca: &str| {
        let client_auth = ClientAuth { mode, ca: Some(ca.into()) };
        listener(&ListenerTls { client_auth, ..showing(&["site"]) }, &known, Some(&tickets))
    };
    let open = asking(ClientAuthMode::Off, "clients");
    let optional = asking(ClientAuthMode::Optional, "clients");
    let required = asking(ClientAuthMode::Required, "clients");
    let anonymous = Arc::new(client(&authority, None));
    kind(&anonymous, &open);
    assert!(meet(&anonymous, &required, "a.test").is_err());
    kind(&anonymous, &optional);
    assert!(meet(&anonymous, &required, "a.test").is_err());
    let own = Arc::new(client(&authority, Some(&fresh(&authority, &["client.test"]))));
    assert_eq!(kind(&own, &required), HandshakeKind::Full);
    assert_eq!(kind(&own, &required), HandshakeKind::Resumed);
    let met = meet(&own, &required, "a.test").unwrap();
    assert!(met.1.peer_certificates().is_some(), "who it is goes on with the session");
    assert!(
        meet(&own, &asking(ClientAuthMode::Required, "others"), "a.test").is_err(),
        "others are believed now"
    );
}

#[test]
fn keys_of_tickets_rotate_and_the_one_before_is_honoured() {
    const LIFETIME: u64 = 2;
    let authority = authority();
    let tickets = tickets::rotating(Duration::from_secs(LIFETIME)).unwrap();
    let known = known([identity("site", &fresh(&authority, &["a.test"]))]);
    let listener = listener(&showing(&["site"]), &known, Some(&tickets));
    let seconds = || UnixTime::now().as_secs();
    let began = seconds();
    let client = Arc::new(client(&authority, None));
    assert_eq!(kind(&client, &listener), HandshakeKind::Full);
    let sealed = tickets.encrypt(b"secret").unwrap();
    // A key is replaced at its first use after its time.
    while seconds() <= began + LIFETIME + 1 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(kind(&client, &listener), HandshakeKind::Resumed, "by the key before");
    assert_eq!(tickets.decrypt(&sealed).as_deref(), Some(&b"secret"[..]));
    while tickets.decrypt(&sealed).is_some() {
        assert!(seconds() < began + 10 * LIFETIME, "a key is honoured for ever");
        std::thread::sleep(Duration::from_millis(50));
        tickets.encrypt(b"x");
    }
}
