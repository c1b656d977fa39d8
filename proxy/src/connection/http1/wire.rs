//! The socket of a connection with what was read and not used, and what is to be written: shared by the connection and the
//! body of its request, which read and write in turn on one task.

use std::{
    cell::RefCell,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::request_head::{Arriving, Continuation, Head, Limits, MAX_TARGET, skip_empty_lines};
use crate::{
    connection::{Client, client::Phase},
    decode::{BodyFraming, Decoder, LARGE_READ, Step},
    error::ProxyError,
    outgoing::Outgoing,
    stream::ClientStream,
};

/// Room made for the first read of a request, in bytes. Most fit, with their bodies if they have small ones.
pub(in crate::connection) const FIRST_READ: usize = 4 * 1024;

/// The same for a request whose body is larger, in bytes.
const LARGER_READ: usize = 4 * FIRST_READ;

/// How long a connection that has served a request keeps what the next one needs.
const BRISK: Duration = Duration::from_secs(1);

/// A connection's socket, shared on one task. Borrowed for one step at a time, never while anything is waited for.
pub(super) type Link = Rc<RefCell<Wire>>;

/// Why a head is not waited for any more.
#[derive(Debug)]
pub(super) enum NoHead {
    /// Nothing of one has arrived.
    AtRest,
    /// The client has left, or was silent for too long between requests.
    Left,
    /// It did not arrive in time.
    Late,
    /// It is none that is taken in.
    Refused(ProxyError),
}

/// A connection's socket.
pub(super) struct Wire {
    pub(super) client: Rc<Client>,
    pub(super) stream: ClientStream,
    /// What has arrived and is not used.
    pub(super) input: BytesMut,
    arriving: Arriving,
    pub(super) outgoing: Outgoing,
    /// Whether the client did not take all that was outgoing.
    is_blocked: bool,
    /// The body of the request under way.
    decoder: Decoder,
    /// How much is read at once when a request begins: of one with a body like that of the last.
    first_read: usize,
    /// How much is read of a body at once.
    read_size: usize,
    pub(super) continuation: Continuation,
    /// How far the request under way has come.
    stage: Stage,
}

/// How far the request under way has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is none, nor was there one a moment ago.
    Rest,
    /// The last one was just served, and its client is likely to ask again at once: what a request needs is kept.
    Brisk,
    /// No answer was begun: interim ones may be sent.
    Asked,
    /// The same, and something has arrived behind the request.
    Followed,
    Answered,
}

impl Wire {
    /// `input` was read already.
    pub(super) fn new(client: Rc<Client>, stream: ClientStream, input: BytesMut) -> Self {
        Self {
            client,
            stream,
            input,
            arriving: Arriving::default(),
            outgoing: Outgoing::default(),
            is_blocked: false,
            decoder: Decoder::new(BodyFraming::Length(0)),
            first_read: FIRST_READ,
            read_size: FIRST_READ,
            continuation: Continuation::None,
            stage: Stage::Rest,
        }
    }

    /// Ready when there is something to read, or the end of it.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_readable(cx)
    }

    /// Whether nothing has arrived that is not read yet, as far as the runtime knows.
    pub(super) fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        self.input.is_empty() && self.poll_readable(cx).is_pending()
    }

    /// Whether the next part of a response can be put in: the client has taken all that was handed over. With TLS that is more
    /// than what is at hand here.
    pub(super) fn is_sent(&self) -> bool {
        self.outgoing.is_empty() && !self.is_blocked
    }

    /// The connection ends now. A client that gets something learns that this may not be all of it.
    pub(super) fn break_off(&self) {
        if self.client.phase() == Phase::Exchange || !self.is_sent() {
            self.stream.reset_on_drop();
        }
    }

    /// Gives back what is kept for a request: the connection is at rest.
    pub(super) fn rest(&mut self) {
        self.input = BytesMut::new();
    }

    /// Reads the head of the next request.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, NoHead>> {
        loop {
            if let Some(head) = self.take_head().transpose() {
                return Poll::Ready(head.map_err(NoHead::Refused));
            }
            if self.input.is_empty() && self.stage != Stage::Brisk && self.poll_readable(cx).is_pending() {
                return Poll::Ready(Err(NoHead::AtRest));
            }
            let room = self.input.len().max(self.first_read);
            match self.poll_read(cx, room) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => {
                    // Who sent nonsense and nothing behind it is told so.
                    let limits = self.limits();
                    let refused =
                        self.arriving.end(&mut self.input, limits, &self.client.worker.request_maps);
                    return Poll::Ready(Err(refused.map_or(NoHead::Left, NoHead::Refused)));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(NoHead::Left)),
                Poll::Pending if self.input.is_empty() => return self.poll_rest(cx).map(Err),
                Poll::Pending => {
                    let is_idle = self.client.phase() == Phase::Idle;
                    if is_idle && self.client.is_past_grace() {
                        return Poll::Ready(Err(NoHead::Left));
                    }
                    ready!(self.client.deadline.poll(cx));
                    // Half an empty line is no request.
                    return Poll::Ready(Err(if is_idle { NoHead::Left } else { NoHead::Late }));
                }
            }
        }
    }

    /// The last request is served, and another one may follow.
    pub(super) fn await_next(&mut self) {
        if self.client.idle_timeout() > BRISK {
            self.stage = Stage::Brisk;
            self.client.await_for(BRISK);
        }
    }

    /// Nothing of a head is there: ready when it is time to rest, or to leave.
    fn poll_rest(&mut self, cx: &Context<'_>) -> Poll<NoHead> {
        if self.stage != Stage::Brisk {
            return Poll::Ready(NoHead::AtRest);
        }
        if self.client.is_past_grace() {
            return Poll::Ready(NoHead::Left);
        }
        ready!(self.client.deadline.poll(cx));
        self.stage = Stage::Rest;
        self.client.await_for(self.client.idle_timeout().saturating_sub(BRISK));
        Poll::Ready(NoHead::AtRest)
    }

    /// Takes the head of a request off the input, if all of it has arrived.
    fn take_head(&mut self) -> Result<Option<Head>, ProxyError> {
        if !skip_empty_lines(&mut self.input) {
            return Ok(None);
        }
        if self.client.phase() == Phase::Idle {
            self.client.head_began();
        }
        let limits = self.limits();
        let head = self.arriving.take(&mut self.input, limits, &self.client.worker.request_maps)?;
        if let Some(head) = &head {
            self.decoder = Decoder::new(head.framing);
            self.expect_body();
            self.continuation = head.wants.continuation;
            self.stage = Stage::Asked;
        }
        Ok(head)
    }

    /// Some of the body may have arrived with the head.
    fn expect_body(&mut self) {
        let is_small = self.decoder.left().is_some_and(|left| left <= FIRST_READ as u64 / 2);
        self.first_read = if is_small { FIRST_READ } else { LARGER_READ };
        // There is more where this came from.
        let is_full = self.input.len() == self.input.capacity();
        self.read_size = if is_full { self.first_read } else { FIRST_READ };
    }

    /// Only what is far beyond both limits of the listener is cut off here; the target and the fields each have a check, and an
    /// answer, of their own.
    fn limits(&self) -> Limits {
        let settings = self.client.listener.settings();
        let to_usize = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let bytes = MAX_TARGET + to_usize(settings.spec.max_header_bytes);
        Limits { bytes, fields: to_usize(settings.spec.max_headers) }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        // What room there is serves on: pieces that trickle in and are kept must not keep whole buffers.
        if self.input.capacity() - self.input.len() < room / 2 {
            self.input.reserve(room);
        }
        // The future keeps no state between polls, so that a new one each time loses nothing.
        pin!(self.stream.read_buf(&mut self.input)).poll(cx)
    }

    /// What is left of the request's body, if that is known.
    pub(super) fn body_left(&self) -> Option<u64> {
        self.decoder.left()
    }

    /// Whether some of the next part of the request's body has been read already.
    pub(super) fn is_body_at_hand(&self) -> bool {
        self.decoder.is_at_hand(&self.input)
    }

    /// Whether the request has arrived whole.
    pub(super) fn is_request_read(&self) -> bool {
        self.decoder.is_done()
    }

    /// The next part of the request's body.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match self.decoder.step(&mut self.input) {
                Ok(Step::Data(data)) => {
                    // Who sends it waits for nothing.
                    self.continuation = Continuation::None;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Step::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::NeedsMore) => {}
                Err(_) => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
            }
            let room = self.decoder.read_size().min(self.read_size).max(FIRST_READ);
            match self.poll_read(cx, room) {
                Poll::Pending => {
                    self.ask_for_body();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                // There is more where this came from.
                Poll::Ready(Ok(_)) if self.input.len() == self.input.capacity() => {
                    self.read_size = (2 * self.read_size).min(LARGE_READ);
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    /// Tells a client that waits for it that its body is wanted. Who is answered already has been told otherwise.
    fn ask_for_body(&mut self) {
        let is_awaited = self.continuation == Continuation::Awaited && self.input.is_empty();
        if is_awaited && self.stage != Stage::Answered {
            self.continuation = Continuation::None;
            self.client.relay_continue();
        }
    }

    /// While a server is waited for: sends the interim responses at hand, and looks after the client. Ready when it has left.
    pub(super) fn poll_meanwhile(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.take_interim();
        if !self.is_sent() {
            let sent = self.poll_send(cx);
            if let Poll::Ready(Err(_)) = sent {
                return Poll::Ready(Gone::Left);
            }
            self.is_blocked = sent.is_pending();
        }
        if self.client.is_waiting() && self.stage == Stage::Asked {
            match self.stream.poll_peek(cx, &mut [0; 1]) {
                Poll::Pending => {}
                Poll::Ready(Ok(1..)) => self.stage = Stage::Followed,
                // Nothing was done for it yet, and most who close while they wait have gone. One that still wants an answer
                // keeps its side open.
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Gone::Left),
            }
        }
        self.poll_gone(cx)
    }

    /// Looks after the client once in a while when a server is waited for, and at the deadline when the client is. Ready when
    /// it has left or taken nothing for too long.
    pub(super) fn poll_gone(&self, cx: &Context<'_>) -> Poll<Gone> {
        ready!(self.client.deadline.poll(cx));
        if !self.client.is_watch_due() {
            return Poll::Ready(Gone::Stalled);
        }
        self.client.watch();
        if !matches!(self.stream.take_error(), Ok(None)) {
            return Poll::Ready(Gone::Left);
        }
        self.client.deadline.poll(cx).map(|()| Gone::Stalled)
    }

    /// Puts interim responses, which go between messages, before whatever is said next.
    fn take_interim(&mut self) {
        let mut interim = self.client.interim().borrow_mut();
        if !interim.is_empty() && self.outgoing.is_empty() {
            self.outgoing.writer().extend_from_slice(&interim);
            *interim = Vec::new();
        }
    }

    /// Where to write the head of the answer. Nothing goes between it and what follows.
    pub(super) fn begin_answer(&mut self) -> &mut Vec<u8> {
        self.stage = Stage::Answered;
        // What the client has not taken of interim responses has no time of its own: that of the answer begins.
        self.is_blocked = false;
        self.outgoing.take_room(self.client.worker.scratch.room());
        let mut interim = self.client.interim().borrow_mut();
        let writer = self.outgoing.writer();
        if !interim.is_empty() {
            writer.extend_from_slice(&interim);
            *interim = Vec::new();
        }
        writer
    }

    /// The answer is sent.
    pub(super) fn end_answer(&mut self) {
        let room = self.outgoing.give_back_room();
        self.client.worker.scratch.give_back_room(room);
    }

    /// Sends what is at hand. When the client does not take all of it, the deadline is for taking some.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = self.outgoing.left();
        let sent = self.poll_send(cx);
        if sent.is_pending() && (self.outgoing.left() != before || !self.is_blocked) {
            self.client.await_more_room();
        }
        self.is_blocked = sent.is_pending();
        sent
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outgoing.poll_write(cx, &mut self.stream))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Reads what the client still sends, and throws it away. Answers how much that was; 0 = it has ended.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.clear();
        self.poll_read(cx, FIRST_READ * 4)
    }
}

/// How a client was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It has left.
    Left,
    /// It has taken nothing for too long.
    Stalled,
}
