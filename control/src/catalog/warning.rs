//! What is allowed and probably not meant.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_shared::{
    id::Revision,
    model::{AdminState, Config, UpstreamRecord, UpstreamTls},
};

use crate::error::Loss;

/// Something that is allowed and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConfigWarning, example = json!({
    "path": "/routes/default", "detail": "it sends to no upstream: its requests are answered 503"
}))]
pub struct Warning {
    /// The place, as in a diff.
    pub path: String,
    /// What will come of it.
    pub detail: String,
}

impl Warning {
    /// That the change is refused until the revision in force, `confirm`, is named, for what would be lost.
    #[must_use]
    pub fn of_loss(Loss { upstream, removed, of }: &Loss, confirm: Revision) -> Self {
        let detail = format!("{removed} of {of} servers would go: refused without ?confirm={confirm}");
        Self { path: format!("/upstreams/{upstream}"), detail }
    }
}

/// What is probably not meant in `config`. `bound` are routes that were bound because nothing was said of them, which is what
/// is meant where there is one upstream.
#[must_use]
pub fn warnings(config: &Config, bound: &[String]) -> Vec<Warning> {
    let mut found = Vec::new();
    for route in config.routes.values().map(|record| &record.spec).filter(|route| route.enabled) {
        let path = format!("/routes/{}", route.id);
        let action = &route.action;
        if action.redirect.is_some() || action.fixed_response.is_some() {
            continue;
        }
        if action.upstreams.iter().all(|target| target.weight == 0) {
            let detail = "it sends to no upstream: its requests are answered 503".to_owned();
            found.push(Warning { path, detail });
            continue;
        }
        let is_guess = bound.contains(&route.id) && config.upstreams.size() > 1;
        if let Some(target) = action.upstreams.first().filter(|_| is_guess) {
            let detail = format!(
                "nothing was said of routes: it sends to \"{}\" now, which is new, and not to the others",
                target.upstream
            );
            found.push(Warning { path, detail });
        }
        for target in action.upstreams.iter().filter(|target| target.weight > 0) {
            let upstream = config.upstreams.get(target.upstream.as_str());
            if upstream.is_some_and(|upstream| !takes_requests(upstream)) {
                let path = format!("/upstreams/{}", target.upstream);
                let detail =
                    format!("no server takes requests: those of the route \"{}\" are answered 503", route.id);
                found.push(Warning { path, detail });
            }
        }
    }
    for upstream in config.upstreams.values().map(|record| &record.spec) {
        let is_meant = upstream.tls != UpstreamTls::default();
        if is_meant && !upstream.tls.enabled {
            let path = format!("/upstreams/{}/tls", upstream.id);
            let detail = "it is not `enabled`: its servers are spoken to in plain text".to_owned();
            found.push(Warning { path, detail });
        }
    }
    for listener in config.listeners.values().map(|record| &record.spec) {
        let Some(id) = &listener.upstream else { continue };
        if config.upstreams.get(id.as_str()).is_some_and(|upstream| !takes_requests(upstream)) {
            let path = format!("/upstreams/{id}");
            let detail =
                format!("no server takes connections: those of the listener \"{}\" are reset", listener.id);
            found.push(Warning { path, detail });
        }
    }
    found
}

fn takes_requests(upstream: &UpstreamRecord) -> bool {
    let servers = upstream.servers.iter().map(|record| &record.server);
    servers.into_iter().any(|server| server.weight > 0 && server.admin_state == AdminState::Ready)
}
