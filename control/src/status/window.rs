//! What is remembered of one upstream: the last ten seconds for rates and quantiles, an hour of points to draw, how many
//! servers are in which state, and since when it is in its own.
//!
//! Read every second. An upstream without traffic keeps pointing at one reading and has no points yet, so that ten
//! thousand idle ones cost a few megabytes; one with traffic costs 15 KiB of points and up to 8 KiB of readings.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use weir_shared::{
    id::{ServerId, UpstreamId},
    state::{HistogramCounts, ServerState, ServerTotals, UpstreamState, UpstreamTotals},
    table::{Upstream, UpstreamCondition, UpstreamStatus},
    time::{Moment, Now, Timestamp},
};

use super::{
    counts::{Counted, StateCounts},
    series::{Gauges, Reading, Series},
};

/// How far back rates look.
const LENGTH: Duration = Duration::from_secs(10);
/// Most readings kept: one a second, with one to spare.
const MAX_READINGS: usize = 12;
/// Shorter spans give no meaningful rate.
const MIN_SPAN: Duration = Duration::from_millis(100);

/// Which points are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Of upstreams that have had a request: there are very many.
    Busy,
    /// Of all upstreams.
    Upstreams,
    /// Of all upstreams and servers.
    Servers,
}

/// What was counted at a moment.
#[derive(Debug)]
struct Sample {
    at: Moment,
    /// Sum of everything that moves when a request does.
    activity: u64,
    reading: Arc<Reading>,
}

impl Sample {
    /// Reads `state`, or points at the reading of `previous` again when nothing moved since.
    fn take(state: &UpstreamState, previous: Option<&Self>, at: Moment) -> Self {
        let mut activity = 0_u64;
        for worker in state.counters.iter() {
            let answered = worker.responses.iter().map(|class| class.value());
            let moved = [worker.requests.value(), worker.failures.value()].into_iter().chain(answered);
            activity = moved.fold(activity, u64::wrapping_add);
        }
        let reading = match previous.filter(|previous| previous.activity == activity) {
            Some(previous) => Arc::clone(&previous.reading),
            None => Arc::new(Reading::from(UpstreamTotals::sum(&state.counters))),
        };
        Self { at, activity, reading }
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
    samples: VecDeque<Sample>,
    /// Requests under way when last looked at.
    in_flight: u32,
    series: Option<Box<Series>>,
    /// Series of its servers, with the state each is read from.
    servers: HashMap<ServerId, (Arc<ServerState>, ServerSeries)>,
    counted: Option<Counted>,
    condition: UpstreamCondition,
    since: Timestamp,
}

#[derive(Debug)]
struct ServerSeries {
    last: Arc<Reading>,
    series: Box<Series>,
}

/// The window of `upstream`, made if there is none.
pub(super) fn of<'a>(
    windows: &'a mut HashMap<UpstreamId, Window>,
    upstream: &Upstream,
    now: Now,
) -> &'a mut Window {
    // Looked up twice, because an entry would need a copy of the id for each of thousands that are there.
    let is_known = |window: &Window| Arc::ptr_eq(&window.state, &upstream.state);
    if !windows.get(&upstream.id).is_some_and(is_known) {
        windows.remove(&upstream.id);
    }
    windows.entry(upstream.id.clone()).or_insert_with(|| Window::new(upstream, now))
}

impl Window {
    fn new(upstream: &Upstream, now: Now) -> Self {
        let status = UpstreamStatus::of(upstream, now.moment);
        Self {
            state: Arc::clone(&upstream.state),
            samples: VecDeque::new(),
            in_flight: 0,
            series: None,
            servers: HashMap::new(),
            counted: None,
            condition: status.state,
            since: upstream.state.counters_since,
        }
    }

    /// Takes a reading of `upstream` at `now`.
    pub(super) fn read(&mut self, upstream: &Arc<Upstream>, detail: Detail, now: Now) {
        let sample = Sample::take(&upstream.state, self.samples.back(), now.moment);
        let is_idle = self.samples.back().is_some_and(|last| last.activity == sample.activity);
        self.counts(upstream, now);
        // The servers of an upstream without traffic need not be asked.
        if !is_idle || self.in_flight > 0 {
            self.in_flight = upstream.servers.iter().map(|server| server.state.in_flight.count()).sum();
        }
        if self.series.is_none() && (sample.activity > 0 || detail != Detail::Busy) {
            let base = self.samples.back().unwrap_or(&sample);
            self.series = Some(Box::new(Series::new(base.at, Arc::clone(&base.reading))));
        }
        if let Some(series) = &mut self.series {
            let eligible = u32::try_from(upstream.eligible(now.moment).healthy).unwrap_or(u32::MAX);
            series.read(now.moment, &sample.reading, Gauges { in_flight: self.in_flight, eligible });
        }
        self.read_servers(upstream, detail, now);
        // The oldest one kept is the last from before the window, so that the window is always covered.
        while self.samples.len() >= MAX_READINGS
            || self.samples.get(1).is_some_and(|sample| now.moment.since(sample.at) >= LENGTH)
        {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn read_servers(&mut self, upstream: &Upstream, detail: Detail, now: Now) {
        if detail != Detail::Servers {
            self.servers = HashMap::new();
            return;
        }
        for server in &upstream.servers {
            let totals = ServerTotals::sum(&server.state.counters);
            let known =
                self.servers.get_mut(&server.id).filter(|(state, _)| Arc::ptr_eq(state, &server.state));
            let Some((_, known)) = known else {
                let last = Arc::new(Reading::from(totals));
                let series = Box::new(Series::new(now.moment, Arc::clone(&last)));
                let fresh = (Arc::clone(&server.state), ServerSeries { last, series });
                self.servers.insert(server.id.clone(), fresh);
                continue;
            };
            let reading = Reading::from(totals);
            if !reading.is_same(&known.last) {
                known.last = Arc::new(reading);
            }
            let is_ejected = server.state.outlier.is_ejected(now.moment);
            let is_eligible = server.is_wanted() && server.state.health.is_healthy() && !is_ejected;
            let gauges =
                Gauges { in_flight: server.state.in_flight.count(), eligible: u32::from(is_eligible) };
            known.series.read(now.moment, &known.last, gauges);
        }
        if self.servers.len() > upstream.servers.len() {
            self.servers.retain(|id, _| upstream.server(id.as_str()).is_some());
        }
    }

    /// The points of the upstream, once there are some.
    pub(super) fn series(&self) -> Option<&Series> {
        self.series.as_deref()
    }

    /// The points of the server named `id`.
    pub(super) fn server_series(&self, id: &ServerId) -> Option<&Series> {
        self.servers.get(id).map(|(_, server)| server.series.as_ref())
    }

    /// How many servers of `upstream` are in which state.
    pub(super) fn counts(&mut self, upstream: &Arc<Upstream>, now: Now) -> StateCounts {
        if let Some(counted) = &self.counted
            && counted.holds(upstream, now.moment)
        {
            return counted.counts;
        }
        let counted = Counted::of(upstream, now.moment);
        let counts = counted.counts;
        self.counted = Some(counted);
        self.state_since(UpstreamStatus::of(upstream, now.moment).state, now.wall);
        counts
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
        let current = Sample::take(&upstream.state, self.samples.back(), now.moment).reading;
        let Some(oldest) = self.samples.front().filter(|oldest| now.moment.since(oldest.at) >= MIN_SPAN)
        else {
            return Recent { rps: 0.0, error_rate_percent: 0.0, latency: HistogramCounts::default() };
        };
        let requests = current.requests.wrapping_sub(oldest.reading.requests);
        let errors = current.errors.wrapping_sub(oldest.reading.errors);
        #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds stay far below 2^52")]
        let (requests, errors) = (requests as f64, errors as f64);
        let share = if requests > 0.0 { (errors / requests * 100.0).min(100.0) } else { 0.0 };
        Recent {
            rps: tenths(requests / now.moment.since(oldest.at).as_secs_f64()),
            error_rate_percent: tenths(share),
            latency: current.latency.since(&oldest.reading.latency),
        }
    }
}

pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
