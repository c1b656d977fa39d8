//! One attempt on one server: a connection, the request out, the response in.
//!
//! The codec is our own, over `httparse`, and runs on the request's own task: a client library needs a second task and
//! a channel for each request, which costs more than the codec does.

mod connect;
mod connection;
mod encode;
#[cfg(test)]
mod encode_properties;
mod http2;
mod interim;
mod lease;
mod pool;
#[cfg(test)]
mod properties;
mod request_body;
mod resolve;
mod response_head;
mod server_body;
mod stream;
mod switched;
mod upload;

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;
pub(crate) use connect::{Tunnel, tunnel};
pub(crate) use encode::{RequestHead, write_field};
use http::{HeaderValue, Response, StatusCode, header};
pub(crate) use http2::StreamBody;
pub(crate) use lease::Lease;
pub(crate) use pool::Pools;
pub(crate) use request_body::{Framing, RequestBody};
pub(crate) use server_body::ServerBody;
pub(crate) use switched::Switched;
use weir_shared::{
    model::ServerProtocol,
    table::{Server, Upstream},
    time::Moment,
    tls::Offer,
};

use self::{
    connection::ServerConnection,
    decode::BodyFraming,
    interim::Interim,
    response_head::{Parsed, ResponseHead, SMALL_READ},
    server_body::Verdict,
    upload::{Upload, UploadError},
};
use crate::{
    affinity, body::ResponseBody, deadline::Deadline, decode, error::ProxyError, exchange::Exchange,
    outgoing::Outgoing, worker::Worker,
};

/// Room for a request head to begin with, in bytes: most fit, and no allocation is cheaper than one of at most this size.
const COMMON_HEAD: usize = 1024;

/// A response whose head has arrived.
pub(crate) struct Answer {
    pub(crate) response: Response<ResponseBody>,
    /// When the head had arrived.
    pub(crate) answered: Moment,
    /// What stands for the server in an affinity cookie; `None` if no client is to be bound to it.
    pub(crate) affinity_tag: Option<u64>,
}

/// How far a failed attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing was sent: the server cannot have run the request.
    NothingSent,
    /// Something was sent, on a connection of its own: the server may have run the request.
    Sent,
    /// Something was sent on a connection used before: the same, but the server may just have closed it for its age,
    /// which says nothing against the server.
    SentOnReused,
}

/// A failed attempt.
pub(crate) struct Failure {
    pub(crate) error: ProxyError,
    pub(crate) progress: Progress,
}

/// Sends one request to `server` and waits for the head of the response, whose body then streams.
///
/// `lease` counts the attempt as in flight at the server until that body ends. `deadline` is the attempt's until then. `body` is
/// there again afterwards, for another attempt, unless a response came before it was sent whole: then it goes on with that.
pub(crate) async fn send(
    exchange: &Exchange,
    upstream: &Upstream,
    server: &Server,
    lease: Lease,
    request: &RequestHead<'_>,
    body: &mut Option<RequestBody>,
    deadline: &Deadline,
) -> Result<Answer, Failure> {
    let is_http2 = match upstream.protocol {
        ServerProtocol::Http1 => false,
        ServerProtocol::Http2 => true,
        // Whoever wants to switch to another protocol can do so over HTTP/1.1 alone.
        ServerProtocol::Auto if request.upgrade.is_some() => false,
        ServerProtocol::Auto => match http2::is_agreed(exchange.worker(), upstream, server, &lease).await {
            Ok(is_agreed) => is_agreed,
            Err(error) => return Err(Failure { error, progress: Progress::NothingSent }),
        },
    };
    if is_http2 {
        // Boxed, so that requests over HTTP/1.1 carry no room for it.
        return Box::pin(http2::send(exchange, upstream, server, lease, request, body, deadline)).await;
    }
    let worker = exchange.worker();
    let connection = match lease.checkout(upstream, request.method) {
        Some(connection) => connection,
        // Boxed, because most requests find a connection and would carry the room for this through every move.
        None => {
            let ends = exchange.client().ends;
            match Box::pin(connect::connect(worker, upstream, server, &lease, ends, Offer::Http1)).await {
                Ok(connection) if !lease.is_cut() => connection,
                Ok(_) => {
                    let error = ProxyError::ServerDrained;
                    lease.counters().cut.add(1);
                    return Err(Failure { error, progress: Progress::NothingSent });
                }
                Err(error) => return Err(Failure { error, progress: Progress::NothingSent }),
            }
        }
    };
    let taken = body.take().unwrap_or_else(RequestBody::none);
    let mut head = Vec::with_capacity(COMMON_HEAD);
    request.encode(&mut head, server, taken.framing());
    let upload = Upload::new(Outgoing::new(head), taken, request.expects_continue);
    let mut call = Call { lease, connection, upload, interims: 0 };
    let answer = call.exchange(worker, upstream, request, deadline).await;
    call.lease.counters().bytes_sent.add(call.upload.take_sent());
    match answer {
        Ok(head) if call.is_stale_timeout(&head) && request.method.is_idempotent() => {
            Err(call.fail(ProxyError::ConnectionTerminated, body))
        }
        Ok(head) => Ok(call.respond(exchange, upstream, server, head, body)),
        Err(error) => {
            if error == ProxyError::ResponseTimeout {
                call.lease.took(upstream, worker.clock.moment());
            }
            Err(call.fail(error, body))
        }
    }
}

/// An attempt that has a connection.
struct Call {
    lease: Lease,
    connection: ServerConnection,
    upload: Upload,
    /// Interim responses that have come.
    interims: u8,
}

impl Call {
    /// Sends the request and reads until the head of the final response, each as far as it goes without the other: a
    /// server may answer before it has read everything, and then the rest need not be sent.
    async fn exchange(
        &mut self,
        worker: &Worker,
        upstream: &Upstream,
        request: &RequestHead<'_>,
        deadline: &Deadline,
    ) -> Result<ResponseHead, ProxyError> {
        let mut is_uploading = true;
        let answer = poll_fn(|cx| {
            if is_uploading {
                match self.upload.poll(cx, &mut self.connection.stream) {
                    Poll::Ready(Err(UploadError::Client(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(()) | Err(UploadError::Server)) => {
                        is_uploading = false;
                        if self.upload.is_done() {
                            self.lease.sent(upstream);
                        }
                        match request.response_timeout(upstream) {
                            Some(timeout) => deadline.set(worker.after(timeout)),
                            None => deadline.clear(),
                        }
                    }
                    Poll::Pending => {
                        if self.upload.waits_for_client() {
                            self.lease.uploads();
                        }
                        if self.upload.took_progress() {
                            deadline.set(worker.after(upstream.stream_idle_timeout));
                        }
                    }
                }
            }
            if let Poll::Ready(answer) = self.poll_head(cx, request) {
                return Poll::Ready(answer);
            }
            if deadline.poll(cx).is_ready() {
                let is_client = self.upload.waits_for_client();
                return Poll::Ready(Err(if is_client {
                    ProxyError::ClientTimeout
                } else {
                    ProxyError::ResponseTimeout
                }));
            }
            if self.lease.is_cut() {
                return Poll::Ready(Err(ProxyError::ServerDrained));
            }
            Poll::Pending
        })
        .await;
        deadline.clear();
        answer
    }

    /// Reads the head of the final response, to which one that switches protocols counts.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        request: &RequestHead<'_>,
    ) -> Poll<Result<ResponseHead, ProxyError>> {
        loop {
            if !self.connection.buffer.is_empty() {
                let maps = &self.lease.worker().response_maps;
                match response_head::parse(&mut self.connection.buffer, request.method, maps) {
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(Parsed::Interim(interim)) => match self.take_interim(cx, request, interim) {
                        Ok(None) => continue,
                        Ok(Some(head)) => return Poll::Ready(Ok(head)),
                        Err(error) => return Poll::Ready(Err(error)),
                    },
                    Ok(Parsed::Final(head)) => return Poll::Ready(Ok(head)),
                    Ok(Parsed::Incomplete) => {}
                }
            }
            let size = self.lease.read_size();
            let least = if size > SMALL_READ { size } else { SMALL_READ / 2 };
            match self.connection.poll_read(cx, &self.lease.worker().pools, least, size) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) if !self.connection.buffer.is_empty() => {
                    return Poll::Ready(Err(ProxyError::ResponseMalformed));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(ProxyError::ConnectionTerminated)),
                Poll::Ready(Err(error)) => {
                    // With TLS 1.3 a server tells only now that it does not like our certificate.
                    return Poll::Ready(Err(stream::failed(&error, ProxyError::ConnectionTerminated)));
                }
                Poll::Ready(Ok(received)) => self.lease.counters().bytes_received.add(received as u64),
            }
        }
    }

    /// Takes in an interim response, and answers the head of what the client gets if no other one follows.
    fn take_interim(
        &mut self,
        cx: &Context<'_>,
        request: &RequestHead<'_>,
        interim: Interim,
    ) -> Result<Option<ResponseHead>, ProxyError> {
        self.interims += 1;
        if self.interims > interim::MOST {
            return Err(ProxyError::ResponseMalformed);
        }
        match interim.status {
            // The client's side makes its own when the body is asked for.
            StatusCode::CONTINUE => {
                if self.upload.go_on() {
                    cx.waker().wake_by_ref();
                }
                Ok(None)
            }
            StatusCode::SWITCHING_PROTOCOLS => {
                let upgrade = request.upgrade.ok_or(ProxyError::UpgradeUnexpected)?;
                let headers = upgrade.take_answer(interim.protocol.as_ref(), interim.headers)?;
                Ok(Some(ResponseHead {
                    status: interim.status,
                    headers,
                    framing: BodyFraming::Length(0),
                    may_be_reused: false,
                }))
            }
            status => {
                request.exchange.client().relay_interim(request.version, status, &interim.headers);
                Ok(None)
            }
        }
    }

    /// Some servers say 408 on a connection that has been idle too long, and close it: said before the request arrived, it
    /// is no answer to the request.
    fn is_stale_timeout(&self, head: &ResponseHead) -> bool {
        head.status == StatusCode::REQUEST_TIMEOUT && !head.may_be_reused && self.connection.served > 0
    }

    fn fail(self, error: ProxyError, body: &mut Option<RequestBody>) -> Failure {
        self.lease.failed(error);
        let progress = match (self.upload.has_sent(), self.connection.served) {
            (false, _) => Progress::NothingSent,
            (true, 0) => Progress::Sent,
            (true, _) => Progress::SentOnReused,
        };
        *body = Some(self.upload.into_body());
        Failure { error, progress }
    }

    fn respond(
        self,
        exchange: &Exchange,
        upstream: &Upstream,
        server: &Server,
        head: ResponseHead,
        rest: &mut Option<RequestBody>,
    ) -> Answer {
        let Self { lease, mut connection, upload, .. } = self;
        let now = exchange.worker().clock.moment();
        lease.answered(upstream, head.status.as_u16(), now);
        connection.may_be_reused &= head.may_be_reused;
        let upload = if upload.is_done() {
            *rest = Some(upload.into_body());
            None
        } else {
            Some(upload)
        };
        lease.expect_like(head.framing);
        let is_success = !upstream.is_error_status(head.status.as_u16());
        if is_success {
            lease.took(upstream, now);
        }
        let body = match (head.framing, upload) {
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                lease.succeeded();
                let idle = upstream.tunnel_idle_timeout;
                ResponseBody::switched(Switched { lease, connection, idle })
            }
            (BodyFraming::Length(length), None) if length <= connection.buffer.len() as u64 => {
                // Everything has arrived already: the connection serves the next request while this one is relayed.
                let bytes = if length == 0 {
                    Bytes::new()
                } else {
                    connection.buffer.split_to(usize::try_from(length).unwrap_or(0)).freeze()
                };
                lease.give_back(connection, now);
                if is_success {
                    lease.succeeded();
                }
                ResponseBody::whole(bytes, lease)
            }
            (framing, upload) => {
                let stall = upstream.stream_idle_timeout;
                let verdict = match framing {
                    // An empty one is complete already: nobody will ask for it.
                    BodyFraming::Length(0) if is_success => {
                        lease.succeeded();
                        Verdict::Counted
                    }
                    _ if is_success => Verdict::SuccessWhenComplete,
                    _ => Verdict::Counted,
                };
                ResponseBody::server(ServerBody::new(stall, lease, connection, framing, upload, verdict))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        if rest.is_none() {
            // The rest of the request is still to come: the client has to know that it need not be waited for
            // (RFC 9112 §9.6, RFC 9110 §10.1.1).
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Answer { response, answered: now, affinity_tag: affinity::tag(upstream, server) }
    }
}
