//! Takes one request through every stage, in order.

use std::{borrow::Cow, cell::Cell};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, request::Parts};
use weir_shared::table::{Action, Route, Split, Upstream};

use crate::{
    answer,
    body::ResponseBody,
    breaker,
    connection::ClientBody,
    error::ProxyError,
    exchange::{Exchange, ExchangeGuard},
    forward::{Framing, RequestBody, RequestHead},
    grpc,
    header::{
        self,
        framing::{self, Checked},
    },
    problem, rate_limit, retry, route, split,
    time_limit::TimeLimit,
    upgrade::{self, Upgrade},
};

/// Answers the request with `head` and `body`: with a server's response, with a route's own, or with why there is none.
///
/// What stages pass on is borrowed, because each stage's future would otherwise hold it twice.
pub(crate) async fn handle(guard: ExchangeGuard, head: &Parts, body: ClientBody) -> Response<ResponseBody> {
    let exchange = Exchange::new(guard);
    let call = grpc::Call::of(&head.method, head.version, &head.headers);
    let taken = Cell::new(None);
    let outcome = forward(&exchange, head, body, call, &taken).await;
    let mut response = outcome.unwrap_or_else(|error| refuse(&exchange, taken.get(), error, call));
    if let Some(route) = taken.get() {
        route.state.counters.of(exchange.worker().id).count_response(response.status().as_u16());
    }
    finish(&exchange, &mut response, head.version);
    let stall = exchange.stall();
    response.body_mut().end(exchange.guard, stall);
    response
}

/// framing → route → split → rates → breaker → retry: pick → forward. Notes which route has `taken` the request.
async fn forward<'e>(
    exchange: &'e Exchange,
    parts: &Parts,
    body: ClientBody,
    call: Option<grpc::Call>,
    taken: &Cell<Option<&'e Route>>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let (mut checked, max_body_bytes, target) = take_in(exchange, parts, &body)?;
    if framing::hops_left(&parts.method, &parts.headers) == Some(0) {
        return Ok(answer_options());
    }
    let host = checked.host.as_ref();
    let route = route::find(exchange, parts, &target, host)?;
    taken.set(Some(route));
    let Action::Forward(split) = &route.action else {
        rate_limit::check(exchange, route, None, &parts.headers)?;
        let mut response = answer::of(exchange, &route.action, &target, host, &parts.headers)?;
        route.response_fields.apply(response.headers_mut());
        return Ok(response);
    };
    let target = route::target_of(route, target);
    let upstream = choose(exchange, split, &parts.headers, &target)?;
    let upgrade = upgrade::asked(exchange, parts, &mut checked.options, checked.framing, upstream)?;
    let head = RequestHead {
        exchange,
        route,
        method: Upgrade::method(upgrade.as_deref(), &parts.method),
        target: &target,
        host,
        headers: &parts.headers,
        options: &checked.options,
        expects_continue: checked.expectation,
        takes_trailers: checked.takes_trailers,
        version: parts.version,
        call,
        upgrade: upgrade.as_deref(),
    };
    let mut body =
        Some(RequestBody::new(body, checked.framing, body_limit(max_body_bytes, route, checked.framing)?));
    rate_limit::check(exchange, route, Some(upstream), &parts.headers)?;
    let trip = breaker::Trip::begin(exchange, upstream)?;
    let attempts = retry::run(exchange, upstream, &head, &mut body);
    let mut response = match TimeLimit::of(route, call) {
        None => attempts.await,
        // Boxed, because most requests have no limit of their own and would carry the room for this.
        Some(limit) => Box::pin(limit.hold(exchange, attempts)).await,
    };
    trip.end(&response);
    match &mut response {
        Ok(response) => complete(exchange, route, upgrade, response)?,
        Err(error) if error.status().is_server_error() => {
            upstream.state.counters.of(exchange.worker().id).failures.add(1);
        }
        Err(_) => {}
    }
    response
}

/// What a request says, the most its body may have in bytes, and its target.
///
/// # Errors
/// There is no memory for it, or it is none that can be understood in one way only.
fn take_in<'p>(
    exchange: &Exchange,
    parts: &'p Parts,
    body: &ClientBody,
) -> Result<(Checked, u64, Cow<'p, str>), ProxyError> {
    let worker = exchange.worker();
    if worker.is_short_of_memory() {
        worker.listener().requests_shed.add(1);
        return Err(ProxyError::Exhausted);
    }
    let settings = exchange.client().listener.settings();
    let checked = framing::check(parts, body, &settings.spec)?;
    if exchange.client().is_outdated(&settings, &exchange.table.0) {
        return Err(ProxyError::Misdirected);
    }
    check_direction(exchange, parts, checked.host.as_ref())?;
    Ok((checked, settings.spec.max_body_bytes, header::origin_form(&parts.uri)))
}

/// The upstream of `split` that gets the request.
fn choose<'e>(
    exchange: &'e Exchange,
    split: &Split,
    headers: &HeaderMap,
    target: &str,
) -> Result<&'e Upstream, ProxyError> {
    exchange.choose(split::choose(exchange, split, headers, target).ok_or(ProxyError::NoUpstream)?);
    exchange.upstream().map(AsRef::as_ref).ok_or(ProxyError::NoUpstream)
}

/// The most that may come of a body, in bytes; 0 = any number.
fn body_limit(of_listener: u64, route: &Route, framing: Framing) -> Result<u64, ProxyError> {
    if let Framing::Length(length) = framing
        && route.max_body_bytes != 0
        && length > route.max_body_bytes
    {
        return Err(ProxyError::BodyTooLarge);
    }
    Ok([of_listener, route.max_body_bytes].into_iter().filter(|limit| *limit != 0).min().unwrap_or(0))
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
    route: &Route,
    upgrade: Option<Box<Upgrade>>,
    response: &mut Response<ResponseBody>,
) -> Result<(), ProxyError> {
    if response.status() == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6: it has no length, whatever the server said.
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    route.response_fields.apply(response.headers_mut());
    upgrade.map_or(Ok(()), |upgrade| upgrade.conclude(exchange.client(), response))
}

fn refuse(
    exchange: &Exchange,
    route: Option<&Route>,
    error: ProxyError,
    call: Option<grpc::Call>,
) -> Response<ResponseBody> {
    let counters = exchange.worker().listener();
    match error {
        ProxyError::ClientTimeout => counters.client_timeouts.add(1),
        ProxyError::ClientAborted => counters.client_aborts.add(1),
        error if error.status().is_client_error() => counters.requests_refused.add(1),
        _ => {}
    }
    tracing::debug!(
        error = error.code(),
        request_id = exchange.request_id().as_str(),
        "request not answered by a server"
    );
    let mut response = match call {
        Some(_) => grpc::refusal(error, exchange.request_id().as_str()),
        None => problem::response(error, exchange.request_id().as_str()),
    };
    let upstream = exchange.upstream().map(AsRef::as_ref);
    rate_limit::tell(response.headers_mut(), route, upstream, exchange.refusal());
    response
}

/// What every response needs, whoever made it.
fn finish(exchange: &Exchange, response: &mut Response<ResponseBody>, version: Version) {
    let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    rate_limit::tell_left(exchange, headers);
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
