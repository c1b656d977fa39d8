//! Which route takes a request.

use std::borrow::Cow;

use http::{HeaderValue, Method, request::Parts};
use hyper::ext::Protocol;
use weir_shared::{
    path::{self, Form},
    table::{Action, NoRoute, Route, RouteRequest},
};

use crate::{error::ProxyError, exchange::Exchange, header::client_address};

/// The route that takes the request with `parts`, for `target` (in origin form, or `*`) at `host`.
///
/// # Errors
/// None does, or the path leaves it open which one should.
pub(crate) fn find<'e>(
    exchange: &'e Exchange,
    parts: &Parts,
    target: &str,
    host: Option<&HeaderValue>,
) -> Result<&'e Route, ProxyError> {
    let (path, query) = split(target);
    let client = || client_address(exchange, &parts.headers);
    let request = RouteRequest {
        listener: exchange.client().listener.id.as_str(),
        host: host.map(HeaderValue::as_bytes),
        path,
        query,
        // RFC 8441 §5: what is asked for with extended CONNECT is what is asked for with GET over HTTP/1.1.
        method: if parts.extensions.get::<Protocol>().is_some() { &Method::GET } else { &parts.method },
        headers: &parts.headers,
        client: &client,
    };
    let route = exchange.table.0.route(&request).map_err(|none| match none {
        NoRoute::Unmatched => ProxyError::NoRoute,
        NoRoute::Ambiguous => ProxyError::AmbiguousPath,
    })?;
    if changes_path(route)
        && path::form(path) == Form::Special
        && path::has_dot_segments(&path::canonical(path))
    {
        // `..` behind another beginning of the path would lead out of it.
        return Err(ProxyError::AmbiguousPath);
    }
    Ok(route)
}

/// What a server of `route` is asked for by a client that asks for `target`.
pub(crate) fn target_of<'t>(route: &Route, target: Cow<'t, str>) -> Cow<'t, str> {
    let Some(new) = route.path.as_ref().filter(|_| target != "*") else { return target };
    let (path, query) = split(&target);
    let fresh = new.of(path);
    Cow::Owned(match query {
        Some(query) => format!("{fresh}?{query}"),
        None => fresh,
    })
}

/// The path and the query of `target`. `*` is about the server as a whole, and so is its path.
pub(crate) fn split(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None if target == "*" => ("/", None),
        None => (target, None),
    }
}

fn changes_path(route: &Route) -> bool {
    match &route.action {
        Action::Forward(_) => route.path.is_some(),
        Action::Redirect(to) => to.path.is_some(),
        Action::Answer(_) => false,
    }
}
