//! From the routes that operators wrote to those that requests are looked up in.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};

use super::{
    Action, FieldEdits, FixedAnswer, NewPath, RedirectTo, Route, Routes, Split, conditions::Conditions,
    host::HostRoutes, order::Rank,
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
    check::route_totals(scene.config, errors);
    let mut routes = previous.map(|(_, routes)| Routes::clone(routes)).unwrap_or_default();
    for (id, change) in changes {
        let before = routes.by_id.get(id).cloned();
        if let Some(before) = before.as_deref() {
            at_hosts(&mut routes, before, |routes| routes.remove(before));
        }
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
            at_hosts(&mut routes, &route, |routes| routes.insert(&route));
            routes.by_id.insert_mut(id.clone(), route);
        }
    }
    routes.only = routes.single().filter(|only| is_unconditional(&only.record.spec)).cloned();
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
            rank: Rank::of(spec),
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

fn is_unconditional(route: &model::Route) -> bool {
    route.matches == model::RouteMatch::default() && route.listeners.is_empty()
}

/// Calls `edit` with the routes of every host under which `route` is found: none if it takes no requests.
fn at_hosts(routes: &mut Routes, route: &Route, edit: impl Fn(&mut HostRoutes)) {
    let spec = &route.record.spec;
    if !spec.enabled {
        return;
    }
    if spec.matches.hosts.is_empty() {
        routes.change(None, &edit);
    }
    let hosts: BTreeSet<String> = spec.matches.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    for host in &hosts {
        routes.change(Some(host), &edit);
    }
}
