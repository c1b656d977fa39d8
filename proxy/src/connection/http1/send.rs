//! Sends a response as its body arrives and its client takes it.
//!
//! The head waits for the first part of the body if that is at hand, so that a small response is one write. What the client
//! does not take holds up whoever makes the body: what one read has brought is kept, and small parts up to a few kilobytes.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use http::HeaderMap;
use http_body::{Body, Frame};

use super::{
    request_head::Trailers,
    response::Framing,
    wire::{Gone, Link},
};
use crate::{
    body::ResponseBody, connection::Client, forward::write_field, header::is_forbidden_trailer,
    outgoing::AtHand,
};

/// Why a response could not be sent whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// By its client.
    Client(Gone),
    /// By whoever makes it.
    Body,
}

/// Sends the rest of a response, whose head is at hand, with its `body`. The exchange ends with it.
pub(super) async fn send(
    link: &Link,
    client: &Client,
    body: ResponseBody,
    framing: Framing,
    trailers: Trailers,
) -> Result<(), Broken> {
    let mut sending = Sending { body, framing, trailers, stage: Stage::Begun };
    if framing == Framing::None || framing == Framing::Length(0) {
        sending.stage = Stage::Ended;
    }
    let sent = poll_fn(|cx| sending.poll(cx, link)).await;
    match sent {
        Err(Broken::Client(Gone::Stalled)) => client.worker.listener().client_timeouts.add(1),
        // One that is not complete counts itself.
        Err(Broken::Client(Gone::Left)) if sending.body.is_complete() => {
            client.worker.listener().client_aborts.add(1);
        }
        _ => {}
    }
    sent
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The head is at hand and waits for company.
    Begun,
    Body,
    /// Everything is at hand.
    Ended,
    /// What is at hand is all that there will be.
    Broken,
}

struct Sending {
    body: ResponseBody,
    framing: Framing,
    trailers: Trailers,
    stage: Stage,
}

impl Sending {
    fn poll(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<Result<(), Broken>> {
        loop {
            let mut has_more = true;
            if self.stage == Stage::Begun || (self.stage == Stage::Body && link.borrow().is_sent()) {
                has_more = self.fill(cx, link);
            }
            let mut wire = link.borrow_mut();
            match wire.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Client(Gone::Left))),
                Poll::Pending if self.body.poll_over(cx).is_ready() => return Poll::Ready(Err(Broken::Body)),
                Poll::Pending => return wire.poll_gone(cx).map(|gone| Err(Broken::Client(gone))),
            }
            match self.stage {
                Stage::Ended => return Poll::Ready(Ok(())),
                Stage::Broken => return Poll::Ready(Err(Broken::Body)),
                Stage::Begun | Stage::Body if has_more => {}
                Stage::Begun | Stage::Body => {
                    return wire.poll_gone(cx).map(|gone| Err(Broken::Client(gone)));
                }
            }
        }
    }

    /// Puts in what there is of the body. Answers whether there may be more at once.
    fn fill(&mut self, cx: &mut Context<'_>, link: &Link) -> bool {
        self.stage = Stage::Body;
        loop {
            // Not while the wire is borrowed: with the response, what is left of the request is sent on.
            let frame = Pin::new(&mut self.body).poll_frame(cx);
            match frame {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(frame))) => self.put(frame, link),
                Poll::Ready(Some(Err(_))) => self.stage = Stage::Broken,
                Poll::Ready(None) => self.end(link),
            }
            if self.stage == Stage::Body && self.body.is_end_stream() {
                self.end(link);
            }
            let at_hand = AtHand::from(self.body.is_at_hand());
            if self.stage != Stage::Body || !link.borrow().outgoing.has_room(at_hand) {
                return true;
            }
        }
    }

    fn put(&mut self, frame: Frame<bytes::Bytes>, link: &Link) {
        let outgoing = &mut link.borrow_mut().outgoing;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let (Framing::Chunked, Ok(trailers)) = (self.framing, frame.into_trailers()) {
                    match self.trailers {
                        Trailers::Taken => outgoing.put_trailers(|out| write_trailers(out, &trailers)),
                        Trailers::Dropped => outgoing.put_last_chunk(),
                    }
                    self.stage = Stage::Ended;
                }
                return;
            }
        };
        match &mut self.framing {
            Framing::Chunked => outgoing.put_chunk(data),
            Framing::UntilClose => outgoing.put(data),
            Framing::None => {}
            Framing::Length(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    outgoing.put(data);
                }
                // More than was said: nobody could tell it from a next response.
                None => self.stage = Stage::Broken,
            },
        }
    }

    fn end(&mut self, link: &Link) {
        self.stage = match self.framing {
            // Less than was said.
            Framing::Length(1..) => Stage::Broken,
            _ => Stage::Ended,
        };
        if self.framing == Framing::Chunked {
            link.borrow_mut().outgoing.put_last_chunk();
        }
    }
}

/// Appends those of `trailers` that may be some (RFC 9110 §6.5.1).
fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    for (name, value) in trailers {
        if !is_forbidden_trailer(name) {
            write_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}
