//! A route as the API shows it: what the operator wrote, what Weir notes, and whether it works.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{
    model::{Config, Meta, Route, RouteRecord, rival},
    path,
};

/// Whether a route works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RouteState)]
pub(super) enum State {
    /// It takes requests.
    Ok,
    /// It sends to no upstream; its requests are answered 503.
    Unbound,
    /// None of the listeners it names is there; it takes no requests.
    Unresolved,
    /// Another route says the same and takes all of its requests, for some host at least.
    Conflicted,
    /// It is switched off.
    Disabled,
}

impl State {
    /// The state as a word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unbound => "unbound",
            Self::Unresolved => "unresolved",
            Self::Conflicted => "conflicted",
            Self::Disabled => "disabled",
        }
    }
}

/// Whether a route works.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RouteStatus)]
pub(super) struct Status {
    /// The state.
    state: State,
    /// Why it is not `ok`, for a person.
    #[schema(nullable)]
    reason: Option<String>,
}

/// A route with what Weir notes of it, and whether it works.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RouteResource)]
pub(super) struct RouteView {
    /// What the operator wrote.
    #[serde(flatten)]
    route: Route,
    /// What Weir notes.
    #[serde(flatten)]
    meta: Meta,
    /// Whether it works.
    status: Status,
}

impl RouteView {
    /// The route of `record` among those of `config`.
    pub(super) fn of(record: &Arc<RouteRecord>, config: &Config) -> Self {
        let others = config.routes.values().map(|record| &record.spec);
        Self::new(record, rival(&record.spec, others), config)
    }

    fn new(record: &RouteRecord, rival: Option<&Route>, config: &Config) -> Self {
        let status = status(&record.spec, rival, |id| config.listeners.contains_key(id));
        Self { route: record.spec.clone(), meta: record.meta, status }
    }

    pub(super) fn id(&self) -> &str {
        &self.route.id
    }

    pub(super) fn state(&self) -> State {
        self.status.state
    }
}

/// What two routes that say the same have in common, and others mostly have not.
type Key = (i32, usize, usize, String);

/// Tells the states of many routes of one configuration.
pub(super) struct States<'a> {
    /// The routes by what is quickly compared of those that say the same.
    alike: HashMap<Key, Vec<&'a Route>>,
    config: &'a Config,
}

impl<'a> States<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        let mut alike: HashMap<_, Vec<&Route>> = HashMap::new();
        for record in config.routes.values() {
            alike.entry(key(&record.spec)).or_default().push(&record.spec);
        }
        Self { alike, config }
    }

    pub(super) fn view(&self, record: &'a RouteRecord) -> RouteView {
        let others = self.alike.get(&key(&record.spec)).into_iter().flatten().copied();
        RouteView::new(record, rival(&record.spec, others), self.config)
    }
}

fn key(route: &Route) -> Key {
    let matches = &route.matches;
    let value = path::canonical(&matches.path.value);
    let value = path::without_last_slash(&value).to_owned();
    (route.priority, matches.headers.len(), matches.query.len(), value)
}

fn status(route: &Route, rival: Option<&Route>, has_listener: impl Fn(&str) -> bool) -> Status {
    let action = &route.action;
    let forwards = action.redirect.is_none() && action.fixed_response.is_none();
    let (state, reason) = if !route.enabled {
        (State::Disabled, Some("it is switched off: set `enabled`".to_owned()))
    } else if !route.listeners.is_empty() && !route.listeners.iter().any(|id| has_listener(id)) {
        let names = route.listeners.join("\", \"");
        (State::Unresolved, Some(format!("it takes no requests: there is no listener \"{names}\"")))
    } else if let Some(rival) = rival {
        let reason = format!(
            "the route \"{}\" has the same match, and an id that comes first: it takes the requests",
            rival.id
        );
        (State::Conflicted, Some(reason))
    } else if forwards && action.upstreams.iter().all(|target| target.weight == 0) {
        (State::Unbound, Some("it sends to no upstream: its requests are answered 503".to_owned()))
    } else {
        (State::Ok, None)
    };
    Status { state, reason }
}
