//! The answers that a route gives without a server: redirects and fixed responses.

use http::{HeaderMap, HeaderValue, Response, header};
use weir_shared::{
    model::RedirectScheme,
    table::{Action, FixedAnswer, RedirectTo},
};

use crate::{
    body::ResponseBody,
    error::ProxyError,
    exchange::Exchange,
    header::{is_encrypted, write_target},
    route,
};

/// The answer that `action` gives to a client that asks `host` for `target`.
///
/// # Errors
/// There is none: the action is for a server, or leads to a host that the client has not named.
pub(crate) fn of(
    exchange: &Exchange,
    action: &Action,
    target: &str,
    host: Option<&HeaderValue>,
    headers: &HeaderMap,
) -> Result<Response<ResponseBody>, ProxyError> {
    match action {
        Action::Answer(answer) => Ok(fixed(answer)),
        Action::Redirect(to) => redirect(exchange, to, target, host, headers),
        Action::Forward(_) => Err(ProxyError::NoUpstream),
    }
}

fn fixed(answer: &FixedAnswer) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(answer.body.clone()));
    *response.status_mut() = answer.status;
    response.headers_mut().clone_from(&answer.headers);
    response
}

fn redirect(
    exchange: &Exchange,
    to: &RedirectTo,
    target: &str,
    host: Option<&HeaderValue>,
    headers: &HeaderMap,
) -> Result<Response<ResponseBody>, ProxyError> {
    let came_by = if is_encrypted(exchange, headers) { RedirectScheme::Https } else { RedirectScheme::Http };
    let location = location(to, came_by, target, host.and_then(|host| host.to_str().ok()))?;
    let mut response = Response::new(ResponseBody::full(bytes::Bytes::new()));
    *response.status_mut() = to.status;
    let location = HeaderValue::from_maybe_shared(bytes::Bytes::from(location));
    let location = location.map_err(|_| ProxyError::BadRequest("the request target is not valid"))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn location(
    to: &RedirectTo,
    came_by: RedirectScheme,
    target: &str,
    asked: Option<&str>,
) -> Result<Vec<u8>, ProxyError> {
    let (asked_name, asked_port) = authority(asked.unwrap_or_default());
    let name = to.host.as_deref().unwrap_or(asked_name);
    if name.is_empty() {
        return Err(ProxyError::BadRequest("the Host field is missing"));
    }
    let scheme = to.scheme.unwrap_or(came_by);
    let usual = match scheme {
        RedirectScheme::Http => "80",
        RedirectScheme::Https => "443",
    };
    let given = to.port.map(|port| port.to_string());
    // Another scheme is found at its usual port, the same one where it was found already.
    let asked_port = asked_port.filter(|_| to.scheme.is_none());
    let port = given.as_deref().or(asked_port).filter(|port| *port != usual);
    let mut out = Vec::with_capacity(16 + name.len() + target.len());
    out.extend_from_slice(match scheme {
        RedirectScheme::Http => b"http://".as_slice(),
        RedirectScheme::Https => b"https://",
    });
    out.extend_from_slice(name.as_bytes());
    if let Some(port) = port {
        out.push(b':');
        out.extend_from_slice(port.as_bytes());
    }
    let (path, query) = route::split(target);
    match &to.path {
        Some(new) => write_target(&mut out, &new.of(path)),
        None => write_target(&mut out, path),
    }
    if let Some(query) = query {
        out.push(b'?');
        write_target(&mut out, query);
    }
    Ok(out)
}

/// The host and the port of an authority.
fn authority(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, Some(port))
        }
        Some((name, "")) => (name, None),
        Some(_) | None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use weir_shared::table::NewPath;

    use super::*;

    fn to() -> RedirectTo {
        RedirectTo { scheme: None, host: None, port: None, path: None, status: StatusCode::FOUND }
    }

    #[test]
    fn what_is_not_said_stays_as_it_was_asked() {
        let https = RedirectTo { scheme: Some(RedirectScheme::Https), ..to() };
        let host = RedirectTo { host: Some("b.test".into()), ..to() };
        let port = RedirectTo { port: Some(8443), ..to() };
        let usual = RedirectTo { scheme: Some(RedirectScheme::Https), port: Some(443), ..to() };
        let path = RedirectTo { path: Some(NewPath::Prefix(2, "/z".into())), ..to() };
        for (to, asked, target, expected) in [
            (&https, "a.test", "/a?b=c", "https://a.test/a?b=c"),
            (&https, "a.test:8080", "/a", "https://a.test/a"),
            (&host, "a.test:8080", "/a", "http://b.test:8080/a"),
            (&host, "a.test:80", "/", "http://b.test/"),
            (&port, "a.test:8080", "/a", "http://a.test:8443/a"),
            (&usual, "a.test", "/a", "https://a.test/a"),
            (&path, "[::1]:81", "/a/b?c", "http://[::1]:81/z/b?c"),
            (&path, "[::1]", "/a/b", "http://[::1]/z/b"),
            (&https, "a.test", "//evil.test/", "https://a.test//evil.test/"),
            (&https, "a.test", "*", "https://a.test/"),
            (&https, "a.test", "/\"<>\\", "https://a.test/%22%3C%3E%5C"),
        ] {
            let found = location(to, RedirectScheme::Http, target, Some(asked)).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected);
        }
        assert!(location(&https, RedirectScheme::Http, "//evil.test/", None).is_err(), "nothing to lead to");
        assert!(location(&host, RedirectScheme::Https, "/", None).is_ok());
    }
}
