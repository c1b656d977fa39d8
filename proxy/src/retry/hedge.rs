//! Hedging: a second server is asked when the first takes long, and the first good answer is taken.
//!
//! Both attempts run on the request's own task. The one that is not needed any more is dropped and its connection closed,
//! which says nothing against its server: only that it took at least so long. Few servers stop work that nobody waits for, so
//! that it counts as in flight for as long as it will probably take: a slow server would else look idle and be swamped.

use std::{pin::pin, sync::Arc};

use tokio::{
    task::spawn_local,
    time::{Duration, sleep},
};
use weir_shared::{
    state::{HedgeTime, ServerState, UpstreamState},
    table::{HedgeDelay, LatencyPolicy, Server, Upstream},
    time::Moment,
};

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

/// Longest time that what nobody waits for counts as in flight.
const LONGEST_WORK: Duration = Duration::from_secs(10);

/// What came of an attempt.
pub(super) type Outcome = Result<Answer, Failure>;

/// How long a request waits for its first server alone.
#[derive(Clone, Copy)]
pub(super) enum Delay {
    /// Always so long.
    Fixed(Duration),
    /// As long as most requests take, or less if the server is a slow one.
    Usual(Duration),
}

/// After how long a second server may be asked; `None` = never.
pub(super) fn delay(
    worker: &Worker,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    body: Option<&RequestBody>,
) -> Option<Delay> {
    let policy = upstream.hedging?;
    let state = upstream.state.hedging.of(worker.id);
    state.deposit(policy.max_percent);
    let is_repeatable = request.method.is_idempotent() && request.upgrade.is_none();
    if !is_repeatable || body.is_some_and(|body| body.framing() != Framing::None) {
        return None;
    }
    match policy.delay {
        HedgeDelay::Fixed(delay) => Some(Delay::Fixed(delay)),
        HedgeDelay::Percentile(percentile) => {
            let answers = &upstream.state.counters.of(worker.id).latency;
            let share = (percentile, policy.max_percent);
            state.delay(answers, share, worker.coarse_moment()).map(Delay::Usual)
        }
    }
}

/// How long `server` has for itself.
fn time(worker: &Worker, upstream: &Upstream, server: &Server, delay: Delay) -> HedgeTime {
    match delay {
        Delay::Fixed(delay) => HedgeTime { delay, is_early: false },
        Delay::Usual(delay) => {
            let measured =
                |policy: LatencyPolicy| server.state.latency.average(worker.coarse_moment(), policy.decay);
            upstream.state.hedging.of(worker.id).time(delay, upstream.latency.and_then(measured))
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
    delay: Delay,
    tried: &mut Tried,
    choice: &balance::Request<impl Fn() -> u64>,
) -> Outcome {
    let worker = exchange.worker();
    // Neither has a body.
    let (mut none, mut none_again) = (None, None);
    let HedgeTime { delay, is_early } = time(worker, upstream, first, delay);
    // Not from when the request came: it may have waited for a place.
    let (began, deadline) = (lease.began(), &exchange.deadline);
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
    let hedging = upstream.state.hedging.of(worker.id);
    let allowed = hedging.withdraw();
    let another = allowed.then(|| admission::admit(exchange, upstream, None, tried, choice).ok()).flatten();
    let Some((second, lease)) = another.filter(|(server, _)| !tried.contains(server)) else {
        let outcome = attempt.await;
        observe(worker, upstream, first, &outcome);
        return outcome;
    };
    tried.add(second);
    counters.hedges.add(1);
    if is_early {
        hedging.asked_early();
    }
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
        give_up(worker, upstream, later, since);
        return outcome;
    }
    let last = if is_first { hedge.await } else { attempt.await };
    observe(worker, upstream, later, &last);
    counters.hedges_won.add(u64::from(is_first && is_good(upstream, &last)));
    // What a server said is worth more than the news that the other said nothing.
    if last.is_err() && outcome.is_ok() { outcome } else { last }
}

/// Takes in that the answer of `server` is not waited for any more, which was asked `since` then.
fn give_up(worker: &Worker, upstream: &Upstream, server: &Server, since: Moment) {
    let Some(policy) = upstream.latency else { return };
    let (state, now) = (&server.state, worker.clock.moment());
    let others = state.in_flight.count().saturating_sub(1);
    state.latency.record_given_up(now.since(since), others, now, policy.decay);
    let rest = state.latency.average(now, policy.decay).unwrap_or_default();
    let rest = Duration::try_from_secs_f32(rest / 1e6).unwrap_or_default().min(LONGEST_WORK);
    state.in_flight.start();
    let limited = upstream.limits.is_some().then(|| Arc::clone(&upstream.state));
    let unwanted = Unwanted { server: Arc::clone(state), limited };
    // Owned by the local set, which ends with the worker. There are no more of these than hedges in so much time.
    spawn_local(async move {
        sleep(rest).await;
        drop(unwanted);
    });
}

/// A request in flight whose answer nobody waits for.
struct Unwanted {
    server: Arc<ServerState>,
    /// Where requests wait for a place, if there are limits.
    limited: Option<Arc<UpstreamState>>,
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.server.in_flight.end();
        if let Some(upstream) = &self.limited {
            upstream.queue.place_free();
        }
    }
}

fn is_good(upstream: &Upstream, outcome: &Outcome) -> bool {
    outcome.as_ref().is_ok_and(|answer| !upstream.is_error_status(grpc::effective_status(&answer.response)))
}
