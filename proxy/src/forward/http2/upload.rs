//! Sends the rest of a request: its body as it arrives from the client, as far as the server's windows are open.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::SendStream;
use tokio::time::{Sleep, sleep};

use crate::{
    forward::request_body::{Framing, Piece, RequestBody},
    forward::upload::{CONTINUE_PATIENCE, UploadError},
    header::{self, Expectation},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The body waits until the server says that it wants it.
    AwaitingContinue,
    Body,
    /// Everything is handed over.
    Done,
    /// The server takes no more.
    Refused,
}

/// The rest of a request on its way.
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    body: RequestBody,
    /// Content that the server has not made room for yet.
    pending: Bytes,
    state: State,
    patience: Option<Pin<Box<Sleep>>>,
    /// Bytes handed over.
    sent: u64,
    /// How many they were when that was asked last.
    reported: Option<u64>,
    waits_for_client: bool,
}

/// Whether a request with such a body is more than a head.
pub(super) fn has_content(framing: Framing) -> bool {
    !matches!(framing, Framing::None | Framing::Length(0))
}

impl Upload {
    /// Sends `body` on `stream`.
    pub(super) fn new(stream: SendStream<Bytes>, body: RequestBody, expectation: Expectation) -> Self {
        let (state, patience) = match expectation {
            _ if !has_content(body.framing()) => (State::Done, None),
            Expectation::Continue => (State::AwaitingContinue, Some(Box::pin(sleep(CONTINUE_PATIENCE)))),
            Expectation::None => (State::Body, None),
        };
        Self {
            stream,
            body,
            pending: Bytes::new(),
            state,
            patience,
            sent: 0,
            reported: None,
            waits_for_client: false,
        }
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

    /// Whether the whole request was handed over.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the client has to send more before anything can go on.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits_for_client
    }

    /// Whether anything was handed over since the last time this was asked.
    pub(super) fn took_progress(&mut self) -> bool {
        self.reported.replace(self.sent) != Some(self.sent)
    }

    /// The body, for another attempt.
    pub(super) fn into_body(self) -> RequestBody {
        self.body
    }

    /// Sends as much as can be sent now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        loop {
            self.waits_for_client = false;
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::Refused => return Poll::Ready(Err(UploadError::Server)),
                State::AwaitingContinue => {
                    if self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(cx).is_pending())
                    {
                        return Poll::Pending;
                    }
                    self.go_on();
                }
                State::Body if !self.pending.is_empty() => {
                    if self.poll_pending(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                State::Body => match self.body.poll_piece(cx) {
                    Poll::Ready(Ok(piece)) => self.put(piece),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(UploadError::Client(error))),
                    Poll::Pending => {
                        self.waits_for_client = true;
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// Hands over as much of the pending content as there is room for.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.reserve_capacity(self.pending.len());
        let mut room = self.stream.capacity();
        while room == 0 {
            room = match self.stream.poll_capacity(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(room))) => room,
                Poll::Ready(None | Some(Err(_))) => {
                    self.state = State::Refused;
                    return Poll::Ready(());
                }
            };
        }
        let part = self.pending.split_to(room.min(self.pending.len()));
        self.sent += part.len() as u64;
        if self.pending.is_empty() && self.body.is_used_up() {
            self.finish(|stream| stream.send_data(part, true));
        } else if self.stream.send_data(part, false).is_err() {
            self.state = State::Refused;
        }
        Poll::Ready(())
    }

    fn put(&mut self, piece: Piece) {
        match piece {
            Piece::Data(data) => self.pending = data,
            Piece::End => self.finish(|stream| stream.send_data(Bytes::new(), true)),
            Piece::Trailers(trailers) => {
                let trailers = header::request_trailers(trailers);
                self.finish(|stream| stream.send_trailers(trailers));
            }
        }
    }

    /// Ends the request.
    fn finish(&mut self, end: impl FnOnce(&mut SendStream<Bytes>) -> Result<(), h2::Error>) {
        self.state = if end(&mut self.stream).is_ok() { State::Done } else { State::Refused };
    }
}
