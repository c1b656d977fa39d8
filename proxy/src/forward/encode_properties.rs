//! What holds for any fields a client may send: a server receives one request that can be read one way only, with nothing in
//! it that was for the client's own connection, or that the client says of itself without being believed.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use proptest::{collection::vec, prelude::*, sample::select};
use weir_shared::model::{Document, Route, Server, Upstream};

use super::{encode::RequestHead, request_body::Framing};
use crate::{
    connection::{Client, Ends},
    exchange::{Exchange, ExchangeGuard},
    header::{ConnectionOptions, Expectation},
    listener::{Handle, Places},
    worker::Worker,
};

const NAMES: &[&str] = &[
    "connection",
    "connection",
    "x-a",
    "x-b",
    "accept",
    "cookie",
    "via",
    "trailer",
    "te",
    "transfer-encoding",
    "transfer_encoding",
    "content-length",
    "content_length",
    "host",
    "keep-alive",
    "upgrade",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "http2-settings",
    "expect",
    "max-forwards",
    "forwarded",
    "x-real-ip",
    "x_real_ip",
    "x-forwarded-for",
    "x_forwarded_for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
    "x_request-id",
];

const VALUES: &[&[u8]] = &[
    b"close",
    b"keep-alive",
    b"x-a",
    b"X-B ,, x-a,",
    b"accept, te",
    b"host, content-length, transfer-encoding",
    b"x-forwarded-for",
    b"trailers",
    b"gzip;q=0.5, Trailers",
    b"chunked",
    b"5",
    b"0",
    b"1.2.3.4",
    b"",
    b"http",
    b"a=b",
    b"\xff\x80",
    b"100-continue",
];

/// Of these nothing reaches a server, whoever sends them.
const NEVER: &[&str] = &[
    "keep-alive",
    "upgrade",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "http2-settings",
    "transfer_encoding",
    "content_length",
    "x_real_ip",
    "x_forwarded_for",
    "x_request-id",
];

const PEER: &str = "192.0.2.9";

/// A worker with one server, whose client is believed, or not.
fn worker(trusted: &[&str]) -> Rc<Worker> {
    let server = Server { id: "a".to_owned(), address: "10.0.0.7:80".to_owned(), ..Server::default() };
    let upstream = Upstream { id: "web".to_owned(), servers: vec![server], ..Upstream::default() };
    let routes = vec![Route::catch_all(Some("web"))];
    let document = Document { routes, upstreams: vec![upstream], ..Document::default() };
    Worker::alone(document, trusted)
}

/// What the client sends.
#[derive(Clone, Debug)]
struct Sent {
    method: Method,
    version: Version,
    target: String,
    fields: Vec<(&'static str, &'static [u8])>,
    framing: Framing,
    is_trusted: bool,
    expects: Expectation,
}

fn sent() -> impl Strategy<Value = Sent> {
    let framing =
        prop_oneof![Just(Framing::None), any::<u64>().prop_map(Framing::Length), Just(Framing::Chunked)];
    (
        select(vec![Method::GET, Method::POST, Method::OPTIONS]),
        select(vec![Version::HTTP_10, Version::HTTP_11, Version::HTTP_2]),
        "/\\PC{0,12}",
        vec((select(NAMES), select(VALUES)), 0..16),
        framing,
        any::<bool>(),
        select(vec![Expectation::None, Expectation::Continue]),
    )
        .prop_map(|(method, version, target, mut fields, framing, is_trusted, expects)| {
            // The library refuses such requests (RFC 9113 §8.2.2).
            fields.retain(|(name, _)| version != Version::HTTP_2 || *name != "connection");
            Sent { method, version, target, fields, framing, is_trusted, expects }
        })
}

/// What the server receives: the target, and the fields in order.
type Received = (String, Vec<(String, Vec<u8>)>);

fn received(sent: &Sent) -> Received {
    let worker = worker(if sent.is_trusted { &["192.0.2.0/24"] } else { &[] });
    let handle =
        Rc::new(Handle::new(Arc::clone(worker.table().0.listener("default").unwrap()), Places::new(0)));
    let ends = Ends { peer: SocketAddr::new(PEER.parse().unwrap(), 1), local: None };
    let client = Rc::new(Client::new(&worker, &handle, ends));
    let exchange = Exchange::new(ExchangeGuard::begin(&client));
    let mut headers = HeaderMap::new();
    for (name, value) in &sent.fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    let table = worker.table();
    let head = RequestHead {
        exchange: &exchange,
        route: table.0.routes().get("default").unwrap(),
        method: &sent.method,
        target: &sent.target,
        host: None,
        headers: &headers,
        options: &ConnectionOptions::of(&headers),
        expects_continue: sent.expects,
        takes_trailers: crate::header::accepts_trailers(&headers),
        version: sent.version,
        call: None,
        upgrade: None,
    };
    let server = table.0.upstream("web").unwrap().server("a").unwrap();
    let mut out = Vec::new();
    head.encode(&mut out, server, sent.framing);
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(&out), Ok(httparse::Status::Complete(out.len())), "{}", out.escape_ascii());
    assert_eq!((request.method, request.version), (Some(sent.method.as_str()), Some(1)));
    let fields = request.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec()));
    (request.path.unwrap().to_owned(), fields.collect())
}

impl Sent {
    fn all(&self, name: &str) -> Vec<Vec<u8>> {
        self.fields.iter().filter(|(sent, _)| *sent == name).map(|(_, value)| value.to_vec()).collect()
    }

    /// Whether a list field has this element, in any of its lines.
    fn lists(&self, name: &str, element: &str) -> bool {
        self.all(name).iter().any(|line| {
            let mut elements = line.split(|byte| *byte == b',');
            elements.any(|each| each.trim_ascii().eq_ignore_ascii_case(element.as_bytes()))
        })
    }
}

fn values(received: &Received, name: &str) -> Vec<Vec<u8>> {
    received.1.iter().filter(|(each, _)| each == name).map(|(_, value)| value.clone()).collect()
}

fn one(value: &str) -> Vec<Vec<u8>> {
    vec![value.as_bytes().to_vec()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_has_one_target_one_host_and_one_framing(sent in sent()) {
        let received = received(&sent);
        prop_assert!(received.0.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{}", received.0);
        prop_assert_eq!(values(&received, "host"), one("10.0.0.7:80"));
        let (length, coding) = match sent.framing {
            Framing::None => (Vec::new(), Vec::new()),
            Framing::Length(length) => (one(&length.to_string()), Vec::new()),
            Framing::Chunked => (Vec::new(), one("chunked")),
        };
        prop_assert_eq!(values(&received, "content-length"), length);
        prop_assert_eq!(values(&received, "transfer-encoding"), coding);
        let expects = sent.expects == Expectation::Continue && sent.framing != Framing::None;
        prop_assert_eq!(values(&received, "expect"), if expects { one("100-continue") } else { Vec::new() });
    }

    #[test]
    fn what_is_for_one_connection_ends_with_it(sent in sent()) {
        let received = received(&sent);
        for name in NEVER {
            prop_assert!(values(&received, name).is_empty(), "{name}");
        }
        let takes_trailers = sent.lists("te", "trailers");
        prop_assert_eq!(values(&received, "connection"), if takes_trailers { one("te") } else { Vec::new() });
        prop_assert_eq!(values(&received, "te"), if takes_trailers { one("trailers") } else { Vec::new() });
        for name in ["x-a", "x-b", "accept", "trailer", "cookie"] {
            let expected = if sent.lists("connection", name) { Vec::new() } else { sent.all(name) };
            prop_assert_eq!(values(&received, name), expected, "{}", name);
        }
    }

    #[test]
    fn what_a_client_says_of_itself_is_believed_of_some(sent in sent()) {
        let received = received(&sent);
        let mut chain = if sent.is_trusted { sent.all("x-forwarded-for") } else { Vec::new() };
        chain.push(PEER.as_bytes().to_vec());
        prop_assert_eq!(values(&received, "x-forwarded-for"), vec![chain.join(&b", "[..])]);
        for (name, own) in [("x-forwarded-proto", Some("http")), ("x-forwarded-host", None), ("forwarded", None), ("x-real-ip", None)] {
            let found = values(&received, name);
            let said = if sent.is_trusted { sent.all(name) } else { Vec::new() };
            let expected = match name {
                // The nearest proxy's word: none of the values is a chain of addresses.
                "x-forwarded-proto" => {
                    let mut members = said.iter().flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
                    members.rfind(|member| !member.is_empty()).map(|member| vec![member.to_vec()]).unwrap_or_default()
                }
                "x-forwarded-host" => said.into_iter().take(1).collect(),
                _ => said,
            };
            prop_assert_eq!(found, if expected.is_empty() { own.map(one).unwrap_or_default() } else { expected }, "{}", name);
        }
        prop_assert_eq!(values(&received, "x-request-id").len(), 1);
    }
}
