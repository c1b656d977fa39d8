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
    deadline::Deadline,
    error::ProxyError,
    exchange::ExchangeGuard,
    forward::{Lease, ServerBody, StreamBody, Switched},
    grpc,
    time_limit::Manner,
};

/// A response body, and what ends with it.
pub(crate) struct ResponseBody {
    source: Source,
    /// Ends the exchange when the body is dropped, complete or not.
    guard: Option<ExchangeGuard>,
    /// When the body is over, complete or not, and how it ends then.
    limit: Option<(Deadline, Manner)>,
}

enum Source {
    /// Bytes at hand, possibly none.
    Full(Bytes),
    /// A server's whole body; the attempt is in flight until the client has it.
    Whole(Bytes, #[expect(dead_code, reason = "held until the body is dropped")] Lease),
    /// Relayed from a server as it arrives.
    Server(Box<ServerBody>),
    /// The same over HTTP/2.
    Stream(Box<StreamBody>),
    /// None: the server has switched to another protocol.
    Switched(Box<Switched>),
}

impl ResponseBody {
    /// A body of `bytes`.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::of(Source::Full(bytes))
    }

    /// A server's body that has arrived whole.
    pub(crate) fn whole(bytes: Bytes, lease: Lease) -> Self {
        Self::of(Source::Whole(bytes, lease))
    }

    /// A body relayed from a server as it arrives.
    pub(crate) fn server(body: ServerBody) -> Self {
        Self::of(Source::Server(Box::new(body)))
    }

    /// A body relayed from a server's stream as it arrives.
    pub(crate) fn stream(body: StreamBody) -> Self {
        Self::of(Source::Stream(Box::new(body)))
    }

    fn of(source: Source) -> Self {
        Self { source, guard: None, limit: None }
    }

    /// Ends the body at `limit`, in this manner.
    pub(crate) fn until(mut self, limit: Deadline, manner: Manner) -> Self {
        self.limit = Some((limit, manner));
        self
    }

    /// No body, because the server's connection is switched to another protocol.
    pub(crate) fn switched(switched: Switched) -> Self {
        Self::of(Source::Switched(Box::new(switched)))
    }

    /// The server's connection, if it is switched to another protocol.
    pub(crate) fn take_switched(&mut self) -> Option<Box<Switched>> {
        match std::mem::replace(&mut self.source, Source::Full(Bytes::new())) {
            Source::Switched(switched) => Some(switched),
            source => {
                self.source = source;
                None
            }
        }
    }

    /// Whether all of it was handed over. An answer of our own is not always asked for, to HEAD for one.
    pub(crate) fn is_complete(&self) -> bool {
        match &self.source {
            Source::Full(_) | Source::Switched(_) => true,
            Source::Whole(..) | Source::Server(_) | Source::Stream(_) => self.is_end_stream(),
        }
    }

    /// Whether some of the next part has been read already.
    pub(crate) fn is_at_hand(&self) -> bool {
        matches!(&self.source, Source::Server(body) if body.is_at_hand())
    }

    /// Ready when the body is to end though its client has not taken what came before: its time is over, or the operator has
    /// given it up. For whoever does not ask for the next part meanwhile.
    pub(crate) fn poll_over(&mut self, cx: &Context<'_>) -> Poll<()> {
        let is_late = self.limit.as_ref().is_some_and(|(limit, _)| limit.poll(cx).is_ready());
        let is_cut = match &mut self.source {
            Source::Server(body) => body.cut_if_due(),
            Source::Stream(body) => body.cut_if_due(),
            Source::Full(_) | Source::Whole(..) | Source::Switched(_) => false,
        };
        if !is_late && !is_cut {
            return Poll::Pending;
        }
        if let Some(guard) = &mut self.guard {
            if is_late {
                guard.client_is_late();
            }
            guard.settle();
        }
        Poll::Ready(())
    }

    /// Ends the exchange of `guard` with this body. The client of one at hand whole has `stall` to take it.
    pub(crate) fn end(&mut self, guard: ExchangeGuard, stall: Duration) {
        // From here on the body may not be polled until the client makes room.
        let stall = match &self.source {
            Source::Server(body) => body.stall(),
            Source::Stream(body) => body.stall(),
            Source::Full(_) | Source::Whole(..) | Source::Switched(_) => stall,
        };
        guard.relayed(stall, self.limit.as_ref().map(|(limit, _)| limit));
        self.guard = Some(guard);
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let is_complete = self.is_complete();
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
        let Self { source, guard, limit } = &mut *self;
        let (mut frame, stall) = match source {
            Source::Switched(_) => return Poll::Ready(None),
            Source::Full(bytes) | Source::Whole(bytes, _) if bytes.is_empty() => return Poll::Ready(None),
            Source::Full(bytes) | Source::Whole(bytes, _) => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
            }
            Source::Server(body) => {
                if let Some(guard) = guard {
                    guard.wanted();
                }
                (body.poll_frame(cx), body.stall())
            }
            Source::Stream(body) => {
                if let Some(guard) = guard {
                    guard.wanted();
                }
                (body.poll_frame(cx), body.stall())
            }
        };
        // However much there is: a body that flows for ever ends in time too.
        if !matches!(frame, Poll::Ready(None | Some(Err(_))))
            && let Some((limit, manner)) = &*limit
            && limit.poll(cx).is_ready()
        {
            *source = Source::Full(Bytes::new());
            frame = Poll::Ready(Some(match manner {
                Manner::Break => Err(io::ErrorKind::TimedOut.into()),
                Manner::Grpc => Ok(Frame::trailers(grpc::trailers(ProxyError::DeadlineExceeded))),
            }));
        }
        match (&frame, guard) {
            (Poll::Ready(Some(Ok(_))), Some(guard)) => {
                guard.relayed(stall, limit.as_ref().map(|(limit, _)| limit));
            }
            (Poll::Ready(Some(Err(_))), Some(guard)) => guard.settle(),
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Switched(_) => true,
            Source::Full(bytes) | Source::Whole(bytes, _) => bytes.is_empty(),
            Source::Server(body) => body.is_end_stream(),
            Source::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Switched(_) => SizeHint::with_exact(0),
            Source::Full(bytes) | Source::Whole(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Source::Server(body) => body.size_hint(),
            Source::Stream(body) => body.size_hint(),
        }
    }
}
