//! A request's body: read from the client once, and from memory again for another attempt.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;

use crate::{connection::ClientBody, error::ProxyError, retry::Replay};

/// How a request's body is delimited on its way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body.
    None,
    /// By its length.
    Length(u64),
    /// By chunks, because its length is not known.
    Chunked,
}

/// A piece of a body.
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

/// A request's body.
pub(crate) struct RequestBody {
    incoming: Option<ClientBody>,
    framing: Framing,
    /// Bytes the client may still send.
    allowance: u64,
    replay: Replay,
}

impl RequestBody {
    /// The body of a request framed as `framing`, of which at most `limit` bytes are taken (0: any number).
    pub(crate) fn new(incoming: ClientBody, framing: Framing, limit: u64) -> Self {
        let incoming = (framing != Framing::None).then_some(incoming);
        Self {
            incoming,
            framing,
            allowance: if limit == 0 { u64::MAX } else { limit },
            replay: Replay::default(),
        }
    }

    /// The body of a request that has none.
    pub(crate) fn none() -> Self {
        Self { incoming: None, framing: Framing::None, allowance: 0, replay: Replay::default() }
    }

    /// How the body is delimited.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client has sent all of it.
    pub(crate) fn is_read(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Whether some of the next piece has arrived already.
    pub(super) fn is_at_hand(&self) -> bool {
        self.incoming.as_ref().is_some_and(ClientBody::is_at_hand)
    }

    /// Whether nothing comes after what was taken of it.
    pub(super) fn is_used_up(&self) -> bool {
        self.replay.is_at_end() && self.is_read()
    }

    /// Goes back to the beginning. Answers whether that can be done.
    pub(crate) fn rewind(&mut self) -> bool {
        self.replay.rewind()
    }

    /// The next piece of the body.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, ProxyError>> {
        if let Some(data) = self.replay.next() {
            return Poll::Ready(Ok(Piece::Data(data)));
        }
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(Ok(Piece::End)) };
        loop {
            let frame = match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(Piece::End)),
                Poll::Ready(Some(Err(error))) if error.kind() == io::ErrorKind::InvalidData => {
                    return Poll::Ready(Err(ProxyError::BadRequest("the chunks of the body are not valid")));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(ProxyError::ClientAborted)),
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    let Some(left) = self.allowance.checked_sub(data.len() as u64) else {
                        return Poll::Ready(Err(ProxyError::BodyTooLarge));
                    };
                    self.allowance = left;
                    self.replay.keep(&data);
                    return Poll::Ready(Ok(Piece::Data(data)));
                }
                Err(frame) => {
                    // Trailers are not kept: they come last, when a retry has become unlikely.
                    self.replay.give_up();
                    if let Ok(trailers) = frame.into_trailers() {
                        return Poll::Ready(Ok(Piece::Trailers(trailers)));
                    }
                }
            }
        }
    }
}
