//! HTTP/1 towards clients: RFC 9112, on the connection's own task.
//!
//! ```text
//! at rest → head → exchange → response ┬→ next request, if it has arrived already
//!    ↑                                 ├→ rest: nothing is kept but the socket
//!    └─────────────────────────────────┤
//!                                      └→ close, at once or lingering; or a tunnel
//! ```
//! A request's body is read by whoever polls it, straight from the socket, and its response is polled and written here: no
//! second task, no channel, no buffer but the one that bytes arrive in.

#[cfg(test)]
mod allocations;
mod body;
mod closing;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod properties;
mod request_head;
mod response;
mod scratch;
mod send;
mod wire;

use std::{cell::RefCell, future::poll_fn, pin::pin, rc::Rc, task::Poll};

pub(crate) use body::Body;
use bytes::BytesMut;
use http::{Response, StatusCode};
use http_body::Body as _;
pub(crate) use scratch::Scratch;
pub(super) use wire::FIRST_READ;

use self::{
    closing::MOST_DRAINED,
    request_head::{Continuation, Head, Reuse, Wants},
    response::{Form, Framing},
    send::Broken,
    wire::{Link, NoHead, Wire},
};
use super::{Client, ClientBody, OpenTunnel, unless_over};
use crate::{
    body::ResponseBody, decode::BodyFraming, error::ProxyError, exchange::ExchangeGuard, forward::Switched,
    pipeline, stream::ClientStream,
};

/// What becomes of a connection that has worked on something.
enum Next {
    /// It rests.
    Rest,
    /// It has ended.
    End,
    /// It is joined with a server's.
    Tunnel(Box<Switched>),
}

/// What becomes of a connection after an exchange.
enum After {
    /// Another request may follow.
    Request,
    /// It is closed; the client may still be sending.
    Linger,
    /// It is closed; the client has said that it is done.
    Close,
    /// It is gone.
    Gone,
    /// It is joined with a server's.
    Tunnel(Box<Switched>),
}

/// Serves requests until the connection ends. `input` was read already.
pub(super) async fn serve(client: Rc<Client>, stream: ClientStream, input: BytesMut) {
    let link = Rc::new(RefCell::new(Wire::new(Rc::clone(&client), stream, input)));
    let switched = loop {
        if !has_arrival(&link, &client).await {
            return Box::pin(closing::close(&link, &client)).await;
        }
        // Boxed for as long as there is something to do, so that a connection at rest keeps no room for a request.
        let mut working = Box::pin(work(&link, &client));
        match unless_over(&client.worker, &client.listener, working.as_mut()).await {
            Some(Next::Rest) => link.borrow_mut().rest(),
            Some(Next::End) => return,
            Some(Next::Tunnel(switched)) => break switched,
            None => return link.borrow().break_off(),
        }
    };
    // Nobody else has it any more: the request and its response are gone.
    let Some(wire) = Rc::into_inner(link) else { return };
    let Wire { stream, input, .. } = wire.into_inner();
    let tunnel = OpenTunnel::count(&client);
    // Boxed, so that no other connection keeps room for it.
    Box::pin(switched.carry(tunnel, stream, input.freeze(), ClientStream::reset_on_drop)).await;
}

/// Waits at rest for something to arrive. Answers whether it did before its time was over.
async fn has_arrival(link: &Link, client: &Client) -> bool {
    poll_fn(|cx| {
        if client.deadline.poll(cx).is_ready() || client.is_past_grace() {
            return Poll::Ready(false);
        }
        let wire = &mut *link.borrow_mut();
        if wire.input.is_empty() { wire.poll_readable(cx).map(|()| true) } else { Poll::Ready(true) }
    })
    .await
}

/// Serves what has arrived, one request after the other.
async fn work(link: &Link, client: &Rc<Client>) -> Next {
    loop {
        let head = poll_fn(|cx| link.borrow_mut().poll_head(cx)).await;
        let counters = client.worker.listener();
        let head = match head {
            Ok(head) => head,
            Err(NoHead::AtRest) => return Next::Rest,
            Err(NoHead::Left) => {
                closing::close(link, client).await;
                return Next::End;
            }
            Err(NoHead::Late) => {
                counters.client_timeouts.add(1);
                closing::refuse(link, client, ProxyError::ClientTimeout).await;
                return Next::End;
            }
            Err(NoHead::Refused(error)) => {
                counters.requests_refused.add(1);
                closing::refuse(link, client, error).await;
                return Next::End;
            }
        };
        match exchange(link, client, head).await {
            After::Request => link.borrow_mut().await_next(),
            After::Tunnel(switched) => return Next::Tunnel(switched),
            After::Linger => {
                closing::linger(link, client).await;
                return Next::End;
            }
            After::Close => {
                closing::close(link, client).await;
                return Next::End;
            }
            After::Gone => return Next::End,
        }
    }
}

/// Serves one request.
async fn exchange(link: &Link, client: &Rc<Client>, head: Head) -> After {
    let Head { parts, framing, wants } = head;
    let response = {
        let body = if framing == BodyFraming::Length(0) {
            ClientBody::Empty
        } else {
            ClientBody::Http1(Body::new(link))
        };
        let guard = ExchangeGuard::begin(client);
        let mut handling = pin!(pipeline::handle(guard, &parts, body));
        let handled = poll_fn(|cx| match handling.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => link.borrow_mut().poll_meanwhile(cx).map(|_| None),
        })
        .await;
        let Some(response) = handled else { return After::Gone };
        response
    };
    client.worker.request_maps.give_back(parts.headers);
    let (status, form, body) = begin(link, client, response, wants);
    let sent = send::send(link, client, body, form.framing, wants.trailers).await;
    let switched = client.take_switched();
    match sent {
        Ok(()) => {}
        Err(Broken::Client(_)) => return After::Gone,
        Err(Broken::Body) => {
            if form.framing == Framing::UntilClose {
                // An end in order would be taken for the end of the content.
                link.borrow().stream.reset_on_drop();
            }
            return After::Gone;
        }
    }
    link.borrow_mut().end_answer();
    match switched {
        Some(switched) if status == StatusCode::SWITCHING_PROTOCOLS => After::Tunnel(switched),
        _ => after(link, client, form, wants).await,
    }
}

/// Writes the head of `response`.
fn begin(
    link: &Link,
    client: &Client,
    response: Response<ResponseBody>,
    wants: Wants,
) -> (StatusCode, Form, ResponseBody) {
    let (parts, body) = response.into_parts();
    let wire = &mut *link.borrow_mut();
    // What is left of the request has to be read before the next one, if that is not too much.
    let is_in_reach = wire.is_request_read()
        || (wire.body_left().is_none_or(|left| left <= MOST_DRAINED)
            && wire.continuation == Continuation::None);
    let reuse = if is_in_reach { wants.reuse } else { Reuse::Close };
    let worker = &client.worker;
    let scratch = (&worker.scratch, worker.coarse_moment());
    let form = response::write(wire.begin_answer(), &parts, wants, body.size_hint().exact(), reuse, scratch);
    let status = parts.status;
    worker.response_maps.give_back(parts.headers);
    (status, form, body)
}

/// What becomes of the connection when the response is sent.
async fn after(link: &Link, client: &Client, form: Form, wants: Wants) -> After {
    let is_read = link.borrow().is_request_read();
    if form.reuse == Reuse::Keep {
        if !is_read {
            if !closing::drain(link, client).await {
                return After::Linger;
            }
            client.rest();
        }
        return After::Request;
    }
    if wants.reuse == Reuse::Keep || !is_read {
        return After::Linger;
    }
    // What was said to be the last request may not be the last that was sent: closing at once on unread bytes resets the
    // connection, and the answer with it.
    let is_silent = poll_fn(|cx| Poll::Ready(link.borrow_mut().is_silent(cx))).await;
    if is_silent { After::Close } else { After::Linger }
}
