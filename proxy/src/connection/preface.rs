//! Tells HTTP/2 with prior knowledge (RFC 9113 §3.3) from HTTP/1 by the first bytes, without taking them.

use std::{future::poll_fn, task::Poll};

use tokio::{io::ReadBuf, net::TcpStream};

use super::Client;

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
pub(super) async fn detect(client: &Client, stream: &TcpStream) -> Protocol {
    client.await_first_byte();
    poll_fn(|cx| {
        if client.deadline.poll(cx).is_ready() || client.worker.is_past_grace() {
            return Poll::Ready(Protocol::Closed);
        }
        let mut bytes = [0; PREFACE.len()];
        let mut buffer = ReadBuf::new(&mut bytes);
        match stream.poll_peek(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_) | Ok(0)) => Poll::Ready(Protocol::Closed),
            Poll::Ready(Ok(_)) if buffer.filled().is_empty() => Poll::Ready(Protocol::Closed),
            // A preface that arrives in pieces is rare, and only the first piece decides: "PRI" is no method.
            Poll::Ready(Ok(_)) if buffer.filled().len() >= 3 && PREFACE.starts_with(buffer.filled()) => {
                Poll::Ready(Protocol::Http2)
            }
            Poll::Ready(Ok(_)) => Poll::Ready(Protocol::Http1),
        }
    })
    .await
}
