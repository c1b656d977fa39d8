//! The body of a client's request, whatever protocol it comes in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::http1;

/// The body of a client's request.
#[derive(Debug)]
pub(crate) enum ClientBody {
    /// None, or one of no bytes.
    Empty,
    Http1(http1::Body),
    Http2(Incoming),
}

impl ClientBody {
    /// Whether some of the next part has been read already.
    pub(crate) fn is_at_hand(&self) -> bool {
        matches!(self, Self::Http1(body) if body.is_at_hand())
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    /// `InvalidData`: it is not valid. Anything else: the client has broken it off.
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => body.poll_frame(cx),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(io::Error::other),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_read(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
