//! From the routes that operators wrote to those that requests are looked up in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, StatusCode};

use super::{
    Action, FieldEdits, FixedAnswer, NewPath, RedirectTo, Route, Routes, Split, conditions::Conditions,
    host::HostRoutes, index::Hosts,
};
use crate::{
    error::{FieldError, Pointer},
    id::{RouteId, UpstreamId},
    model::{self, Config, RouteRecord, check},
    sharing::{Change, SharedMap, changed},
    state::RouteState,
    table::{RateLimiter, Upstream, compile::retries},
    units::Span,
};

/// What routes are compiled with.
pub(in crate::table) struct Scene<'a> {
    /// The configuration.
    pub(in crate::table) config: &'a Config,
    /// Its upstreams.
    pub(in crate::table) upstreams: &'a SharedMap<UpstreamId, Upstream>,
    /// Those that were there before and are not any more.
    pub(in crate::table) removed: &'a [UpstreamId],
    /// Worker threads.
    pub(in crate::table) workers: usize,
}

/// Hosts as routes name them, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Any,
    Exact(String),
    Wildcard(String),
}

/// Compiles the routes of `scene`, taking over from `previous` whatever did not change. Adds what is wrong to `errors`.
pub(in crate::table) fn compile(
    scene: &Scene<'_>,
    previous: Option<(&Config, &Arc<Routes>)>,
    errors: &mut Vec<FieldError>,
) -> Arc<Routes> {
    let none = SharedMap::default();
    let known = previous.map_or(&none, |(config, _)| &config.routes);
    let at = Pointer::root().at("routes");
    let is_known = |id: &str| scene.config.upstreams.contains_key(id);
    if !scene.removed.is_empty() {
        for record in scene.config.routes.values() {
            check::route_references(&record.spec, is_known, &at.at(&record.spec.id), errors);
        }
    }
    let mut changes = changed(known, &scene.config.routes).peekable();
    if let (Some((_, routes)), None) = (previous, changes.peek()) {
        return Arc::clone(routes);
    }
    let mut routes = previous.map(|(_, routes)| Routes::clone(routes)).unwrap_or_default();
    let mut touched = Touched::default();
    for (id, change) in changes {
        let before = routes.by_id.get(id).cloned();
        touched.gone(id, before.as_deref());
        let record = match change {
            Change::Added(record) | Change::Replaced(_, record) => record,
            Change::Removed(_) => {
                routes.by_id.remove_mut(id);
                continue;
            }
        };
        let at = at.at(id);
        let found = errors.len();
        check::route(&record.spec, &at, errors);
        if scene.removed.is_empty() {
            check::route_references(&record.spec, is_known, &at, errors);
        }
        if errors.len() == found
            && let Some(route) = scene.route(id, record, before.as_deref())
        {
            let route = Arc::new(route);
            touched.came(&route);
            routes.by_id.insert_mut(id.clone(), route);
        }
    }
    touched.carry_out(&mut routes);
    Arc::new(routes)
}

impl Scene<'_> {
    /// `None` only for what `check` refuses.
    fn route(&self, id: &RouteId, record: &Arc<RouteRecord>, before: Option<&Route>) -> Option<Route> {
        let spec = &record.spec;
        let action = &spec.action;
        let matched = &spec.matches.path;
        let rewrite = action.rewrite.as_ref();
        let path = match rewrite.and_then(|rewrite| rewrite.path.as_ref()) {
            Some(path) => Some(NewPath::compile(path, matched)?),
            None => None,
        };
        let host = rewrite.and_then(|rewrite| rewrite.host.as_deref());
        Some(Route {
            id: id.clone(),
            action: self.action(spec)?,
            host: host.map(HeaderValue::try_from).transpose().ok()?,
            path,
            request_fields: FieldEdits::compile(action.request_headers.as_ref())?,
            response_fields: FieldEdits::compile(action.response_headers.as_ref())?,
            timeout: action.timeout.and_then(limit),
            response_timeout: action.response_timeout.map(limit),
            retries: action.retries.as_ref().map(retries),
            max_body_bytes: action.max_body_bytes.unwrap_or(0),
            rate_limits: RateLimiter::compile(
                &action.rate_limits,
                before.map(|before| before.rate_limits.as_ref()).unwrap_or_default(),
            ),
            state: before
                .map_or_else(|| Arc::new(RouteState::new(self.workers)), |before| Arc::clone(&before.state)),
            record: Arc::clone(record),
            conditions: Conditions::compile(spec)?,
        })
    }

    fn action(&self, spec: &model::Route) -> Option<Action> {
        if let Some(redirect) = &spec.action.redirect {
            let path = match &redirect.path {
                Some(path) => Some(NewPath::compile(path, &spec.matches.path)?),
                None => None,
            };
            return Some(Action::Redirect(RedirectTo {
                scheme: redirect.scheme,
                host: redirect.host.as_deref().map(Into::into),
                port: redirect.port,
                path,
                status: StatusCode::from_u16(redirect.status).ok()?,
            }));
        }
        if let Some(answer) = &spec.action.fixed_response {
            return FixedAnswer::compile(answer).map(Action::Answer);
        }
        let share = |target: &model::UpstreamRef| {
            Some((self.upstreams.get(target.upstream.as_str())?.slot, target.weight))
        };
        let shares: Option<Vec<_>> = spec.action.upstreams.iter().map(share).collect();
        Some(Action::Forward(Split::new(shares?.into_iter())))
    }
}

/// A time that is limited; `None` for `0s`, which means any.
fn limit(span: Span) -> Option<Duration> {
    Some(span.duration()).filter(|timeout| !timeout.is_zero())
}

/// What changed, by host.
#[derive(Default)]
struct Touched {
    hosts: BTreeMap<Host, Vec<Arc<Route>>>,
    gone: BTreeSet<RouteId>,
}

impl Touched {
    /// A route is not there any more, or not as it was.
    fn gone(&mut self, id: &RouteId, before: Option<&Route>) {
        for host in before.into_iter().flat_map(hosts_of) {
            self.hosts.entry(host).or_default();
        }
        self.gone.insert(id.clone());
    }

    /// A route is there.
    fn came(&mut self, route: &Arc<Route>) {
        for host in hosts_of(route) {
            self.hosts.entry(host).or_default().push(Arc::clone(route));
        }
    }

    /// Prepares the routes of every host of which something changed.
    fn carry_out(self, routes: &mut Routes) {
        for (host, came) in self.hosts {
            let present = match &host {
                Host::Any => Some(&routes.any),
                Host::Exact(name) => routes.exact.get(name.as_str()),
                Host::Wildcard(name) => routes.wildcards.get(name.as_str()),
            };
            let stay = present.into_iter().flat_map(|present| present.all());
            let stay = stay.filter(|route| !self.gone.contains(&route.id)).cloned();
            let built = HostRoutes::build(stay.chain(came).collect());
            match host {
                Host::Any => routes.any = Arc::new(built),
                Host::Exact(name) => put(&mut routes.exact, name, built),
                Host::Wildcard(name) => put(&mut routes.wildcards, name, built),
            }
        }
        let labels =
            routes.wildcards.keys().map(|name| name.bytes().filter(|byte| *byte == b'.').count() + 1);
        routes.wildcard_labels = labels.max().unwrap_or(0);
        routes.only = match routes.any.all() {
            [only] if routes.exact.is_empty() && routes.wildcards.is_empty() => {
                Some(only).filter(|only| is_unconditional(&only.record.spec)).cloned()
            }
            _ => None,
        };
    }
}

fn put(hosts: &mut Hosts, name: String, built: HostRoutes) {
    if built.all().is_empty() {
        hosts.remove(name.as_str());
    } else {
        hosts.insert(name.into_boxed_str(), Arc::new(built));
    }
}

fn is_unconditional(route: &model::Route) -> bool {
    route.matches == model::RouteMatch::default() && route.listeners.is_empty()
}

/// The hosts under which `route` is found: none if it takes no requests.
fn hosts_of(route: &Route) -> Vec<Host> {
    let spec = &route.record.spec;
    if !spec.enabled {
        return Vec::new();
    }
    let hosts = &spec.matches.hosts;
    let host = |name: &String| {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(parent) => Host::Wildcard(parent.to_owned()),
            None => Host::Exact(name),
        }
    };
    if hosts.is_empty() { vec![Host::Any] } else { hosts.iter().map(host).collect() }
}
