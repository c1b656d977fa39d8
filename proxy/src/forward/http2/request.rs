//! The head of a request in HTTP/2 (RFC 9113 §8.3), made from the one that an HTTP/1.1 server gets.
//!
//! What a server is told is decided in one place for both protocols, [`RequestHead::encode`]; here only its form changes.
//! The bytes are our own, so that reading them again is a matter of finding line ends; values share them.
//!
//! [`RequestHead::encode`]: crate::forward::RequestHead

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header,
    uri::{Authority, Parts, PathAndQuery, Scheme, Uri},
};

use crate::error::ProxyError;

/// Fields a request commonly has.
const COMMON_FIELDS: usize = 24;

/// The request that `head` says in HTTP/1.1.
///
/// # Errors
/// The host or the target is none that HTTP/2 has a form for.
pub(super) fn from_head(head: &Bytes, method: &Method, scheme: Scheme) -> Result<Request<()>, ProxyError> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let target = lines.next().and_then(|line| line.split(|byte| *byte == b' ').nth(1)).unwrap_or_default();
    let mut headers = HeaderMap::with_capacity(COMMON_FIELDS);
    let mut authority = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some((name, value)) = field(line) else { continue };
        let name =
            HeaderName::from_bytes(name).map_err(|_| ProxyError::BadRequest("a field is not valid"))?;
        if name == header::HOST {
            authority = Some(head.slice_ref(value));
        } else if !is_of_http1(&name) {
            let value = HeaderValue::from_maybe_shared(head.slice_ref(value));
            headers.append(name, value.map_err(|_| ProxyError::BadRequest("a field is not valid"))?);
        }
    }
    let mut request = Request::new(());
    *request.uri_mut() = uri(head.slice_ref(target), authority.unwrap_or_default(), scheme)?;
    *request.method_mut() = method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Name and value of a field line. HTTP/2 has no white space around a value (RFC 9113 §8.2.1).
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
}

fn uri(target: Bytes, authority: Bytes, scheme: Scheme) -> Result<Uri, ProxyError> {
    let mut parts = Parts::default();
    parts.scheme = Some(scheme);
    let authority = Authority::from_maybe_shared(authority);
    parts.authority = Some(authority.map_err(|_| ProxyError::BadRequest("the Host field is not valid"))?);
    let target = PathAndQuery::from_maybe_shared(target);
    parts.path_and_query =
        Some(target.map_err(|_| ProxyError::BadRequest("the request target is not valid"))?);
    Uri::from_parts(parts).map_err(|_| ProxyError::BadRequest("the request target is not valid"))
}

/// Whether HTTP/2 says it otherwise, and has no field for it (RFC 9113 §8.2.2). `TE` is only ever `trailers` here.
fn is_of_http1(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "transfer-encoding" | "upgrade" | "keep-alive" | "proxy-connection" | "http2-settings"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &'static str) -> Result<Request<()>, ProxyError> {
        from_head(&Bytes::from_static(head.as_bytes()), &Method::POST, Scheme::HTTP)
    }

    #[test]
    fn the_form_changes_and_nothing_else() {
        let request = request(
            "POST /a?b=c HTTP/1.1\r\nhost: a.example:81\r\nx-one: 1\r\nx-two: \r\nx-one: a: b \r\ncontent-length: 3\r\n\
             te: trailers\r\nconnection: te\r\nvia: 1.1 weir\r\n\r\n",
        )
        .unwrap();
        assert_eq!(request.uri(), "http://a.example:81/a?b=c");
        assert_eq!((request.method(), request.version()), (&Method::POST, Version::HTTP_2));
        let fields: Vec<(&str, &[u8])> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected: [(&str, &[u8]); 6] = [
            ("x-one", b"1"),
            ("x-one", b"a: b"),
            ("x-two", b""),
            ("content-length", b"3"),
            ("te", b"trailers"),
            ("via", b"1.1 weir"),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_is_of_http1_ends_here() {
        let request = request(
            "OPTIONS * HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        )
        .unwrap();
        assert!(request.headers().is_empty());
        assert_eq!(request.uri().path(), "*");
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for head in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nhost: a%20b\r\n\r\n"] {
            assert_eq!(
                request(head).map(drop),
                Err(ProxyError::BadRequest("the Host field is not valid")),
                "{head}"
            );
        }
    }
}
