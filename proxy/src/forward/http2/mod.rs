//! One attempt on one server that speaks HTTP/2 (RFC 9113): a stream, the request out, the response in.
//!
//! The protocol is the library's (`h2`); what a request does with its stream happens on the request's own task. Why not the
//! client built on it: that one has a task and a channel for each request as well, and does not say whether a stream that
//! failed may have been begun with.

mod body;
mod connection;
mod fault;
mod pool;
mod request;
mod upload;
mod wire;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

pub(crate) use body::StreamBody;
use bytes::Bytes;
use h2::{RecvStream, client::ResponseFuture};
use http::{HeaderValue, Method, Response, StatusCode, header as header_name, uri::Scheme};
pub(super) use pool::{Pool, is_agreed};
use weir_shared::table::{Server, Upstream};

use self::{
    body::Ahead,
    connection::{End, Place, Stream},
    upload::Upload,
};
use super::{
    Answer, COMMON_HEAD, Failure, Framing, Lease, Progress, RequestBody, RequestHead, interim,
    server_body::Verdict, upload::UploadError,
};
use crate::{
    affinity, body::ResponseBody, deadline::Deadline, error::ProxyError, exchange::Exchange, grpc, header,
    worker::Worker,
};

/// Sends one request to `server`, as [`super::send`] does.
pub(super) async fn send(
    exchange: &Exchange,
    upstream: &Upstream,
    server: &Server,
    lease: Lease,
    request: &RequestHead<'_>,
    body: &mut Option<RequestBody>,
    deadline: &Deadline,
) -> Result<Answer, Failure> {
    let worker = exchange.worker();
    let framing = body.as_ref().map_or(Framing::None, RequestBody::framing);
    let ends = if upload::has_content(framing) { End::Later } else { End::WithHead };
    let begun = match head(upstream, server, request, framing) {
        Ok(head) => pool::begin(worker, upstream, server, &lease, head, ends).await,
        Err(error) => Err(error),
    };
    let begun = match begun {
        Ok(_) if lease.is_cut() => Err(ProxyError::ServerDrained),
        begun => begun,
    };
    let Stream { place, response, sender } = match begun {
        Ok(stream) => stream,
        Err(error) => {
            if error == ProxyError::ServerDrained {
                lease.failed(error);
            }
            return Err(Failure { error, progress: Progress::NothingSent });
        }
    };
    let taken = body.take().unwrap_or_else(RequestBody::none);
    let upload = Upload::new(sender, taken, request.expects_continue);
    let mut call = Call { lease, place, response, upload, interims: 0 };
    match call.exchange(worker, upstream, request, deadline).await {
        Ok(head) => Ok(call.respond(exchange, (upstream, server), request, head, body)),
        Err(error) => {
            if error == ProxyError::ResponseTimeout {
                call.lease.took(upstream, worker.clock.moment());
                call.place.timed_out();
            }
            Err(call.fail(error, body))
        }
    }
}

fn head(
    upstream: &Upstream,
    server: &Server,
    request: &RequestHead<'_>,
    framing: Framing,
) -> Result<http::Request<()>, ProxyError> {
    let mut head = Vec::with_capacity(COMMON_HEAD);
    request.encode(&mut head, server, framing);
    let scheme = if upstream.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    request::from_head(&Bytes::from(head), request.method, scheme)
}

/// An attempt that has a stream.
struct Call {
    lease: Lease,
    place: Place,
    response: ResponseFuture,
    upload: Upload,
    /// Interim responses that have come.
    interims: u8,
}

impl Call {
    /// Sends the request and waits for the head of the final response, each as far as it goes without the other.
    async fn exchange(
        &mut self,
        worker: &Worker,
        upstream: &Upstream,
        request: &RequestHead<'_>,
        deadline: &Deadline,
    ) -> Result<Response<RecvStream>, ProxyError> {
        // A call says itself how long it may take; many a one answers only when it has something to tell.
        let patience = match request.call {
            Some(grpc::Call { timeout: Some(_) }) => Some(upstream.stream_idle_timeout),
            _ => request.response_timeout(upstream),
        };
        let mut is_uploading = true;
        let answer = poll_fn(|cx| {
            if is_uploading {
                match self.upload.poll(cx) {
                    Poll::Ready(Err(UploadError::Client(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(()) | Err(UploadError::Server)) => {
                        is_uploading = false;
                        if self.upload.is_done() {
                            self.lease.sent(upstream);
                        }
                        match patience {
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

    /// The head of the final response.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        request: &RequestHead<'_>,
    ) -> Poll<Result<Response<RecvStream>, ProxyError>> {
        while let Poll::Ready(Some(Ok(interim))) = self.response.poll_informational(cx) {
            if let Err(error) = self.take_interim(cx, request, interim) {
                return Poll::Ready(Err(error));
            }
        }
        Pin::new(&mut self.response).poll(cx).map_err(|error| fault::before_response(&error))
    }

    fn take_interim(
        &mut self,
        cx: &Context<'_>,
        request: &RequestHead<'_>,
        mut interim: Response<()>,
    ) -> Result<(), ProxyError> {
        self.interims += 1;
        if self.interims > interim::MOST {
            return Err(ProxyError::ResponseMalformed);
        }
        match interim.status() {
            // A client over HTTP/1.1 is told when its body is asked for.
            StatusCode::CONTINUE => {
                if self.upload.go_on() {
                    cx.waker().wake_by_ref();
                }
            }
            // RFC 9113 §8.6: there is no such thing over HTTP/2.
            StatusCode::SWITCHING_PROTOCOLS => return Err(ProxyError::ResponseMalformed),
            status => {
                let headers = interim.headers_mut();
                header::end_connection_fields(headers);
                headers.remove(header_name::CONTENT_LENGTH);
                headers.remove(header_name::TRAILER);
                request.exchange.client().relay_interim(request.version, status, headers);
            }
        }
        Ok(())
    }

    fn fail(self, error: ProxyError, body: &mut Option<RequestBody>) -> Failure {
        self.lease.failed(error);
        let progress = if error == ProxyError::StreamRefused || !self.place.may_be_sent() {
            Progress::NothingSent
        } else if self.place.is_stale() {
            Progress::SentOnReused
        } else {
            Progress::Sent
        };
        *body = Some(self.upload.into_body());
        Failure { error, progress }
    }

    fn respond(
        self,
        exchange: &Exchange,
        (upstream, server): (&Upstream, &Server),
        request: &RequestHead<'_>,
        response: Response<RecvStream>,
        rest: &mut Option<RequestBody>,
    ) -> Answer {
        let Self { lease, place, upload, .. } = self;
        let (mut head, mut content) = response.into_parts();
        let left = header::end_connection_fields(&mut head.headers);
        let ahead = if has_no_body(request.method, head.status) {
            Ahead::Whole(Bytes::new())
        } else {
            Ahead::look(&mut content)
        };
        let call_status = request.call.and_then(|_| ahead.call_status(&head.headers));
        let status = call_status.map_or(head.status.as_u16(), grpc::Status::as_http);
        let now = exchange.worker().clock.moment();
        lease.answered(upstream, status, now);
        let is_success = !upstream.is_error_status(status);
        if is_success {
            lease.took(upstream, now);
        }
        if !upload.is_done() {
            // The rest of the request is still to come: a client over HTTP/1.1 has to know that it need not be waited for.
            head.headers.insert(header_name::CONNECTION, HeaderValue::from_static("close"));
        }
        let body = if let Ahead::Whole(bytes) = ahead {
            if is_success {
                lease.succeeded();
            }
            *rest = Some(upload.into_body());
            ResponseBody::whole(bytes, lease)
        } else {
            let is_over = matches!(ahead, Ahead::Trailers(_));
            let upload = if upload.is_done() || is_over {
                *rest = Some(upload.into_body());
                None
            } else {
                Some(upload)
            };
            let verdict = if is_success { Verdict::SuccessWhenComplete } else { Verdict::Counted };
            // How the call went may be known, and taken in with the head.
            let call = request.call.filter(|_| call_status.is_none());
            let exchange = body::Exchange { lease, place, content, upload, verdict, call };
            ResponseBody::stream(StreamBody::new(exchange, ahead, left, upstream.stream_idle_timeout))
        };
        let mut response = Response::from_parts(head, body);
        if let Some(status) = call_status {
            response.extensions_mut().insert(status);
        }
        Answer { response, answered: now, affinity_tag: affinity::tag(upstream, server) }
    }
}

/// RFC 9110 §6.4.1.
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}
