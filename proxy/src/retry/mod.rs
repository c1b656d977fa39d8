//! Attempts: one server after another, until one answers or no more may be tried.
//!
//! The only place that loops over attempts. A request that was sent may have run: it is repeated only if its method is
//! idempotent (RFC 9110 §9.2.2). How many repetitions there are in all is bounded by a budget, so that failing servers are
//! not hit harder than healthy ones; going on to the next server when one cannot be connected to is not a repetition.

mod pause;
mod replay;

use std::{cell::Cell, rc::Rc};

use http::{Response, StatusCode};
pub(crate) use replay::Replay;
use weir_shared::{
    model::RetryOn,
    state::ServerFault,
    table::{Server, Upstream},
};

use crate::{
    admission::{self, Admitted},
    balance::{self, Tried},
    body::ResponseBody,
    error::ProxyError,
    exchange::Exchange,
    forward::{self, Answer, Failure, Progress, RequestBody, RequestHead},
    worker::Worker,
};

/// Sends the request to servers of `upstream` until one answers. With an error, `unread` tells whether the client still
/// has something to send.
pub(crate) async fn run(
    exchange: &Exchange,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    mut body: RequestBody,
    unread: &Cell<bool>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let worker = exchange.worker();
    let counters = upstream.state.counters.of(worker.id);
    counters.requests.add(1);
    upstream.state.retry_budgets.of(worker.id).deposit(upstream.retries.budget_percent);
    let mut tried = Tried::default();
    let mut choice = balance::Request {
        worker: worker.id,
        now: worker.coarse_moment(),
        key: balance::key_of(upstream, request),
        random: || worker.random(),
    };
    let mut waited;
    let mut upstream = upstream;
    loop {
        let (server, lease) = match admission::admit(exchange, upstream, &tried, &choice) {
            Err(ProxyError::LimitReached) => {
                let wait = admission::wait(exchange, upstream, &tried, choice.key, request);
                // Boxed, because most requests find room and would carry this through every move.
                let Admitted { upstream: current, server, lease } = Box::pin(wait).await?;
                waited = (current, server);
                upstream = &waited.0;
                choice.now = worker.coarse_moment();
                (&*waited.1, lease)
            }
            admitted => admitted?,
        };
        if !tried.is_empty() {
            counters.retries.add(1);
            server.state.counters.of(worker.id).retries.add(1);
        }
        tried.add(server);
        match forward::send(exchange, upstream, server, lease, request, body).await {
            Ok(Answer { response, body: rest, answered }) => {
                judge(worker, upstream, server, &response);
                match after_response(worker, upstream, request, &tried, response.status(), rest) {
                    // The response is dropped, and its connection with it unless it is complete.
                    Some(again) => body = again,
                    None => {
                        counters.latency.record(answered.since(exchange.began));
                        counters.count_response(response.status().as_u16());
                        return Ok(response);
                    }
                }
            }
            Err(failure) => {
                if let Some(fault) = failure.error.server_fault()
                    && !is_stale(&failure)
                {
                    server_failed(worker, upstream, server, fault);
                }
                tracing::debug!(upstream = %upstream.id, server = %server.id, error = failure.error.code(), "attempt failed");
                let error = failure.error;
                unread.set(!failure.body.is_read());
                body = match after_failure(worker, upstream, request, &tried, failure) {
                    Some(body) => body,
                    None => return Err(error),
                };
            }
        }
    }
}

/// An unused connection that the server closed for its age: the server is fine.
fn is_stale(failure: &Failure) -> bool {
    failure.progress == Progress::SentOnReused && failure.error == ProxyError::ConnectionTerminated
}

/// The body to send again after a response with `status`, if the request may be tried again.
fn after_response(
    worker: &Worker,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    tried: &Tried,
    status: StatusCode,
    rest: Option<RequestBody>,
) -> Option<RequestBody> {
    let (outcome, rest) = status_outcome(status).zip(rest)?;
    if !request.method.is_idempotent() {
        return None;
    }
    may_try_again(worker, upstream, outcome, tried, rest)
}

/// The body to send again after `failure`, if the request may be tried again.
fn after_failure(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    tried: &Tried,
    failure: Failure,
) -> Option<RequestBody> {
    let outcome = failure.error.retry_on()?;
    if failure.progress == Progress::NothingSent {
        // No server has had any work with the request yet, so that this is its first try, not a repetition.
        return may_try_another(upstream, outcome, tried, failure.body);
    }
    if !request.method.is_idempotent() {
        return None;
    }
    may_try_again(worker, upstream, outcome, tried, failure.body)
}

/// The body to send again after `outcome`, if policy and budget allow another attempt.
fn may_try_again(
    worker: &Worker,
    upstream: &Upstream,
    outcome: RetryOn,
    tried: &Tried,
    body: RequestBody,
) -> Option<RequestBody> {
    let body = may_try_another(upstream, outcome, tried, body)?;
    if !upstream.state.retry_budgets.of(worker.id).withdraw(worker.clock.moment()) {
        upstream.state.counters.of(worker.id).retries_refused.add(1);
        return None;
    }
    Some(body)
}

/// The body to send after `outcome`, if policy allows another attempt.
fn may_try_another(
    upstream: &Upstream,
    outcome: RetryOn,
    tried: &Tried,
    mut body: RequestBody,
) -> Option<RequestBody> {
    let is_allowed =
        upstream.retries.covers(outcome) && tried.count() <= usize::from(upstream.retries.attempts);
    (is_allowed && body.rewind()).then_some(body)
}

/// Takes in a response's head: its status, if it is one that counts as an error, and what the server asks for. A success
/// is one only when the body has ended.
fn judge<B>(worker: &Worker, upstream: &Upstream, server: &Server, response: &Response<B>) {
    let status = response.status();
    pause::note(worker, upstream, server, status, response.headers());
    if upstream.is_error_status(status.as_u16()) {
        server_failed(worker, upstream, server, ServerFault::Status(status.as_u16()));
    }
}

/// Takes in a failure of a server, which may eject it.
pub(crate) fn server_failed(worker: &Worker, upstream: &Upstream, server: &Server, fault: ServerFault) {
    let counters = server.state.counters.of(worker.id);
    counters.failures.add(1);
    if fault.is_unanswered() {
        counters.unanswered.add(1);
    }
    if let Some(ejected) = upstream.failed(server, fault, worker.now(), worker.random()) {
        tracing::info!(
            upstream = %upstream.id,
            server = %server.id,
            cause = %ejected.evidence,
            seconds = ejected.length.as_secs(),
            "server ejected"
        );
    }
}

/// The outcome a status stands for, if it is one that can be retried.
fn status_outcome(status: StatusCode) -> Option<RetryOn> {
    match status {
        StatusCode::BAD_GATEWAY => Some(RetryOn::Status502),
        StatusCode::SERVICE_UNAVAILABLE => Some(RetryOn::Status503),
        StatusCode::GATEWAY_TIMEOUT => Some(RetryOn::Status504),
        _ => None,
    }
}
