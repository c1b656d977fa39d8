//! The answers Weir gives by itself: RFC 9457 problem details with a `Proxy-Status` field (RFC 9209).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::{body::ResponseBody, error::ProxyError};

/// Media type of a problem.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The answer for `error`. Never cached, because it says nothing about the resource.
pub(crate) fn response(error: ProxyError, request_id: &str) -> Response<ResponseBody> {
    let status = error.status();
    let mut response = Response::new(ResponseBody::full(body(error, request_id)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let details = error.details().map(|details| format!("; details=\"{details}\"")).unwrap_or_default();
    if let Ok(value) = HeaderValue::try_from(format!("weir; error={}{details}", error.token())) {
        headers.insert("proxy-status", value);
    }
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert("x-request-id", value);
    }
    match error {
        ProxyError::MethodNotAllowed => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        ProxyError::NoEligibleServer
        | ProxyError::LimitReached
        | ProxyError::QueueTimeout
        | ProxyError::Exhausted => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // What is left of the request on the connection cannot be told apart from a next request.
        error if error.leaves_request_unread() => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

/// The bytes of a whole answer, for a connection whose head never became a request.
pub(crate) fn raw(status: StatusCode, error: ProxyError) -> Bytes {
    let body = body(error, "");
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nDate: {}\r\nProxy-Status: weir; error={}\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        body.len(),
        httpdate::fmt_http_date(std::time::SystemTime::now()),
        error.token(),
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body);
    Bytes::from(bytes)
}

fn body(error: ProxyError, request_id: &str) -> Bytes {
    let status = error.status();
    let detail = match error {
        ProxyError::NoUpstream => "No upstream is configured. Add one at the admin address: \
             curl --json '{\"servers\":[\"127.0.0.1:3001\"]}' http://ADMIN/v1/upstreams"
            .to_owned(),
        other => other.to_string(),
    };
    let mut problem = serde_json::json!({
        "type": format!("urn:weir:problem:{}", error.code()),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": error.code(),
        "detail": detail,
    });
    if let (Some(fields), false) = (problem.as_object_mut(), request_id.is_empty()) {
        fields.insert("request_id".to_owned(), request_id.into());
    }
    let mut text = problem.to_string();
    text.push('\n');
    Bytes::from(text)
}
