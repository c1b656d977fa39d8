//! Connections of clients over TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use serde_json::{Value, json};
use weir_tests::events::EventStream;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::reply::Step;
use weir_tests::weir::Weir;

use crate::pki::{Authority, Identity};

/// What a client got.
struct Got {
    status: u16,
    text: String,
    kind: HandshakeKind,
    alpn: Option<Vec<u8>>,
    /// Number of the certificate that was shown.
    shown: Vec<u8>,
}

/// A listener `edge` with `tls`, and one server. Answers where it listens.
pub(crate) fn listen(weir: &Weir, server: &Origin, tls: &Value) -> SocketAddr {
    let servers = [server.address().to_string()];
    weir.api().set_default(&json!({"servers": servers, "health_check": {"enabled": false}}));
    let body = json!({"address": "127.0.0.1:0", "protocol": "https", "tls": tls});
    let answer = weir.api().put("/v1/listeners/edge", &body);
    assert!(matches!(answer.status(), 200 | 201), "{answer:?}");
    eventually("the listener is bound", || {
        let shown = weir.api().get("/v1/listeners/edge").expect(200).json();
        shown["status"]["address"].as_str()?.parse().ok()
    })
}

pub(crate) fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Asks for `host` with these fields, over a connection of its own to `name`.
fn get(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
    host: &str,
    fields: &str,
) -> std::io::Result<Got> {
    let mut stream = connect(address, config, name)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status =
        text.get(9..12).and_then(|status| status.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
    let shown = stream.conn.peer_certificates().map(|chain| chain[0].to_vec()).unwrap_or_default();
    let alpn = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
    Ok(Got { status, text, kind: stream.conn.handshake_kind().unwrap(), alpn, shown })
}

fn http1(authority: &Authority, identity: Option<&Identity>) -> Arc<ClientConfig> {
    authority.client(&[&TLS13, &TLS12], &["http/1.1"], identity)
}

#[test]
fn a_certificate_is_replaced_a_hundred_times_and_no_handshake_fails() {
    const CLIENTS: usize = 4;
    let (weir, authority, server) = (Weir::start(), Authority::new(), Origin::named("one"));
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("site")).status(), 201);
    let edge = listen(&weir, &server, &json!({"certificates": ["site"]}));
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    // One that was there before goes on all the while, however long that is.
    assert_eq!(weir.api().patch("/v1/listeners/edge", &json!({"header_timeout": "60s"})).status(), 200);
    let mut kept = connect(edge, &http1(&authority, None), "a.test").unwrap();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (stop, made, authority) = (&stop, &made, &authority);
                scope.spawn(move || {
                    let shared = http1(authority, None);
                    while !stop.load(Ordering::SeqCst) {
                        // Half of them begin anew each time, the others go on with their sessions.
                        let config =
                            if client % 2 == 0 { http1(authority, None) } else { Arc::clone(&shared) };
                        let got = get(edge, &config, "a.test", "a.test", "").unwrap();
                        assert_eq!(got.status, 200, "{}", got.text);
                        made.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for round in 0..100 {
            let renewed = authority.sign(&["a.test"]);
            let answer = weir.api().put("/v1/certificates/site", &renewed.body("site"));
            assert_eq!(answer.status(), 200, "{answer:?}");
            let got = get(edge, &http1(&authority, None), "a.test", "a.test", "").unwrap();
            assert_eq!(got.shown, renewed.chain().as_ref(), "in force with the answer, in round {round}");
        }
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().unwrap();
        }
    });
    assert!(made.load(Ordering::SeqCst) >= 2 * CLIENTS, "{made:?}");
    write!(kept, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    kept.read_to_end(&mut bytes).unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 200"), "a connection is not closed for it");
    let metrics = weir.api().get("/metrics").expect(200).response.text();
    let failed =
        metrics.lines().filter(|line| line.starts_with("weir_listener_tls_handshake_failures_total{"));
    for line in failed {
        assert!(line.ends_with(" 0"), "{line}");
    }
    weir.assert_no_errors();
}

#[test]
fn the_host_that_is_named_decides_and_no_other_is_asked_for() {
    let (weir, authority, server) = (Weir::start(), Authority::new(), Origin::named("one"));
    let (one, two) = (authority.sign(&["a.test", "*.a.test"]), authority.sign(&["b.test"]));
    assert_eq!(weir.api().post("/v1/certificates", &one.body("one")).status(), 201);
    assert_eq!(weir.api().post("/v1/certificates", &two.body("two")).status(), 201);
    let edge = listen(&weir, &server, &json!({"certificates": ["one", "two"]}));
    let client = http1(&authority, None);
    for (name, host, status, shown) in [
        ("a.test", "a.test", 200, &one),
        ("www.a.test", "www.a.test:443", 200, &one),
        ("a.test", "www.a.test", 200, &one),
        ("a.test", "b.test", 421, &one),
        ("b.test", "b.test", 200, &two),
        ("b.test", "a.test", 421, &two),
    ] {
        let got = get(edge, &client, name, host, "").unwrap();
        assert_eq!((got.status, got.shown.as_slice()), (status, shown.chain().as_ref()), "{name} {host}");
        assert_eq!(got.alpn.as_deref(), Some(&b"http/1.1"[..]));
    }
    assert!(get(edge, &client, "c.test", "c.test", "").is_err(), "the client does not accept it");
    let strict = json!({"certificates": ["one", "two"], "unknown_name": "refuse"});
    assert_eq!(weir.api().patch("/v1/listeners/edge", &json!({"tls": strict})).status(), 200);
    assert!(get(edge, &client, "c.test", "c.test", "").is_err());
    eventually("failures are counted by reason", || {
        let metrics = weir.api().get("/metrics").expect(200).response.text();
        let has = |reason: &str| {
            let start = format!(
                "weir_listener_tls_handshake_failures_total{{listener=\"edge\",reason=\"{reason}\"}}"
            );
            metrics.lines().any(|line| line.starts_with(&start) && !line.ends_with(" 0"))
        };
        (has("unknown_name") && has("refused_by_client")).then_some(())
    });
    let refused = weir.api().delete("/v1/certificates/one");
    assert_eq!(refused.status(), 409, "{refused:?}");
    assert_eq!(refused.json()["used_by"], json!(["/listeners/edge"]));
}

#[test]
fn http2_is_agreed_on_and_the_scheme_is_told() {
    let (weir, authority, server) = (Weir::start(), Authority::new(), Origin::named("one"));
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("site")).status(), 201);
    let edge = listen(&weir, &server, &json!({"certificates": ["site"]}));
    let both = authority.client(&[&TLS13, &TLS12], &["h2", "http/1.1"], None);
    let stream = connect(edge, &both, "a.test").unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    let got = get(edge, &http1(&authority, None), "a.test", "a.test", "X-Forwarded-Proto: http\r\n").unwrap();
    assert_eq!(got.status, 200);
    let raw = String::from_utf8(server.only().raw).unwrap();
    assert!(raw.contains("x-forwarded-proto: https\r\n"), "{raw}");
    let only = json!({"certificates": ["site"], "alpn": ["http/1.1"], "min_version": "1.3"});
    assert_eq!(weir.api().patch("/v1/listeners/edge", &json!({"tls": only})).status(), 200);
    let stream = connect(edge, &both, "a.test").unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(connect(edge, &authority.client(&[&TLS12], &[], None), "a.test").is_err(), "too old");
    let mut plain = TcpStream::connect(edge).unwrap();
    write!(plain, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "no plain text beside TLS");
    assert_eq!(server.count(), 1);
}

#[test]
fn servers_are_told_who_a_client_proved_to_be_and_nothing_that_it_says_of_itself() {
    let (weir, authority, server) = (Weir::start(), Authority::new(), Origin::named("one"));
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("site")).status(), 201);
    assert_eq!(weir.api().post("/v1/certificates", &authority.body("clients")).status(), 201);
    let asking =
        |mode: &str| json!({"certificates": ["site"], "client_auth": {"mode": mode, "ca": "clients"}});
    let edge = listen(&weir, &server, &asking("optional"));
    let own = authority.sign(&["client.test"]);
    let foreign = Authority::new().sign(&["client.test"]);
    let forged = "Client-Cert: :AAAA:\r\nX-Client-Cert-Verified: true\r\nX_Client_Cert_Names: root\r\n";
    assert_eq!(get(edge, &http1(&authority, Some(&own)), "a.test", "a.test", forged).unwrap().status, 200);
    assert_eq!(get(edge, &http1(&authority, None), "a.test", "a.test", forged).unwrap().status, 200);
    assert_eq!(weir.client().exchange(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{forged}\r\n")).status, 200);
    assert!(get(edge, &http1(&authority, Some(&foreign)), "a.test", "a.test", "").is_err());
    let told: Vec<String> = server
        .seen()
        .into_iter()
        .map(|seen| String::from_utf8(seen.raw).unwrap().to_ascii_lowercase())
        .collect();
    assert!(told.iter().all(|raw| !raw.contains(":aaaa:") && !raw.contains("root")), "{told:?}");
    assert!(told[0].contains("x-client-cert-verified: true\r\n"), "{}", told[0]);
    assert!(
        told[0].contains("x-client-cert-names: client.test\r\n") && told[0].contains("\r\nclient-cert: :mi")
    );
    assert!(told[1].contains("x-client-cert-verified: false\r\n") && !told[1].contains("\r\nclient-cert:"));
    assert!(!told[2].contains("client-cert"), "{}", told[2]);
    assert_eq!(weir.api().patch("/v1/listeners/edge", &json!({"tls": asking("required")})).status(), 200);
    assert_eq!(get(edge, &http1(&authority, Some(&own)), "a.test", "a.test", "").unwrap().status, 200);
    for identity in [None, Some(&foreign)] {
        assert!(get(edge, &http1(&authority, identity), "a.test", "a.test", "").is_err());
    }
    // A session that was begun without a certificate is none to go on with.
    let anonymous = http1(&authority, None);
    assert_eq!(weir.api().patch("/v1/listeners/edge", &json!({"tls": asking("optional")})).status(), 200);
    get(edge, &anonymous, "a.test", "a.test", "").unwrap();
    assert_eq!(weir.api().patch("/v1/listeners/edge", &json!({"tls": asking("required")})).status(), 200);
    assert!(get(edge, &anonymous, "a.test", "a.test", "").is_err());
}

#[test]
fn sessions_go_on_at_whichever_worker_a_client_comes_to() {
    let (weir, authority, server) = (Weir::start(), Authority::new(), Origin::named("one"));
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("site")).status(), 201);
    let edge = listen(&weir, &server, &json!({"certificates": ["site"]}));
    for version in [&TLS12, &TLS13] {
        let client = authority.client(&[version], &["http/1.1"], None);
        assert_eq!(get(edge, &client, "a.test", "a.test", "").unwrap().kind, HandshakeKind::Full);
        // With two workers twenty connections do not all come to one of them, but for one time in half a million.
        for _ in 0..20 {
            assert_eq!(get(edge, &client, "a.test", "a.test", "").unwrap().kind, HandshakeKind::Resumed);
        }
    }
    let metrics = weir.api().get("/metrics").expect(200).response.text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("weir_listener_tls_resumptions_total{listener=\"edge\"}"));
    assert_eq!(line.and_then(|line| line.rsplit(' ').next()), Some("40"), "{metrics}");
}

#[test]
fn a_handshake_that_hangs_is_given_up_and_bad_settings_are_pointed_at() {
    let (weir, authority, server) = (Weir::start(), Authority::new(), Origin::named("one"));
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("site")).status(), 201);
    assert_eq!(weir.api().post("/v1/certificates", &authority.body("roots")).status(), 201);
    let edge = listen(&weir, &server, &json!({"certificates": ["site"]}));
    assert_eq!(weir.api().patch("/v1/listeners/edge", &json!({"header_timeout": "200ms"})).status(), 200);
    let mut silent = TcpStream::connect(edge).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0, "closed");
    for (tls, pointer) in [
        (json!({"certificates": []}), "#/tls/certificates"),
        (json!({"certificates": ["gone"]}), "#/tls/certificates/0"),
        (json!({"certificates": ["roots"]}), "#/tls/certificates/0"),
        (json!({"alpn": []}), "#/tls/alpn"),
        (json!({"client_auth": {"mode": "required"}}), "#/tls/client_auth/ca"),
        (json!({"client_auth": {"mode": "required", "ca": "site"}}), "#/tls/client_auth/ca"),
    ] {
        let refused = weir.api().patch("/v1/listeners/edge", &json!({"tls": tls}));
        assert_eq!(refused.status(), 422, "{refused:?}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{refused:?}");
    }
    assert_eq!(get(edge, &http1(&authority, None), "a.test", "a.test", "").unwrap().status, 200);
}

#[test]
fn how_long_certificates_last_is_told() {
    let (weir, authority) = (Weir::start(), Authority::new());
    let mut events = EventStream::open(weir.admin(), "/v1/events?topics=certificates");
    assert_eq!(
        weir.api().post("/v1/certificates", &authority.sign_expired(&["a.test"]).body("old")).status(),
        201
    );
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("new")).status(), 201);
    let event = events.until("the certificate's end is told", |told| told.kind == "certificates");
    assert_eq!((&event.data["certificate"], &event.data["status"]), (&json!("old"), &json!("expired")));
    let health = weir.api().get("/v1/health").expect(200).json();
    let told = &health["certificates"];
    assert_eq!((&told["total"], &told["ok"], &told["expired"]), (&json!(2), &json!(1), &json!(1)), "{told}");
    assert_eq!(told["attention"][0]["id"], "old");
    assert!(told["attention"][0]["days_left"].as_i64().unwrap() < 0);
    let metrics = weir.api().get("/metrics").expect(200).response.text();
    assert!(
        metrics.contains("weir_certificate_not_after_seconds{certificate=\"old\"} 1609459200"),
        "{metrics}"
    );
}

/// What a TLS client did not take is with its session, its own buffer or the system's, depending on how much there is.
#[test]
fn a_client_that_stops_reading_runs_out_of_time_wherever_its_bytes_wait() {
    const STEP: usize = 32 * 1024;
    let server = Origin::script(|seen| {
        let steps: usize = seen.request.head.target.trim_start_matches('/').parse().unwrap();
        let body = "x".repeat(steps * STEP);
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        vec![Step::Send(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes())]
    });
    let (weir, authority) = (Weir::start(), Authority::new());
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("site")).status(), 201);
    let edge = listen(&weir, &server, &json!({"certificates": ["site"]}));
    let brief = weir.api().patch("/v1/upstreams/default", &json!({"stream_idle_timeout": "1s"}));
    assert_eq!(brief.status(), 200);
    let config = http1(&authority, None);
    // The system takes two to four MiB of a response: with one of these sizes only the last of it does not fit.
    let clients: Vec<_> = (60..=130)
        .map(|steps| {
            let mut stream = connect(edge, &config, "a.test").unwrap();
            write!(stream, "GET /{steps} HTTP/1.0\r\nHost: a.test\r\n\r\n").unwrap();
            stream
        })
        .collect();
    eventually("no request is left", || {
        let metrics = weir.api().get("/metrics").expect(200).response.text();
        let is_idle = metrics.lines().any(|line| line == "weir_requests_active 0");
        (is_idle && server.count() >= clients.len()).then_some(())
    });
    drop(clients);
}
