//! Hedging: a second server is asked when the first takes long, and the first good answer is taken.
//!
//! Both attempts run on the request's own task. The one that is not needed any more is dropped and its connection closed,
//! which says nothing against its server: only that it took at least so long.

use std::pin::pin;

use tokio::time::{Duration, sleep};
use weir_shared::table::{HedgeDelay, Server, Upstream};

use super::observe;
use crate::{
    admission,
    balance::{self, Tried},
    exchange::Exchange,
    forward::{self, Answer, Failure, Framing, Lease, RequestBody, RequestHead},
    grpc,
    worker::Worker,
};

/// How late the runtime's timers are on average, which count in milliseconds.
const TIMER_LATENESS: Duration = Duration::from_micros(500);

/// What came of an attempt.
pub(super) type Outcome = Result<Answer, Failure>;

/// After how long a second server may be asked; `None` = never.
pub(super) fn delay(
    worker: &Worker,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    body: Option<&RequestBody>,
) -> Option<Duration> {
    let policy = upstream.hedging?;
    let state = upstream.state.hedging.of(worker.id);
    state.deposit(policy.max_percent);
    let is_repeatable = request.method.is_idempotent() && request.upgrade.is_none();
    if !is_repeatable || body.is_some_and(|body| body.framing() != Framing::None) {
        return None;
    }
    match policy.delay {
        HedgeDelay::Fixed(delay) => Some(delay),
        HedgeDelay::Percentile(percentile) => {
            let answers = &upstream.state.counters.of(worker.id).latency;
            state.delay(answers, percentile, worker.coarse_moment())
        }
    }
}

/// Sends `request`, which has no body, to `first`, and after `delay` to another server as well. What the servers did is
/// noted already.
pub(super) async fn send(
    exchange: &Exchange,
    upstream: &Upstream,
    (first, lease): (&Server, Lease),
    request: &RequestHead<'_>,
    delay: Duration,
    tried: &mut Tried,
    choice: &balance::Request<impl Fn() -> u64>,
) -> Outcome {
    let worker = exchange.worker();
    // Neither has a body.
    let (mut none, mut none_again) = (None, None);
    let (began, deadline) = (exchange.began, &exchange.deadline);
    let mut attempt = pin!(forward::send(exchange, upstream, first, lease, request, &mut none, deadline));
    tokio::select! {
        biased;
        outcome = &mut attempt => {
            observe(worker, upstream, first, &outcome);
            return outcome;
        }
        () = sleep(delay.saturating_sub(TIMER_LATENESS)) => {}
    }
    let counters = upstream.state.counters.of(worker.id);
    let allowed = upstream.state.hedging.of(worker.id).withdraw();
    let another = allowed.then(|| admission::admit(exchange, upstream, None, tried, choice).ok()).flatten();
    let Some((second, lease)) = another.filter(|(server, _)| !tried.contains(server)) else {
        let outcome = attempt.await;
        observe(worker, upstream, first, &outcome);
        return outcome;
    };
    tried.add(second);
    counters.hedges.add(1);
    let (began_again, deadline) = (worker.clock.moment(), worker.deadline());
    let mut hedge =
        pin!(forward::send(exchange, upstream, second, lease, request, &mut none_again, &deadline));
    let (is_first, outcome) = tokio::select! {
        biased;
        outcome = &mut attempt => (true, outcome),
        outcome = &mut hedge => (false, outcome),
    };
    observe(worker, upstream, if is_first { first } else { second }, &outcome);
    let (later, since) = if is_first { (second, began_again) } else { (first, began) };
    if is_good(upstream, &outcome) {
        counters.hedges_won.add(u64::from(!is_first));
        if let Some(policy) = upstream.latency {
            let now = worker.clock.moment();
            let others = later.state.in_flight.count().saturating_sub(1);
            later.state.latency.record_given_up(now.since(since), others, now, policy.decay);
        }
        return outcome;
    }
    let last = if is_first { hedge.await } else { attempt.await };
    observe(worker, upstream, later, &last);
    counters.hedges_won.add(u64::from(is_first && is_good(upstream, &last)));
    // What a server said is worth more than the news that the other said nothing.
    if last.is_err() && outcome.is_ok() { outcome } else { last }
}

fn is_good(upstream: &Upstream, outcome: &Outcome) -> bool {
    outcome.as_ref().is_ok_and(|answer| !upstream.is_error_status(grpc::effective_status(&answer.response)))
}
