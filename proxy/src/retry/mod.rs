//! Attempts: one server after another, until one answers or no more may be tried.
//!
//! The only place that loops over attempts. A request that was sent may have run: it is repeated only if its method is
//! idempotent (RFC 9110 §9.2.2). How many repetitions there are in all is bounded by a budget, so that failing servers are
//! not hit harder than healthy ones; going on to the next server when one cannot be connected to is not a repetition.

mod hedge;
mod load_report;
mod pause;
mod replay;

use std::{cell::Cell, rc::Rc, time::Duration};

use http::{Response, StatusCode};
pub(crate) use replay::Replay;
use weir_shared::{
    model::RetryOn,
    state::ServerFault,
    table::{Server, Upstream},
};

use crate::{
    admission::{self, Admitted},
    affinity::{self, Bond},
    balance::{self, Tried},
    body::ResponseBody,
    error::ProxyError,
    exchange::Exchange,
    forward::{self, Answer, Failure, Lease, Progress, RequestBody, RequestHead},
    grpc, shadow,
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
    upstream.state.counters.of(worker.id).requests.add(1);
    upstream.state.retry_budgets.of(worker.id).deposit(request.retries(upstream).budget_percent);
    let mut tried = Tried::default();
    // A server's own answer, an error that another server is to make good: passed on when none does. Boxed, because most
    // requests have none.
    let mut refusal = None;
    let mut hedge_after = hedge::delay(worker, upstream, request, &body);
    let mut choice = balance::Request {
        worker: worker.id,
        now: exchange.began,
        key: balance::key_of(upstream, exchange, request.headers, request.target),
        random: || worker.random(),
    };
    let bond = affinity::bond(exchange, upstream, request.headers);
    let mut waited;
    let mut upstream = upstream;
    loop {
        let bound = affinity::server(exchange, upstream, bond, &tried);
        let cookie = bound.map(std::ptr::from_ref);
        let (server, mut lease) = match admission::admit(exchange, upstream, bound, &tried, &choice) {
            // A server that has answered is not asked the same again, nor is another one waited for.
            Ok((server, _)) if refusal.is_some() && tried.contains(server) => {
                return give_up(exchange, upstream, request, bond, refusal, ProxyError::NoEligibleServer);
            }
            Err(error) if refusal.is_some() => {
                return give_up(exchange, upstream, request, bond, refusal, error);
            }
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
        shadow::follow(exchange, upstream, (server, cookie), &tried, &mut lease, request);
        note(worker, upstream, server, &mut tried);
        let sending = match hedge_after.take() {
            Some(delay) => Sending::Hedged(delay),
            None => Sending::Once(body),
        };
        let place = (server, lease);
        let outcome = attempt(exchange, upstream, place, request, sending, &mut tried, &choice).await;
        match outcome {
            Ok(mut answer) => match after_answer(worker, upstream, request, &tried, &mut answer) {
                // The refusal before is dropped, and its connection with it unless it is complete.
                Some(again) => (body, refusal) = (again, Some(Box::new(answer))),
                None => return Ok(pass_on(exchange, upstream, request, bond, answer)),
            },
            Err(failure) => {
                let error = failure.error;
                unread.set(!failure.body.is_read());
                body = match after_failure(worker, upstream, request, &tried, failure) {
                    Some(body) => body,
                    None => return give_up(exchange, upstream, request, bond, refusal, error),
                };
            }
        }
    }
}

/// Counts an attempt at `server`.
pub(crate) fn note(worker: &Worker, upstream: &Upstream, server: &Server, tried: &mut Tried) {
    if !tried.is_empty() {
        upstream.state.counters.of(worker.id).retries.add(1);
        server.state.counters.of(worker.id).retries.add(1);
    }
    tried.add(server);
}

/// How a request is sent.
enum Sending {
    /// With this body, to one server.
    Once(RequestBody),
    /// Without a body, after this time to a second server as well.
    Hedged(Duration),
}

/// One attempt, or two at once. What the servers did is noted.
async fn attempt(
    exchange: &Exchange,
    upstream: &Upstream,
    (server, lease): (&Server, Lease),
    request: &RequestHead<'_>,
    sending: Sending,
    tried: &mut Tried,
    choice: &balance::Request<impl Fn() -> u64>,
) -> Result<Answer, Failure> {
    match sending {
        Sending::Once(body) => {
            let deadline = &exchange.deadline;
            let outcome = forward::send(exchange, upstream, server, lease, request, body, deadline).await;
            observe(exchange.worker(), upstream, server, &outcome);
            outcome
        }
        // Boxed, because most requests would carry the room for two attempts for nothing.
        Sending::Hedged(delay) => {
            let place = (server, lease);
            Box::pin(hedge::send(exchange, upstream, place, request, delay, tried, choice)).await
        }
    }
}

/// Takes in what came of an attempt at `server`, for and against it.
fn observe(worker: &Worker, upstream: &Upstream, server: &Server, outcome: &Result<Answer, Failure>) {
    let failure = match outcome {
        Ok(answer) => return judge(worker, upstream, server, &answer.response),
        Err(failure) => failure,
    };
    if let Some(fault) = failure.error.server_fault()
        && !is_stale(failure)
    {
        server_failed(worker, upstream, server, fault);
    }
    tracing::debug!(upstream = %upstream.id, server = %server.id, error = failure.error.code(), "attempt failed");
}

/// The client gets `answer`.
fn pass_on(
    exchange: &Exchange,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    bond: Option<Bond>,
    mut answer: Answer,
) -> Response<ResponseBody> {
    let counters = upstream.state.counters.of(exchange.worker().id);
    counters.latency.record(answer.answered.since(exchange.began));
    counters.count_response(grpc::effective_status(&answer.response));
    load_report::strip(upstream, answer.response.headers_mut());
    affinity::bind(exchange, upstream, request, bond, &mut answer);
    answer.response
}

/// The client gets what a server said, if one said anything, else `error`.
fn give_up(
    exchange: &Exchange,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    bond: Option<Bond>,
    refusal: Option<Box<Answer>>,
    error: ProxyError,
) -> Result<Response<ResponseBody>, ProxyError> {
    refusal.map(|answer| pass_on(exchange, upstream, request, bond, *answer)).ok_or(error)
}

/// The body to send to another server after `answer`, if its status says that one should be tried.
fn after_answer(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    tried: &Tried,
    answer: &mut Answer,
) -> Option<RequestBody> {
    let call = answer.response.extensions().get::<grpc::Status>().copied();
    let outcome = match call {
        Some(status) => status.retry_on()?,
        None => status_outcome(answer.response.status())?,
    };
    // Calls are repeated on demand alone, and then whatever they do: their methods do not tell.
    let may_run_twice = call.is_some() || request.method.is_idempotent();
    let is_possible = may_run_twice && tried.count() < upstream.servers.len();
    let body = answer.body.take().filter(|_| is_possible)?;
    may_try_again(worker, upstream, request, outcome, tried, body)
}

/// An unused connection that the server closed for its age: the server is fine.
fn is_stale(failure: &Failure) -> bool {
    failure.progress == Progress::SentOnReused && failure.error == ProxyError::ConnectionTerminated
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
        return may_try_another(upstream, request, outcome, tried, failure.body);
    }
    if !request.method.is_idempotent() {
        return None;
    }
    may_try_again(worker, upstream, request, outcome, tried, failure.body)
}

/// The body to send again after `outcome`, if policy and budget allow another attempt.
fn may_try_again(
    worker: &Worker,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    outcome: RetryOn,
    tried: &Tried,
    body: RequestBody,
) -> Option<RequestBody> {
    let body = may_try_another(upstream, request, outcome, tried, body)?;
    if !upstream.state.retry_budgets.of(worker.id).withdraw(worker.clock.moment()) {
        upstream.state.counters.of(worker.id).retries_refused.add(1);
        return None;
    }
    Some(body)
}

/// The body to send after `outcome`, if policy allows another attempt.
fn may_try_another(
    upstream: &Upstream,
    request: &RequestHead<'_>,
    outcome: RetryOn,
    tried: &Tried,
    mut body: RequestBody,
) -> Option<RequestBody> {
    let policy = request.retries(upstream);
    let is_allowed = policy.covers(outcome) && tried.count() <= usize::from(policy.attempts);
    (is_allowed && body.rewind()).then_some(body)
}

/// Takes in a response's head: its status, if it is one that counts as an error, and what the server asks for. A success
/// is one only when the body has ended.
fn judge<B>(worker: &Worker, upstream: &Upstream, server: &Server, response: &Response<B>) {
    load_report::note(worker, upstream, server, response.headers());
    pause::note(worker, upstream, server, response.status(), response.headers());
    let status = grpc::effective_status(response);
    if upstream.is_error_status(status) {
        server_failed(worker, upstream, server, ServerFault::Status(status));
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
        StatusCode::INTERNAL_SERVER_ERROR => Some(RetryOn::Status500),
        StatusCode::BAD_GATEWAY => Some(RetryOn::Status502),
        StatusCode::SERVICE_UNAVAILABLE => Some(RetryOn::Status503),
        StatusCode::GATEWAY_TIMEOUT => Some(RetryOn::Status504),
        _ => None,
    }
}
