//! Tells HTTP/2 with prior knowledge (RFC 9113 §3.3) from HTTP/1 by the first bytes, without taking them.

use std::{future::poll_fn, task::Poll};

use super::Client;
use crate::stream::ClientStream;

/// The start of the client connection preface, RFC 9113 §3.4. No HTTP/1 method is `PRI`.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// What a client speaks.
pub(super) enum Protocol {
    Http1,
    Http2,
    /// It left, or sent nothing in time.
    Closed,
}

/// Waits for the first bytes of `stream` and looks at them.
pub(super) async fn detect(client: &Client, stream: &mut ClientStream) -> Protocol {
    client.await_first_byte();
    poll_fn(|cx| {
        if client.deadline.poll(cx).is_ready() || client.is_past_grace() {
            return Poll::Ready(Protocol::Closed);
        }
        let mut bytes = [0; PREFACE.len()];
        let Poll::Ready(arrived) = stream.poll_peek(cx, &mut bytes) else { return Poll::Pending };
        let arrived = arrived.ok().and_then(|count| bytes.get(..count)).unwrap_or_default();
        // A preface that arrives in pieces is rare, and only the first piece decides: "PRI" is no method.
        Poll::Ready(match arrived.len() {
            0 => Protocol::Closed,
            3.. if PREFACE.starts_with(arrived) => Protocol::Http2,
            _ => Protocol::Http1,
        })
    })
    .await
}
