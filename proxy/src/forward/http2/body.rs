//! The body of a response that came over HTTP/2, streamed to the client as the client takes it.
//!
//! While it streams, what is left of the request is sent on as well. A client that gives up gives up the stream, and
//! nothing else of the connection.

use std::{
    io,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::{connection::Place, upload::Upload};
use crate::{
    deadline::Deadline,
    error::ProxyError,
    forward::{lease::Lease, server_body::Verdict},
    grpc, header,
};

/// A response's body on a stream.
pub(crate) struct StreamBody {
    /// `None` once the body has ended.
    exchange: Option<Exchange>,
    /// What came right with the head.
    ahead: Ahead,
    /// Content bytes left, if the head said.
    left: Option<u64>,
    deadline: Deadline,
    stall: Duration,
}

/// What ends with the body.
pub(super) struct Exchange {
    pub(super) lease: Lease,
    pub(super) place: Place,
    pub(super) content: RecvStream,
    pub(super) upload: Option<Upload>,
    pub(super) verdict: Verdict,
    /// Whether trailers say how a call went.
    pub(super) call: Option<grpc::Call>,
}

/// What has arrived with the head of a response.
pub(super) enum Ahead {
    Nothing,
    /// The first part of the content.
    Content(Bytes),
    /// All of it.
    Whole(Bytes),
    /// No content, and trailers: some servers of gRPC say so that a call has failed.
    Trailers(HeaderMap),
}

impl Ahead {
    /// Takes what there is of the body of a response whose head has just come, without waiting for more.
    pub(super) fn look(content: &mut RecvStream) -> Self {
        // Whoever reads the body after this waits by itself.
        let mut cx = Context::from_waker(Waker::noop());
        if content.is_end_stream() {
            return Self::Whole(Bytes::new());
        }
        match content.poll_data(&mut cx) {
            Poll::Ready(Some(Ok(data))) => {
                release(content, &data);
                if content.is_end_stream() { Self::Whole(data) } else { Self::Content(data) }
            }
            Poll::Ready(None) => match content.poll_trailers(&mut cx) {
                Poll::Ready(Ok(Some(trailers))) => Self::Trailers(trailers),
                _ => Self::Nothing,
            },
            // An error is told again.
            Poll::Ready(Some(Err(_))) | Poll::Pending => Self::Nothing,
        }
    }

    /// How a call went, if it has ended without a message.
    pub(super) fn call_status(&self, head: &HeaderMap) -> Option<grpc::Status> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => grpc::Status::of(head),
            Self::Trailers(trailers) => grpc::Status::of(trailers),
            Self::Nothing | Self::Content(_) | Self::Whole(_) => None,
        }
    }
}

/// Lets the server send as much again. What the client does not take, the library towards it stops asking for.
fn release(content: &mut RecvStream, data: &Bytes) {
    // Fails for more than was received alone.
    let _ = content.flow_control().release_capacity(data.len());
}

/// The server gave the stream up. Says so with its reason, which the library passes on to a client over HTTP/2.
#[derive(Debug, thiserror::Error)]
#[error("the server reset the stream")]
struct StreamReset(#[source] h2::Error);

impl StreamBody {
    pub(super) fn new(exchange: Exchange, ahead: Ahead, left: Option<u64>, stall: Duration) -> Self {
        let worker = exchange.lease.worker();
        let deadline = worker.deadline();
        deadline.set(worker.after(stall));
        Self { exchange: Some(exchange), ahead, left, deadline, stall }
    }

    /// The next part of the body.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        if exchange.poll_upload(cx) {
            self.deadline.set(exchange.lease.worker().after(self.stall));
        }
        match std::mem::replace(&mut self.ahead, Ahead::Nothing) {
            Ahead::Nothing => {}
            Ahead::Content(data) | Ahead::Whole(data) => {
                if !data.is_empty() {
                    return self.relay(data);
                }
            }
            Ahead::Trailers(trailers) => return self.ended(Some(trailers)),
        }
        loop {
            let Some(Exchange { content, .. }) = &mut self.exchange else { return Poll::Ready(None) };
            match content.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    release(content, &data);
                    if !data.is_empty() {
                        return self.relay(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => return self.failed(error),
                Poll::Ready(None) => match content.poll_trailers(cx) {
                    Poll::Ready(Ok(trailers)) => return self.ended(trailers),
                    Poll::Ready(Err(error)) => return self.failed(error),
                    Poll::Pending => return self.pending(cx),
                },
                Poll::Pending => return self.pending(cx),
            }
        }
    }

    fn relay(&mut self, data: Bytes) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        if let Some(exchange) = &self.exchange {
            self.deadline.set(exchange.lease.worker().after(self.stall));
            if exchange.content.is_end_stream() {
                self.finish(None);
            }
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// How long nothing may move.
    pub(crate) fn stall(&self) -> Duration {
        self.stall
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.exchange.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let left = if self.exchange.is_none() { Some(0) } else { self.left };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn pending(&mut self, cx: &Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.exchange.as_ref().is_some_and(|exchange| exchange.lease.is_cut()) {
            return self.cut();
        }
        if self.deadline.poll(cx).is_ready() {
            return self.broken(ProxyError::ResponseTimeout, io::ErrorKind::TimedOut.into());
        }
        Poll::Pending
    }

    fn ended(&mut self, trailers: Option<HeaderMap>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.finish(trailers.as_ref());
        let trailers = trailers.map(header::response_trailers).filter(|trailers| !trailers.is_empty());
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// The response is complete. What was not sent of the request by now is not wanted.
    fn finish(&mut self, trailers: Option<&HeaderMap>) {
        self.deadline.clear();
        let Some(Exchange { lease, place, verdict, call, .. }) = self.exchange.take() else { return };
        drop(place);
        let status = call.and(trailers).and_then(grpc::Status::of);
        match status.map(grpc::Status::as_http) {
            Some(status) if status >= 400 => lease.call_ended(status),
            _ if verdict == Verdict::SuccessWhenComplete => lease.succeeded(),
            _ => {}
        }
    }

    /// Breaks the response off if the operator has given it up. Answers whether that is so.
    pub(crate) fn cut_if_due(&mut self) -> bool {
        let is_due = self.exchange.as_ref().is_some_and(|exchange| exchange.lease.is_cut());
        if is_due {
            let _ = self.cut();
        }
        is_due
    }

    /// The operator has given the response up: that says nothing against the server.
    fn cut(&mut self) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(exchange) = self.exchange.take() else { return Poll::Ready(None) };
        exchange.lease.counters().cut.add(1);
        breaking_off(exchange.call, ProxyError::ServerDrained, io::ErrorKind::ConnectionAborted.into())
    }

    /// The server has given the response up, or the stream, or the connection has ended.
    fn failed(&mut self, error: h2::Error) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(exchange) = &mut self.exchange
            && error.is_remote()
        {
            // Passed on as it is, but that a stream was refused would say that nothing has happened yet.
            exchange.call = None;
            if error.reason() != Some(Reason::REFUSED_STREAM) {
                let error = io::Error::new(io::ErrorKind::ConnectionReset, StreamReset(error));
                return self.broken(ProxyError::ConnectionTerminated, error);
            }
        }
        self.broken(ProxyError::ConnectionTerminated, io::ErrorKind::ConnectionReset.into())
    }

    fn broken(&mut self, error: ProxyError, told: io::Error) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(exchange) = self.exchange.take() else { return Poll::Ready(None) };
        exchange.lease.response_broken();
        breaking_off(exchange.call, error, told)
    }
}

/// How a response ends that is broken off: a call in gRPC's words, anything else as what it is.
fn breaking_off(
    call: Option<grpc::Call>,
    error: ProxyError,
    told: io::Error,
) -> Poll<Option<io::Result<Frame<Bytes>>>> {
    Poll::Ready(Some(match call {
        Some(_) => Ok(Frame::trailers(grpc::trailers(error))),
        None => Err(told),
    }))
}

impl Exchange {
    /// Sends on what is left of the request. Answers whether anything moved. A fault there cannot be reported any more.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(upload) = &mut self.upload else { return false };
        let sent = upload.poll(cx);
        let has_moved = upload.took_progress();
        if sent.is_ready() {
            self.upload = None;
        }
        has_moved
    }
}
