//! Another reader of requests to compare with: hyper's.

use std::{cell::RefCell, convert::Infallible};

use http::{Request, Response, request::Parts};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use crate::decode::BodyFraming;

/// What a request was understood to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Understood {
    pub(super) method: String,
    pub(super) authority: Option<String>,
    pub(super) path_and_query: String,
    pub(super) version: http::Version,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) framing: BodyFraming,
}

impl Understood {
    pub(super) fn of(head: &Parts, framing: BodyFraming) -> Self {
        let uri = &head.uri;
        Self {
            method: head.method.to_string(),
            authority: uri.authority().map(ToString::to_string),
            path_and_query: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            version: head.version,
            fields: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            framing,
        }
    }
}

/// What hyper understands the first request in `bytes` to be; `None`: it takes no request in.
pub(super) fn hyper(bytes: &[u8], max_fields: usize) -> Option<Understood> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let first = RefCell::new(None);
        let service = service_fn(|request: Request<Incoming>| {
            let framing =
                request.body().size_hint().exact().map_or(BodyFraming::Chunked, BodyFraming::Length);
            let (head, _) = request.into_parts();
            first.borrow_mut().get_or_insert_with(|| Understood::of(&head, framing));
            std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
        });
        // How it ends says nothing about the first request.
        let _ = http1::Builder::new()
            .half_close(true)
            .max_headers(max_fields)
            .max_buf_size(1 << 20)
            .serve_connection(TokioIo::new(server), service)
            .await;
        first.into_inner()
    })
}
