//! Attempts: one server after another, until one answers or no more may be tried.
//!
//! The only place that loops over attempts. A request that was sent may have run: it is repeated only if its method is
//! idempotent (RFC 9110 §9.2.2). How many repetitions there are in all is bounded by a budget, so that failing servers are
//! not hit harder than healthy ones; going on to the next server when one cannot be connected to is not a repetition.

mod hedge;
mod load_report;
mod pause;
mod replay;

use std::rc::Rc;

use http::{Response, StatusCode};
pub(crate) use replay::Replay;
use weir_shared::{
    model::RetryOn,
    state::ServerFault,
    table::{Server, Upstream},
};

use crate::{
    admission::{self, Admitted, Wish},
    affinity::{self, Bond},
    balance::{self, Tried},
    body::ResponseBody,
    error::ProxyError,
    exchange::Exchange,
    forward::{self, Answer, Failure, Lease, Progress, RequestBody, RequestHead},
    grpc, shadow,
    worker::Worker,
};

/// Sends the request to servers of `upstream` until one answers. With an error, what was not read of `body` is still there.
pub(crate) async fn run(
    exchange: &Exchange,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    body: &mut Option<RequestBody>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let worker = exchange.worker();
    upstream.state.counters.of(worker.id).requests.add(1);
    upstream.state.retry_budgets.of(worker.id).deposit(request.retries(upstream).budget_percent);
    let mut tried = Tried::default();
    // A server's own answer, an error that another server is to make good: passed on when none does. Boxed, because most
    // requests have none.
    let mut refusal = None;
    let mut hedge_after = hedge::delay(worker, upstream, request, body.as_ref());
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
        let place = admission::admit(exchange, upstream, bound, &tried, &choice);
        if refusal.is_some()
            && let Some(error) = lack_of_another(&place, &tried)
        {
            return give_up(exchange, upstream, request, bond, refusal, error);
        }
        let (server, mut lease) = match place {
            Err(ProxyError::LimitReached) => {
                let wait = admission::wait(exchange, upstream, Wish(&tried, bond, choice.key), request);
                // Boxed, because most requests find room and would carry this through every move.
                let Admitted { upstream: current, server, lease } = Box::pin(wait).await?;
                waited = (current, server);
                upstream = &waited.0;
                choice.now = worker.coarse_moment();
                (&*waited.1, lease)
            }
            place => place?,
        };
        shadow::follow(exchange, upstream, (server, cookie), &tried, &mut lease, request);
        note(worker, upstream, server, &mut tried);
        // A bound client's server knows it: another one's answer would bind it there.
        let outcome = match hedge_after.take().filter(|_| cookie.is_none()) {
            None => {
                let deadline = &exchange.deadline;
                let outcome = forward::send(exchange, upstream, server, lease, request, body, deadline).await;
                observe(worker, upstream, server, &outcome);
                outcome
            }
            // Boxed, because most requests would carry the room for two attempts for nothing.
            Some(delay) => {
                let place = (server, lease);
                Box::pin(hedge::send(exchange, upstream, place, request, delay, &mut tried, &choice)).await
            }
        };
        match outcome {
            // The refusal before is dropped, and its connection with it unless it is complete.
            Ok(answer) if is_to_be_made_good(worker, upstream, request, &tried, &answer, body) => {
                refusal = Some(Box::new(answer));
            }
            Ok(answer) => return Ok(pass_on(exchange, upstream, request, bond, answer)),
            Err(failure) if may_follow(worker, upstream, request, &tried, &failure, body) => {}
            Err(failure) => return give_up(exchange, upstream, request, bond, refusal, failure.error),
        }
    }
}

/// Why `place` is none for a request that a server has refused: that one is not asked the same again, nor is another one
/// waited for.
fn lack_of_another(place: &Result<(&Server, Lease), ProxyError>, tried: &Tried) -> Option<ProxyError> {
    match place {
        Ok((server, _)) => tried.contains(server).then_some(ProxyError::NoEligibleServer),
        Err(error) => Some(*error),
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

/// Whether the status of `answer` says that another server should be tried, and one may be: then with `body`, from its start.
fn is_to_be_made_good(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    tried: &Tried,
    answer: &Answer,
    body: &mut Option<RequestBody>,
) -> bool {
    let call = answer.response.extensions().get::<grpc::Status>().copied();
    let outcome = match call {
        Some(status) => status.retry_on(),
        None => status_outcome(answer.response.status()),
    };
    let Some(outcome) = outcome else { return false };
    // Calls are repeated on demand alone, and then whatever they do: their methods do not tell.
    let may_run_twice = call.is_some() || request.method.is_idempotent();
    may_run_twice
        && tried.count() < upstream.servers.len()
        && may_try_again(worker, upstream, request, outcome, tried, body)
}

/// An unused connection that the server closed for its age: the server is fine.
fn is_stale(failure: &Failure) -> bool {
    failure.progress == Progress::SentOnReused && failure.error == ProxyError::ConnectionTerminated
}

/// Whether the request may be tried again after `failure`: then with `body`, from its start.
fn may_follow(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    tried: &Tried,
    failure: &Failure,
    body: &mut Option<RequestBody>,
) -> bool {
    let Some(outcome) = failure.error.retry_on() else { return false };
    if failure.progress == Progress::NothingSent {
        // No server has had any work with the request yet, so that this is its first try, not a repetition.
        return may_try_another(upstream, request, outcome, tried, body);
    }
    request.method.is_idempotent() && may_try_again(worker, upstream, request, outcome, tried, body)
}

/// Whether policy and budget allow another attempt after `outcome`.
fn may_try_again(
    worker: &Worker,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    outcome: RetryOn,
    tried: &Tried,
    body: &mut Option<RequestBody>,
) -> bool {
    if !may_try_another(upstream, request, outcome, tried, body) {
        return false;
    }
    let is_in_budget = upstream.state.retry_budgets.of(worker.id).withdraw(worker.clock.moment());
    if !is_in_budget {
        upstream.state.counters.of(worker.id).retries_refused.add(1);
    }
    is_in_budget
}

/// Whether policy allows another attempt after `outcome`, and `body` is at its start again for that.
fn may_try_another(
    upstream: &Upstream,
    request: &RequestHead<'_>,
    outcome: RetryOn,
    tried: &Tried,
    body: &mut Option<RequestBody>,
) -> bool {
    let policy = request.retries(upstream);
    let is_allowed = policy.covers(outcome) && tried.count() <= usize::from(policy.attempts);
    is_allowed && body.as_mut().is_some_and(RequestBody::rewind)
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
