//! What servers have to show.

use super::*;

#[test]
fn servers_prove_who_they_are() {
    let (authority, foreign) = (authority(), authority());
    let expired = {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        (params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
    };
    let known = known([
        identity("good", &fresh(&authority, &["a.test", "127.0.0.1"])),
        identity("foreign", &fresh(&foreign, &["a.test"])),
        identity("expired", &expired),
        identity("own", &fresh(&authority, &["client.test"])),
        bundle("roots", &authority),
    ]);
    let to = |server: &str, settings: &UpstreamTls, address: &str| {
        let outgoing = outgoing(settings, &known).unwrap();
        let name = outgoing.server_name(&Address::parse(address).unwrap()).unwrap();
        let mut client = ClientConnection::new(Arc::clone(outgoing.config(Offer::Both)), name).unwrap();
        let client_auth = ClientAuth { mode: ClientAuthMode::Required, ca: Some("roots".into()) };
        let listener = listener(&ListenerTls { client_auth, ..showing(&[server]) }, &known, None);
        let mut server = ServerConnection::new(Arc::clone(&listener.config)).unwrap();
        let told = talk(&mut client, &mut server).map_err(|error| {
            HandshakeFault::of(&std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        });
        told.map(|()| client.alpn_protocol().unwrap().to_vec())
    };
    let full = UpstreamTls {
        enabled: true,
        ca: Some("roots".into()),
        certificate: Some("own".into()),
        ..UpstreamTls::default()
    };
    assert_eq!(to("good", &full, "a.test:443"), Ok(b"h2".to_vec()));
    assert_eq!(to("good", &full, "127.0.0.1:443"), Ok(b"h2".to_vec()));
    let named = UpstreamTls { server_name: Some("a.test".into()), ..full.clone() };
    assert_eq!(to("good", &named, "10.0.0.1:443"), Ok(b"h2".to_vec()));
    for (server, address, says) in [
        ("good", "b.test:443", "it is for another name"),
        ("foreign", "a.test:443", "it is signed by nobody who is trusted"),
        ("expired", "a.test:443", "it has expired"),
    ] {
        assert_eq!(to(server, &full, address), Err(HandshakeFault::Certificate(says)));
        let off = UpstreamTls { verify: model::TlsVerify::Off, ..full.clone() };
        assert_eq!(to(server, &off, address), Ok(b"h2".to_vec()), "{server}");
    }
    let anonymous = UpstreamTls { certificate: None, ..full };
    let refused = to("good", &anonymous, "a.test:443");
    assert!(refused.is_err(), "{refused:?}");
    assert!(outgoing(&UpstreamTls::default(), &known).is_none());
}

#[test]
fn what_is_the_same_is_taken_over() {
    let authority = authority();
    let all = known([identity("site", &fresh(&authority, &["a.test"])), bundle("roots", &authority)]);
    let renewed = all.insert(
        CertificateId::new("site"),
        compile(identity("site", &fresh(&authority, &["a.test"]))).unwrap(),
    );
    let mut errors = Vec::new();
    let settings = showing(&["site"]);
    let mut again = |known: &Known, settings: &ListenerTls, before: &Arc<IncomingTls>| {
        let made = IncomingTls::compile(settings, known, Some(before), None, &Pointer::root(), &mut errors);
        Arc::ptr_eq(&made.unwrap(), before)
    };
    let first = listener(&settings, &all, None);
    assert!(again(&all, &settings, &first));
    assert!(!again(&renewed, &settings, &first));
    assert!(!again(&all, &ListenerTls { unknown_name: UnknownName::Refuse, ..settings.clone() }, &first));
    let settings = UpstreamTls { enabled: true, ca: Some("roots".into()), ..UpstreamTls::default() };
    let first = outgoing(&settings, &all).unwrap();
    let mut errors = Vec::new();
    let mut again = |known: &Known| {
        let basis = Basis::default();
        let made =
            OutgoingTls::compile(&settings, known, Some(&first), &basis, &Pointer::root(), &mut errors);
        Arc::ptr_eq(&made.unwrap(), &first)
    };
    assert!(again(&all) && again(&renewed), "it does not use the certificate that was renewed");
}
