//! Tells HTTP/2 with prior knowledge (RFC 9113 §3.3) from HTTP/1 by the first bytes.

use std::{future::poll_fn, pin::pin, task::Poll};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;

use super::{Client, http1::FIRST_READ};
use crate::stream::ClientStream;

/// The start of the client connection preface, RFC 9113 §3.4. No HTTP/1 method is `PRI`.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// What a client speaks.
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads the first bytes of `stream`. Answers what they are of, and the bytes; `None`: the client left, or sent nothing in time.
pub(super) async fn detect(client: &Client, stream: &mut ClientStream) -> Option<(Protocol, BytesMut)> {
    client.await_first_byte();
    poll_fn(|cx| {
        if client.deadline.poll(cx).is_ready() || client.is_past_grace() {
            return Poll::Ready(None);
        }
        if stream.poll_readable(cx).is_pending() {
            return Poll::Pending;
        }
        let mut input = BytesMut::with_capacity(FIRST_READ);
        let Poll::Ready(read) = pin!(stream.read_buf(&mut input)).poll(cx) else { return Poll::Pending };
        // A preface that arrives in pieces is rare, and only the first piece decides: "PRI" is no method.
        let start = input.get(..PREFACE.len()).unwrap_or(&input);
        let protocol =
            if start.len() >= 3 && PREFACE.starts_with(start) { Protocol::Http2 } else { Protocol::Http1 };
        Poll::Ready(read.is_ok_and(|count| count > 0).then_some((protocol, input)))
    })
    .await
}
