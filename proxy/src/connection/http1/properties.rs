//! What holds for any bytes a client may send: no panic, the same outcome however they are cut into reads, and nothing is
//! taken in that another strict reader refuses or reads differently.
//!
//! `scripts/fuzz` runs the same tests for longer.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use bytes::BytesMut;
use http::Version;
use proptest::{collection::vec, prelude::*, sample::Index, sample::select};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::LocalSet,
};
use weir_shared::model::Document;

use super::{
    oracle::{self, Understood},
    request_head::{Arriving, Limits, skip_empty_lines},
};
use crate::{
    connection::{Client, Ends},
    error::ProxyError,
    head::Maps,
    listener::{Handle, Places},
    stream::{ClientStream, UnixClient},
    worker::Worker,
};

const LIMITS: Limits = Limits { bytes: 8192, fields: 40 };

/// Parts of heads and bodies, right and wrong.
const WORDS: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "GET /a?b=c HTTP/1.1\r\n",
    "POST / HTTP/1.1\r\n",
    "POST / HTTP/1.0\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "OPTIONS http://host HTTP/1.1\r\n",
    "GET http://host:80?a HTTP/1.1\r\n",
    "CONNECT host:80 HTTP/1.1\r\n",
    "HEAD /#a HTTP/1.1\r\n",
    "GET ",
    "/a%20[b] ",
    "\u{e9} ",
    "HTTP/1.1",
    "HTTP/1.1\r\n",
    "HTTP/2.0\r\n",
    "Host: a\r\n",
    "host:b \r\n",
    "X-A:\t b\r\n",
    "X-A : b\r\n",
    " folded\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: +5\r\n",
    "content-length: 6, 6\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, Chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Connection: close, te\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "TE: trailers\r\n",
    "Upgrade: websocket\r\n",
    "5\r\nhello\r\n",
    "hello",
    "0\r\n\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    ":",
    "\u{7f}",
];

/// A request that is fine.
fn good() -> impl Strategy<Value = String> {
    let line = select(vec![
        "GET /a?b=c HTTP/1.1",
        "POST / HTTP/1.1",
        "PUT http://host/a HTTP/1.1",
        "OPTIONS http://host HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET / HTTP/1.0",
        "M-SEARCH /\u{e9} HTTP/1.1",
    ]);
    let field = prop_oneof![
        Just("X-A: b".to_owned()),
        "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,9}:[ \t]{0,2}[ -~\u{a1}-\u{ff}]{0,9}[ \t]{0,2}",
        "Content-Length: [0-9]{1,3}",
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("Connection: close".to_owned()),
    ];
    (line, vec(field, 0..6)).prop_map(|(line, fields)| {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("{line}\r\nHost: host\r\n{fields}\r\n")
    })
}

/// Requests, fine ones and such as have had something done to them.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let mutated = (good(), any::<Index>(), 0..4_usize, vec(any::<u8>(), 0..3)).prop_map(
        |(good, place, removed, inserted)| {
            let mut bytes = good.into_bytes();
            let from = place.index(bytes.len());
            let to = (from + removed).min(bytes.len());
            bytes.splice(from..to, inserted);
            bytes
        },
    );
    let word = prop_oneof![
        12 => select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    prop_oneof![
        1 => good().prop_map(String::into_bytes),
        3 => mutated,
        3 => vec(word, 0..14).prop_map(|words| words.concat()),
    ]
}

/// The bytes cut at these places.
fn cut<'b>(bytes: &'b [u8], places: &[Index]) -> Vec<&'b [u8]> {
    let mut ends: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    ends.extend([0, bytes.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

/// What the first request in `pieces` is understood to be, and what is left behind its head; or why there is none.
fn read(pieces: &[&[u8]], limits: Limits) -> Result<Option<(Understood, usize)>, ProxyError> {
    let (mut arriving, mut input, maps) = (Arriving::default(), BytesMut::new(), Maps::default());
    let mut rest = pieces.iter();
    while let Some(piece) = rest.next() {
        input.extend_from_slice(piece);
        if skip_empty_lines(&mut input)
            && let Some(head) = arriving.take(&mut input, limits, &maps)?
        {
            let left = input.len() + rest.map(|piece| piece.len()).sum::<usize>();
            return Ok(Some((Understood::of(&head.parts, head.framing), left)));
        }
    }
    arriving.end(&mut input, limits, &maps).map_or(Ok(None), Err)
}

/// What a client that sends these pieces, and no more, is answered. Without what differs from one time to the next.
fn answers(pieces: &[&[u8]]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers = LocalSet::new().block_on(&runtime, async {
        let worker = Worker::alone(Document::default(), &[]);
        let listener = Arc::clone(worker.table().0.listener("default").unwrap());
        let handle = Rc::new(Handle::new(listener, Places::new(0)));
        let ends = Ends { peer: SocketAddr::from(([192, 0, 2, 9], 1)), local: None };
        let client = Rc::new(Client::new(&worker, &handle, ends));
        let (mut near, far) = UnixStream::pair().unwrap();
        let stream = ClientStream::Unix(UnixClient::new(far));
        let serving = tokio::task::spawn_local(super::serve(client, stream, BytesMut::new()));
        for piece in pieces {
            // It may have been closed on.
            if near.write_all(piece).await.is_err() {
                break;
            }
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        let _ = near.shutdown().await;
        let mut answers = Vec::new();
        let _ = near.read_to_end(&mut answers).await;
        serving.await.unwrap();
        assert_eq!(worker.listener().requests_active.value(), 0);
        answers
    });
    let text = String::from_utf8(answers).unwrap();
    let is_the_same = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("date:") && !line.starts_with("x-request-id:") && !line.contains("\"request_id\"")
    };
    text.split_inclusive('\n').filter(is_the_same).collect()
}

proptest! {
    /// Whatever is taken in here, the other reader takes in too, and reads it in the same way.
    #[test]
    fn nothing_is_taken_in_that_another_reader_refuses(bytes in requests()) {
        let Ok(Some((mut here, _))) = read(&[&bytes], LIMITS) else { return Ok(()) };
        if here.method == "OPTIONS" && here.authority.is_some() && here.path_and_query == "*" {
            // It puts a path there that the client has not sent.
            "/".clone_into(&mut here.path_and_query);
        }
        prop_assert_eq!(Some(here), oracle::hyper(&bytes, LIMITS.fields), "{:?}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_is_fine_is_taken_in(bytes in good()) {
        let length = bytes.matches("Content-Length").count();
        let coding = bytes.matches("Transfer-Encoding").count();
        // The coding twice is left to whoever knows a status for it.
        let is_one_message = length <= 1 && (coding == 0 || (length == 0 && !bytes.contains("HTTP/1.0")));
        prop_assert_eq!(matches!(read(&[bytes.as_bytes()], LIMITS), Ok(Some(_))), is_one_message, "{}", bytes);
    }

    #[test]
    fn how_a_head_is_cut_makes_no_difference(bytes in requests(), places in vec(any::<Index>(), 0..6)) {
        let whole = read(&[&bytes], LIMITS);
        prop_assert_eq!(&read(&cut(&bytes, &places), LIMITS), &whole);
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&read(&each, LIMITS), &whole);
    }

    /// Of a whole connection: what it answers, and that it ends.
    #[test]
    fn how_a_connection_is_cut_makes_no_difference(
        requests in vec(requests(), 0..4), places in vec(any::<Index>(), 0..8),
    ) {
        let bytes = requests.concat();
        prop_assert_eq!(answers(&cut(&bytes, &places)), answers(&[&bytes]), "{:?}", String::from_utf8_lossy(&bytes));
    }
}

/// What a connection at rest costs beside its socket and what is known of its client.
#[test]
fn a_connection_at_rest_keeps_no_room_for_a_request() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let worker = Worker::alone(Document::default(), &[]);
    let listener = Arc::clone(worker.table().0.listener("default").unwrap());
    let handle = Rc::new(Handle::new(listener, Places::new(0)));
    let stream = ClientStream::Unix(UnixClient::new(UnixStream::pair().unwrap().0));
    let ends = Ends { peer: SocketAddr::from(([192, 0, 2, 9], 1)), local: None };
    let serving = super::super::serve(worker, handle, stream, ends);
    let (task, wire, client) = (size_of_val(&serving), size_of::<super::Wire>(), size_of::<Client>());
    assert!(task + wire + client < 2048, "{task} + {wire} + {client}");
}

#[test]
fn the_forms_of_a_request() {
    let framing = |fields: &str| {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        read(&[bytes.as_bytes()], LIMITS).map(|read| read.unwrap().0.framing)
    };
    use crate::decode::BodyFraming::{Chunked, Length};
    for (fields, expected) in [
        ("", Length(0)),
        ("Content-Length: 0\r\n", Length(0)),
        ("Content-Length: 0005\r\n", Length(5)),
        ("Content-Length:\t5 \r\n", Length(5)),
        ("Transfer-Encoding: chunked\r\n", Chunked),
        ("Transfer-Encoding: ,CHUNKED\r\n", Chunked),
        // Not for a gateway, which says so with a status of its own.
        ("Transfer-Encoding: gzip, chunked\r\n", Chunked),
    ] {
        assert_eq!(framing(fields), Ok(expected), "{fields}");
    }
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length:\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "X-A: b\nX-B: c\r\n",
        "X-A: b\n",
    ] {
        assert!(matches!(framing(fields), Err(ProxyError::BadRequest(_))), "{fields}");
    }
    for bytes in [
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\n\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert!(matches!(read(&[bytes.as_bytes()], LIMITS), Err(ProxyError::BadRequest(_))), "{bytes:?}");
    }
}

#[test]
fn what_is_too_large_is_told_apart() {
    let many = "X-A: b\r\n".repeat(LIMITS.fields + 1);
    let large = format!("X-A: {}\r\n", "b".repeat(LIMITS.bytes));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(LIMITS.bytes));
    let with = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    for (bytes, expected) in [
        (with(&many), ProxyError::HeaderTooLarge),
        (with(&large), ProxyError::HeaderTooLarge),
        (long, ProxyError::UriTooLong),
    ] {
        for size in [1, 1000, bytes.len()] {
            let pieces: Vec<&[u8]> = bytes.as_bytes().chunks(size).collect();
            assert_eq!(read(&pieces, LIMITS), Err(expected), "in pieces of {size}");
        }
    }
    let fits = with(&"X-A: b\r\n".repeat(LIMITS.fields));
    let (understood, left) = read(&[fits.as_bytes()], LIMITS).unwrap().unwrap();
    assert_eq!((understood.fields.len(), understood.version, left), (LIMITS.fields, Version::HTTP_11, 0));
}
