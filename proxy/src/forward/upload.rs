//! Sends a request: its head, then its body as it arrives from the client.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::{
    request_body::{Framing, Piece, RequestBody},
    stream::Stream,
};
use crate::{
    error::ProxyError,
    header,
    outgoing::{AtHand, Outgoing},
};

/// How long a server may take to say 100 before the body is sent anyway: it may not know the expectation
/// (RFC 9110 §10.1.1).
pub(super) const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// Why a request could not be sent whole.
pub(super) enum UploadError {
    /// The client's fault.
    Client(ProxyError),
    /// The server takes no more. It may have answered all the same.
    Server,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The body waits until the server says that it wants it.
    AwaitingContinue,
    Body,
    /// Everything has been taken from the client.
    Taken,
    /// Everything is sent.
    Done,
    /// The server takes no more.
    Refused,
}

/// A request on its way.
pub(super) struct Upload {
    outgoing: Outgoing,
    body: RequestBody,
    state: State,
    patience: Option<Pin<Box<Sleep>>>,
    reported: Option<u64>,
    counted: u64,
    waits_for_client: bool,
}

impl Upload {
    /// Sends `outgoing`, then `body`.
    pub(super) fn new(outgoing: Outgoing, body: RequestBody, expectation: header::Expectation) -> Self {
        let (state, patience) = match (body.framing(), expectation) {
            (Framing::None | Framing::Length(0), _) => (State::Taken, None),
            (_, header::Expectation::Continue) => {
                (State::AwaitingContinue, Some(Box::pin(sleep(CONTINUE_PATIENCE))))
            }
            (_, header::Expectation::None) => (State::Body, None),
        };
        Self { outgoing, body, state, patience, reported: None, counted: 0, waits_for_client: false }
    }

    /// The server wants the body. Answers whether that is news.
    pub(super) fn go_on(&mut self) -> bool {
        let is_news = self.state == State::AwaitingContinue;
        if is_news {
            self.state = State::Body;
            self.patience = None;
        }
        is_news
    }

    /// Whether any byte was sent.
    pub(super) fn has_sent(&self) -> bool {
        self.outgoing.total() > 0
    }

    /// Whether the whole request was sent.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the client has to send more before anything can go on.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits_for_client
    }

    /// Whether anything was sent since the last time this was asked.
    pub(super) fn took_progress(&mut self) -> bool {
        let total = self.outgoing.total();
        self.reported.replace(total) != Some(total)
    }

    /// Bytes sent since the last time this was asked.
    pub(super) fn take_sent(&mut self) -> u64 {
        let total = self.outgoing.total();
        total - std::mem::replace(&mut self.counted, total)
    }

    /// The body, for another attempt.
    pub(super) fn into_body(self) -> RequestBody {
        self.body
    }

    /// Sends as much as can be sent now.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<Result<(), UploadError>> {
        loop {
            self.waits_for_client = false;
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::Refused => return Poll::Ready(Err(UploadError::Server)),
                State::AwaitingContinue => {
                    if self.patience.as_mut().is_none_or(|patience| patience.as_mut().poll(cx).is_ready()) {
                        self.go_on();
                    }
                }
                State::Body | State::Taken => {}
            }
            // As much as there is, because each write is a wake-up for the server.
            while self.state == State::Body && self.outgoing.has_room(AtHand::from(self.body.is_at_hand())) {
                match self.body.poll_piece(cx) {
                    Poll::Ready(Ok(piece)) => self.put(piece),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(UploadError::Client(error))),
                    Poll::Pending => {
                        self.waits_for_client = true;
                        break;
                    }
                }
            }
            if self.outgoing.is_empty() {
                match stream.poll_send_rest(cx) {
                    Poll::Pending => {
                        self.waits_for_client = false;
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => self.state = State::Refused,
                }
                match self.state {
                    State::Taken => self.state = State::Done,
                    State::AwaitingContinue | State::Body => return Poll::Pending,
                    State::Done | State::Refused => {}
                }
                continue;
            }
            match self.outgoing.poll_write(cx, stream) {
                Poll::Pending => {
                    self.waits_for_client = false;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.state = State::Refused,
            }
        }
    }

    fn put(&mut self, piece: Piece) {
        let is_chunked = self.body.framing() == Framing::Chunked;
        match piece {
            Piece::Data(data) if is_chunked => self.outgoing.put_chunk(data),
            Piece::Data(data) => self.outgoing.put(data),
            Piece::Trailers(trailers) => {
                if is_chunked {
                    self.outgoing.put_trailers(|out| header::write_trailers(out, &trailers));
                }
                self.state = State::Taken;
            }
            Piece::End => {
                if is_chunked {
                    self.outgoing.put_last_chunk();
                }
                self.state = State::Taken;
            }
        }
    }
}
