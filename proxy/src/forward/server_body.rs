//! The body of a server's response, streamed to the client as the client takes it.
//!
//! While it streams, what is left of the request is sent on as well. When both have ended the connection goes back to
//! its pool; when the client gives up, it is closed.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{
    connection::ServerConnection,
    decode::{BodyFraming, Decoder, Step},
    lease::Lease,
    upload::Upload,
};
use crate::deadline::Deadline;

/// The body of a response that had not arrived whole with its head.
pub(crate) struct ServerBody {
    lease: Option<Lease>,
    connection: Option<ServerConnection>,
    decoder: Decoder,
    upload: Option<Box<Upload>>,
    deadline: Deadline,
    stall: Duration,
    verdict: Verdict,
}

/// What the response says of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its status was an error, which is counted already.
    Counted,
    /// Nothing yet: a body that breaks off is as good as an error.
    SuccessWhenComplete,
}

impl ServerBody {
    pub(super) fn new(
        stall: Duration,
        lease: Lease,
        connection: ServerConnection,
        framing: BodyFraming,
        upload: Option<Upload>,
        verdict: Verdict,
    ) -> Self {
        let deadline = lease.worker().deadline();
        deadline.set(lease.worker().after(stall));
        Self {
            lease: Some(lease),
            connection: Some(connection),
            decoder: Decoder::new(framing),
            upload: upload.map(Box::new),
            deadline,
            stall,
            verdict,
        }
    }

    /// The next part of the body.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.poll_upload(cx);
        loop {
            let (Some(connection), Some(lease)) = (&mut self.connection, &self.lease) else {
                return Poll::Ready(None);
            };
            match self.decoder.step(&mut connection.buffer) {
                Ok(Step::Data(data)) => {
                    self.advanced();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Step::Trailers(trailers)) => {
                    self.advanced();
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Step::End) => {
                    self.advanced();
                    return Poll::Ready(None);
                }
                Ok(Step::NeedsMore) => {}
                Err(_) => return self.broken(io::ErrorKind::InvalidData),
            }
            if lease.is_cut() {
                return self.cut();
            }
            let size = self.decoder.read_size();
            match connection.poll_read(cx, &lease.worker().pools, size, size) {
                Poll::Pending if self.deadline.poll(cx).is_ready() => {
                    return self.broken(io::ErrorKind::TimedOut);
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) if self.decoder.close() => {}
                Poll::Ready(Ok(0)) => return self.broken(io::ErrorKind::UnexpectedEof),
                Poll::Ready(Err(_)) => return self.broken(io::ErrorKind::ConnectionReset),
                Poll::Ready(Ok(received)) => {
                    lease.counters().bytes_received.add(received as u64);
                    self.deadline.set(lease.worker().after(self.stall));
                }
            }
        }
    }

    /// How long nothing may move.
    pub(crate) fn stall(&self) -> Duration {
        self.stall
    }

    /// Whether some of the next part has been read already.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| self.decoder.is_at_hand(&connection.buffer))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.decoder.is_done()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.decoder.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    /// Sends on what is left of the request. A fault there cannot be reported any more, and spoils nothing but the
    /// connection, which is not used again unless the request was sent whole.
    fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let (Some(upload), Some(connection)) = (&mut self.upload, &mut self.connection) {
            let sent = upload.poll(cx, &mut connection.stream);
            if let Some(lease) = &self.lease {
                let bytes = upload.take_sent();
                if bytes > 0 {
                    lease.counters().bytes_sent.add(bytes);
                    self.deadline.set(lease.worker().after(self.stall));
                }
            }
            if let Poll::Ready(sent) = sent {
                connection.may_be_reused &= sent.is_ok();
                self.upload = None;
            }
        }
    }

    /// Gives the connection back as soon as the body is complete, which may be before the client has read it.
    fn advanced(&mut self) {
        let Some(lease) = &self.lease else { return };
        if !self.decoder.is_done() {
            self.deadline.set(lease.worker().after(self.stall));
            return;
        }
        self.deadline.clear();
        if self.verdict == Verdict::SuccessWhenComplete {
            lease.succeeded();
        }
        if let Some(connection) = self.connection.take()
            && self.upload.is_none()
        {
            lease.give_back(connection, lease.worker().clock.moment());
        }
    }

    /// Breaks the response off if the operator has given it up. Answers whether that is so.
    pub(crate) fn cut_if_due(&mut self) -> bool {
        let is_due = self.lease.as_ref().is_some_and(Lease::is_cut) && !self.decoder.is_done();
        if is_due {
            let _ = self.cut();
        }
        is_due
    }

    /// The operator has given the response up: that says nothing against the server.
    fn cut(&mut self) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.connection = None;
        if let Some(lease) = self.lease.take() {
            lease.counters().cut.add(1);
        }
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }

    fn broken(&mut self, kind: io::ErrorKind) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.connection = None;
        if let Some(lease) = self.lease.take() {
            lease.response_broken();
        }
        Poll::Ready(Some(Err(kind.into())))
    }
}
