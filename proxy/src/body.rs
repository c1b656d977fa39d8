//! The body of a response to a client.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{
    exchange::ExchangeGuard,
    forward::{Lease, ServerBody},
};

/// A response body, and what ends with it.
pub(crate) struct ResponseBody {
    source: Source,
    /// Ends the exchange when the body is dropped, complete or not.
    guard: Option<ExchangeGuard>,
}

enum Source {
    /// Bytes at hand, possibly none.
    Full(Bytes),
    /// A server's whole body; the attempt is in flight until the client has it.
    Whole(Bytes, #[expect(dead_code, reason = "held until the body is dropped")] Lease),
    /// Relayed from a server as it arrives.
    Server(Box<ServerBody>),
}

impl ResponseBody {
    /// A body of `bytes`.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self { source: Source::Full(bytes), guard: None }
    }

    /// A server's body that has arrived whole.
    pub(crate) fn whole(bytes: Bytes, lease: Lease) -> Self {
        Self { source: Source::Whole(bytes, lease), guard: None }
    }

    /// A body relayed from a server as it arrives.
    pub(crate) fn server(body: ServerBody) -> Self {
        Self { source: Source::Server(Box::new(body)), guard: None }
    }

    /// Ends the exchange of `guard` with this body. The client of one at hand whole has `stall` to take it.
    pub(crate) fn ending(mut self, guard: ExchangeGuard, stall: Duration) -> Self {
        // From here on the body may not be polled until the client makes room.
        guard.relayed(match &self.source {
            Source::Server(body) => body.stall(),
            Source::Full(_) | Source::Whole(..) => stall,
        });
        self.guard = Some(guard);
        self
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let is_complete = match &self.source {
            // An answer of our own is not always asked for, to HEAD for one.
            Source::Full(_) => true,
            Source::Whole(..) | Source::Server(_) => self.is_end_stream(),
        };
        if let Some(guard) = &mut self.guard
            && is_complete
        {
            guard.settle();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { source, guard } = &mut *self;
        match source {
            Source::Full(bytes) | Source::Whole(bytes, _) if bytes.is_empty() => Poll::Ready(None),
            Source::Full(bytes) | Source::Whole(bytes, _) => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            Source::Server(body) => {
                if let Some(guard) = guard {
                    guard.wanted();
                }
                let frame = body.poll_frame(cx);
                match (&frame, guard) {
                    (Poll::Ready(Some(Ok(_))), Some(guard)) => guard.relayed(body.stall()),
                    (Poll::Ready(Some(Err(_))), Some(guard)) => guard.settle(),
                    _ => {}
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Full(bytes) | Source::Whole(bytes, _) => bytes.is_empty(),
            Source::Server(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(bytes) | Source::Whole(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Source::Server(body) => body.size_hint(),
        }
    }
}
