//! What one request allocates, from its first byte to the last of its response: each is time, and a place to run out of memory.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    thread,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::LocalSet,
};
use weir_shared::model::{Document, Route, Server, Upstream};

use crate::{
    connection::{Client, Ends},
    listener::{Handle, Places},
    stream::{ClientStream, UnixClient},
    worker::Worker,
};

/// Whether the last of a message is there: of a GET its head, else the content, or the last chunk.
fn is_whole(bytes: &[u8]) -> bool {
    let is_head = bytes.starts_with(b"GET") && bytes.ends_with(b"\r\n\r\n");
    is_head || bytes.ends_with(b"the end") || bytes.ends_with(b"0\r\n\r\n")
}

/// A server that gives `answer` to each request, on one connection.
fn server(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = [0; 64 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut seen) {
            if is_whole(&seen[..count]) {
                stream.write_all(&answer).unwrap();
            }
        }
    });
    address
}

/// How often memory is allocated for each of many requests like `request`, on one connection, when the first are over.
fn allocations(request: &[u8], answer: Vec<u8>) -> u64 {
    const REQUESTS: u64 = 100;
    let server = Server { id: "a".to_owned(), address: server(answer).to_string(), ..Server::default() };
    let upstream = Upstream { id: "web".to_owned(), servers: vec![server], ..Upstream::default() };
    let routes = vec![Route::catch_all(Some("web"))];
    let document = Document { routes, upstreams: vec![upstream], ..Document::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = LocalSet::new();
    let (mut near, far) = tasks.block_on(&runtime, async { UnixStream::pair().unwrap() });
    let serving = async {
        let worker = Worker::alone(document, &[]);
        let listener = Arc::clone(worker.table().0.listener("default").unwrap());
        let handle = Rc::new(Handle::new(listener, Places::new(0)));
        let ends = Ends { peer: SocketAddr::from(([192, 0, 2, 9], 1)), local: None };
        let client = Rc::new(Client::new(&worker, &handle, ends));
        super::serve(client, ClientStream::Unix(UnixClient::new(far)), BytesMut::new()).await;
    };
    let serving = tasks.spawn_local(serving);
    let mut seen = [0; 64 * 1024];
    let mut exchange = || {
        tasks.block_on(&runtime, async {
            near.write_all(request).await.unwrap();
            while let count = near.read(&mut seen).await.unwrap()
                && !is_whole(&seen[..count])
            {
                assert_ne!(count, 0);
            }
        });
    };
    (0..10).for_each(|_| exchange());
    let counted = allocation_counter::measure(|| (0..REQUESTS).for_each(|_| exchange()));
    drop(near);
    tasks.block_on(&runtime, serving).unwrap();
    counted.count_total / REQUESTS
}

fn message(first: &str, fields: &str, content: &str) -> Vec<u8> {
    format!("{first}\r\nHost: weir.test\r\n{fields}X-Custom: a\r\n\r\n{content}").into_bytes()
}

#[test]
fn a_request_allocates_little() {
    let content = format!("{}the end", "x".repeat(1017));
    let chunks = format!("400\r\n{content}\r\n0\r\n\r\n");
    let with_length = |first: &str| message(first, "Content-Length: 1024\r\n", &content);
    let in_chunks = |first: &str| message(first, "Transfer-Encoding: chunked\r\n", &chunks);
    let (answer, get) = (with_length("HTTP/1.1 200 OK"), message("GET / HTTP/1.1", "", ""));
    // What reads the response's body.
    assert_eq!(allocations(&get, answer.clone()), 1);
    // And the frame around a chunk.
    assert_eq!(allocations(&get, in_chunks("HTTP/1.1 200 OK")), 2);
    // And what reads the request's, and keeps it for another server.
    for put in [with_length("PUT / HTTP/1.1"), in_chunks("PUT / HTTP/1.1")] {
        assert_eq!(allocations(&put, answer.clone()), 3);
    }
}
