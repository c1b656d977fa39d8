//! The body of a request, read from the socket by whoever wants it, when it is wanted.

use std::{
    fmt, io,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;

use super::wire::Link;

/// What is left of a request's body.
pub(crate) struct Body(Link);

impl Body {
    pub(super) fn new(link: &Link) -> Self {
        Self(Rc::clone(link))
    }

    /// The next part.
    ///
    /// # Errors
    /// `InvalidData`: it breaks the rules of chunks. Anything else: the client has left.
    pub(crate) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.borrow_mut().poll_body(cx)
    }

    /// Content bytes that are still to come, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.0.borrow().body_left()
    }

    /// Whether some of the next part has been read already.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.0.borrow().is_body_at_hand()
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_read(&self) -> bool {
        self.0.borrow().is_request_read()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Body").finish_non_exhaustive()
    }
}
