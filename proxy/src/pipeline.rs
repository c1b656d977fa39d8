//! Takes one request through every stage, in order.

use std::{cell::Cell, convert::Infallible};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, request::Parts};
use hyper::body::{Body, Incoming};

use crate::{
    body::ResponseBody,
    breaker,
    connection::Changed,
    error::ProxyError,
    exchange::{Exchange, ExchangeGuard},
    forward::{RequestBody, RequestHead},
    grpc,
    header::{self, ConnectionOptions, framing},
    problem, rate_limit, retry,
    upgrade::{self, Upgrade},
};

/// Answers `request`: with a server's response, or with why there is none.
///
/// Never fails: the error is for the library, which calls this as it is. What stages pass on is taken apart here and
/// borrowed from then on, because each stage's future would otherwise hold it twice.
pub(crate) async fn handle(
    guard: ExchangeGuard,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let exchange = Exchange::new(guard);
    let (head, body) = request.into_parts();
    let unread = Cell::new(!body.is_end_stream());
    let call = grpc::Call::of(&head.method, head.version, &head.headers);
    let outcome = forward(&exchange, &head, body, call, &unread).await;
    let mut response = outcome.unwrap_or_else(|error| {
        let mut response = refuse(&exchange, error, call);
        if unread.get() {
            // What is left of the body is not waited for.
            response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    });
    finish(&exchange, &mut response, head.version);
    let stall = exchange.stall();
    Ok(response.map(|body| body.ending(exchange.guard, stall)))
}

/// framing → route → rates → breaker → retry: pick → forward.
async fn forward(
    exchange: &Exchange,
    parts: &Parts,
    body: Incoming,
    call: Option<grpc::Call>,
    unread: &Cell<bool>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let worker = exchange.worker();
    if worker.is_short_of_memory() {
        worker.listener().requests_shed.add(1);
        return Err(ProxyError::Exhausted);
    }
    let (checked, max_body_bytes) = {
        let settings = exchange.client().listener.settings();
        (framing::check(parts, &body, &settings.spec)?, settings.spec.max_body_bytes)
    };
    check_direction(exchange, parts, checked.host.as_ref())?;
    let changed = exchange.client().changed();
    if changed == Changed::Fragment {
        return Err(ProxyError::BadRequest("the request target has a fragment"));
    }
    if framing::hops_left(&parts.method, &parts.headers) == Some(0) {
        return Ok(answer_options());
    }
    let route = exchange.table.0.route();
    let upstream = route.upstream.as_ref().ok_or(ProxyError::NoUpstream)?;
    let mut options = ConnectionOptions::of(&parts.headers);
    let upgrade = upgrade::asked(exchange, parts, &mut options, checked.framing, upstream)?;
    let target = header::origin_form(&parts.uri, changed);
    let head = RequestHead {
        exchange,
        method: Upgrade::method(upgrade.as_deref(), &parts.method),
        target: &target,
        host: checked.host.as_ref(),
        headers: &parts.headers,
        options: &options,
        expects_continue: checked.expectation,
        version: parts.version,
        call,
        upgrade: upgrade.as_deref(),
    };
    let body = RequestBody::new(body, checked.framing, max_body_bytes);
    rate_limit::check(exchange, upstream, &parts.headers)?;
    let trip = breaker::Trip::begin(exchange, upstream)?;
    let mut response = match call.and_then(|call| call.timeout) {
        None => retry::run(exchange, upstream, &head, body, unread).await,
        Some(timeout) => {
            let deadline = worker.deadline();
            deadline.set(worker.after(timeout));
            // Boxed, because most requests have no deadline of their own and would carry the room for this.
            let answer = Box::pin(retry::run(exchange, upstream, &head, body, unread));
            let answer = grpc::within(&deadline, answer).await;
            answer.map(|response| response.map(|body| body.until(deadline)))
        }
    };
    trip.end(&response);
    if let Err(error) = &response
        && error.status().is_server_error()
    {
        upstream.state.counters.of(exchange.worker().id).failures.add(1);
    }
    if let Ok(response) = &mut response {
        complete(exchange, upgrade, response)?;
    }
    response
}

/// RFC 9110 §7.4, §15.5.20: what is asked for over a connection is what the connection was secured for. Behind a balancer
/// that is trusted, a connection in plain text may be the end of one that is not.
fn check_direction(exchange: &Exchange, parts: &Parts, host: Option<&HeaderValue>) -> Result<(), ProxyError> {
    let client = exchange.client();
    let scheme = parts.uri.scheme_str();
    let is_misdirected = match client.secured() {
        Some(secured) => scheme == Some("http") || host.is_some_and(|host| !secured.serves(host.as_bytes())),
        None => scheme == Some("https") && !client.is_trusted,
    };
    if is_misdirected { Err(ProxyError::Misdirected) } else { Ok(()) }
}

/// RFC 9110 §7.6.2: an OPTIONS request that may go no further is answered here, for the proxy itself.
fn answer_options() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    response.headers_mut().insert(http::header::ALLOW, allowed);
    response
}

/// Makes the head of a server's response one that the client is to have.
fn complete(
    exchange: &Exchange,
    upgrade: Option<Box<Upgrade>>,
    response: &mut Response<ResponseBody>,
) -> Result<(), ProxyError> {
    if response.status() == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6: it has no length, whatever the server said.
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    upgrade.map_or(Ok(()), |upgrade| upgrade.conclude(exchange.client(), response))
}

fn refuse(exchange: &Exchange, error: ProxyError, call: Option<grpc::Call>) -> Response<ResponseBody> {
    let counters = exchange.worker().listener();
    match error {
        ProxyError::ClientTimeout => counters.client_timeouts.add(1),
        ProxyError::ClientAborted => counters.client_aborts.add(1),
        error if error.status().is_client_error() => counters.requests_refused.add(1),
        _ => {}
    }
    tracing::debug!(
        error = error.code(),
        request_id = exchange.request_id(),
        "request not answered by a server"
    );
    let mut response = match call {
        Some(_) => grpc::refusal(error, exchange.request_id()),
        None => problem::response(error, exchange.request_id()),
    };
    let upstream = exchange.table.0.route().upstream.as_deref();
    rate_limit::tell(response.headers_mut(), upstream, exchange.refusal());
    response
}

/// What every response needs, whoever made it.
fn finish(exchange: &Exchange, response: &mut Response<ResponseBody>, version: Version) {
    let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    if version == Version::HTTP_2 {
        // RFC 9113 §8.2.2: fields of the connection have no place in HTTP/2.
        for name in
            [http::header::CONNECTION, HeaderName::from_static("keep-alive"), http::header::TRANSFER_ENCODING]
        {
            headers.remove(name);
        }
    } else if exchange.client().is_draining() && !is_switched {
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
}
