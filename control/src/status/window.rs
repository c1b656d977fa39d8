//! The last ten seconds of one upstream, for rates and quantiles.
//!
//! A reading every second. An upstream without traffic keeps pointing at one reading, so that ten thousand idle ones
//! cost a few megabytes; a busy one costs under 5 KB.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use weir_shared::{
    id::UpstreamId,
    state::{HistogramCounts, UpstreamState},
    table::{Eligible, Upstream, UpstreamCondition, UpstreamStatus},
    time::{Moment, Now, Timestamp},
};

/// How far back rates look.
const LENGTH: Duration = Duration::from_secs(10);
/// Most readings kept: one a second, with one to spare.
const MAX_READINGS: usize = 12;
/// Shorter spans give no meaningful rate.
const MIN_SPAN: Duration = Duration::from_millis(100);

/// What was counted up to some moment.
#[derive(Debug, Default)]
struct Reading {
    requests: u64,
    errors: u64,
    /// Sum of everything that moves when a request does.
    activity: u64,
    latency: HistogramCounts,
}

impl Reading {
    /// Reads `state`, or answers `previous` again when nothing moved since.
    fn take(state: &UpstreamState, previous: Option<&Arc<Self>>) -> Arc<Self> {
        let mut reading = Self::default();
        for worker in state.counters.iter() {
            let requests = worker.requests.value();
            let server_errors = worker.responses.last().map_or(0, |class| class.value());
            let answered: u64 = worker.responses.iter().map(|class| class.value()).sum();
            reading.requests = reading.requests.wrapping_add(requests);
            reading.errors = reading.errors.wrapping_add(server_errors).wrapping_add(worker.failures.value());
            reading.activity = reading
                .activity
                .wrapping_add(requests)
                .wrapping_add(answered)
                .wrapping_add(worker.failures.value());
        }
        if let Some(previous) = previous.filter(|previous| previous.activity == reading.activity) {
            return Arc::clone(previous);
        }
        for worker in state.counters.iter() {
            reading.latency.add(&worker.latency);
        }
        Arc::new(reading)
    }
}

/// Rates over the last ten seconds.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) rps: f64,
    pub(super) error_rate_percent: f64,
    pub(super) latency: HistogramCounts,
}

/// What is remembered of one upstream.
#[derive(Debug)]
pub(super) struct Window {
    /// Whose counters these are: an upstream deleted and created again starts anew.
    state: Arc<UpstreamState>,
    readings: VecDeque<(Moment, Arc<Reading>)>,
    condition: UpstreamCondition,
    since: Timestamp,
    /// The set the condition was taken from; the same set means the same condition.
    seen: Option<(Arc<Eligible>, usize)>,
}

/// The window of `upstream`, made if there is none.
pub(super) fn of<'a>(
    windows: &'a mut HashMap<UpstreamId, Window>,
    upstream: &Upstream,
    now: Now,
) -> &'a mut Window {
    let window = windows.entry(upstream.id.clone()).or_insert_with(|| Window::new(upstream, now));
    if !Arc::ptr_eq(&window.state, &upstream.state) {
        *window = Window::new(upstream, now);
    }
    window
}

impl Window {
    fn new(upstream: &Upstream, now: Now) -> Self {
        let status = UpstreamStatus::of(upstream, now.moment);
        Self {
            state: Arc::clone(&upstream.state),
            readings: VecDeque::new(),
            condition: status.state,
            since: upstream.state.counters_since,
            seen: None,
        }
    }

    /// Takes a reading of `upstream` at `now`.
    pub(super) fn read(&mut self, upstream: &Upstream, now: Now) {
        let reading = Reading::take(&upstream.state, self.readings.back().map(|(_, reading)| reading));
        // The oldest one kept is the last from before the window, so that the window is always covered.
        while self.readings.len() >= MAX_READINGS
            || self.readings.get(1).is_some_and(|(at, _)| now.moment.since(*at) >= LENGTH)
        {
            self.readings.pop_front();
        }
        self.readings.push_back((now.moment, reading));
        let set = (Arc::clone(&upstream.eligible(now.moment)), upstream.servers.len());
        let is_same = self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(&seen.0, &set.0) && seen.1 == set.1);
        if !is_same {
            self.state_since(UpstreamStatus::of(upstream, now.moment).state, now.wall);
            self.seen = Some(set);
        }
    }

    /// Since when the upstream is in `condition`: since now, if that is news.
    pub(super) fn state_since(&mut self, condition: UpstreamCondition, now: Timestamp) -> Timestamp {
        if self.condition != condition {
            self.condition = condition;
            self.since = now;
        }
        self.since
    }

    /// Rates from the oldest reading until `now`.
    pub(super) fn recent(&self, upstream: &Upstream, now: Now) -> Recent {
        let current = Reading::take(&upstream.state, self.readings.back().map(|(_, reading)| reading));
        let Some((start, oldest)) =
            self.readings.front().filter(|(start, _)| now.moment.since(*start) >= MIN_SPAN)
        else {
            return Recent { rps: 0.0, error_rate_percent: 0.0, latency: HistogramCounts::default() };
        };
        let requests = current.requests.wrapping_sub(oldest.requests);
        let errors = current.errors.wrapping_sub(oldest.errors);
        #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds stay far below 2^52")]
        let (requests, errors) = (requests as f64, errors as f64);
        let share = if requests > 0.0 { (errors / requests * 100.0).min(100.0) } else { 0.0 };
        Recent {
            rps: tenths(requests / now.moment.since(*start).as_secs_f64()),
            error_rate_percent: tenths(share),
            latency: current.latency.since(&oldest.latency),
        }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
