//! What every request goes through before and after its handler: a name, the guard, a place among those under way; then
//! the fields every answer carries, and problem documents in full.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use rand::RngExt;

use super::{
    Api, access, behind,
    problem::{self, Code, Problem},
    reply,
    trail::Trail,
};
use crate::access::{principal::Peer, token};

/// Requests under way at once. More are refused at once, so that a flood costs little and waits nowhere.
pub const MAX_IN_FLIGHT: usize = 64;

/// Places of these that changes leave to reads: bodies that come slowly never shut out those who watch.
const KEPT_FOR_READS: usize = 16;

/// Longest request id taken over from a caller.
const MAX_REQUEST_ID_BYTES: usize = 128;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request, here and in the history.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

/// Puts a request through.
pub async fn wrap(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let path = token::redact(request.uri().path());
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    let trail = Trail::of(&request, &id, api.clock);
    request.extensions_mut().insert(Arc::clone(&trail));
    let response = admit(&api, request, &trail, next).await;
    record(&api, &trail, &response);
    let mut response = if response.status().is_client_error() || response.status().is_server_error() {
        explain(&api, response, &path, &id)
    } else {
        response
    };
    let fields = response.headers_mut();
    reply::set(fields, REQUEST_ID, &id.0);
    if !fields.contains_key(&reply::REVISION) {
        reply::set(fields, reply::REVISION, &api.catalog.config().revision.to_string());
    }
    reply::set(fields, reply::STORE, api.catalog.report().view().state.as_str());
    fields.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    tracing::debug!(%method, path, status = response.status().as_u16(), request_id = %id.0, "request");
    response
}

/// Hands over what the audit is to say of a request that changed nothing.
fn record(api: &Api, trail: &Trail, response: &Response) {
    let code = response.extensions().get::<Problem>().map(|problem| problem.code().as_str());
    let entry = trail.end(response.status(), code, api.catalog.config().revision);
    let now = api.clock.now().moment;
    match entry {
        Some(entry) if response.status() == StatusCode::TOO_MANY_REQUESTS => {
            api.audit.note_flood(&trail.caller(), entry, now);
        }
        Some(entry) => api.audit.note(&trail.caller(), entry, now),
        None => {}
    }
}

async fn admit(api: &Api, mut request: Request, trail: &Trail, next: Next) -> Response {
    let checked = match access::peer(&request) {
        Peer::Tcp { .. } => api.guard.check(&request),
        Peer::Unix { .. } => api.guard.check_site(&request),
    };
    if let Err(problem) = checked {
        trail.refuse("cross_site");
        return problem.into_response();
    }
    if let Err(problem) = access::admit(api, &mut request, trail).await {
        return problem.into_response();
    }
    // Before it takes a place: who waits for a revision does nothing meanwhile.
    if let Err(problem) = behind::wait(api, &mut request).await {
        return problem.into_response();
    }
    // Whoever asks whether the process lives must not be told otherwise by a flood.
    let is_probe = matches!(request.uri().path(), "/livez" | "/readyz" | "/healthz");
    let kept = if request.method().is_safe() { 0 } else { KEPT_FOR_READS };
    let place = api.in_flight.try_acquire().ok().filter(|_| api.in_flight.available_permits() >= kept);
    if place.is_none() && !is_probe {
        let detail = format!("{} requests are under way already.", MAX_IN_FLIGHT - kept);
        return Problem::new(Code::RateLimited, detail).field(header::RETRY_AFTER, "1").into_response();
    }
    catching(next.run(request))
        .await
        .unwrap_or_else(|| Problem::new(Code::Internal, "The request met a fault of Weir.").into_response())
}

/// Runs `future`; answers `None` when it panics, so that one request's fault ends no other.
async fn catching<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // The future is not polled again after a panic, so that nothing sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// Puts the whole problem document into an answer that went wrong.
fn explain(api: &Api, mut response: Response, path: &str, id: &RequestId) -> Response {
    if reply::is_health_document(&response) {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.unwrap_or_else(|| Problem::of_status(response.status()));
    let (parts, _) = response.into_parts();
    let fields = problem.fields().to_vec();
    let document = problem.document(path, &id.0, api.catalog.config().revision);
    let text = serde_json::to_vec(&document).unwrap_or_default();
    let mut explained = Response::new(Body::from(text));
    *explained.status_mut() = parts.status;
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        explained.headers_mut().insert(header::ALLOW, allow.clone());
    }
    explained.headers_mut().extend(fields);
    explained.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
    explained
}

/// The caller's name for the request if it has a usable one, else a new one.
fn request_id(request: &Request) -> RequestId {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_usable = |id: &&str| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
            // It is written down in many places, where no secret belongs.
            && token::redact(id) == **id
    };
    match given.filter(is_usable) {
        Some(id) => RequestId(id.into()),
        None => RequestId(format!("{:032x}", rand::rng().random::<u128>()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_own_request_only() {
        assert_eq!(catching(async { 7 }).await, Some(7));
        let yielding = async {
            tokio::task::yield_now().await;
            panic!("a fault of a handler");
        };
        assert_eq!(catching::<()>(yielding).await, None);
    }
}
