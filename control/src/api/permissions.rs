//! What each operation asks of its caller. One that is not listed asks for everything, and fails a test.

use http::Method;

use crate::access::{Probes, scope::Need};

/// Paths shown to anybody: they say what the program is, and nothing of this one.
const PUBLIC: [&str; 4] = ["/", "/openapi.json", "/livez", "/readyz"];

/// Paths shown to anybody if the operator says so.
const PROBES: [&str; 2] = ["/healthz", "/metrics"];

/// The documentation and what belongs to it.
const DOCS: &str = "/docs";

/// Operations for everybody who is known: what they give is worth what their caller may.
const KNOWN: [(&str, &str); 1] = [("POST", "/v1/events/ticket")];

#[rustfmt::skip]
const NEEDS: &[(&str, &str, Need)] = &[
    ("GET", "/v1/upstreams", Need::ConfigRead),
    ("POST", "/v1/upstreams", Need::ConfigWrite),
    ("GET", "/v1/upstreams/{upstream}", Need::ConfigRead),
    ("PUT", "/v1/upstreams/{upstream}", Need::ConfigWrite),
    ("PATCH", "/v1/upstreams/{upstream}", Need::ConfigWrite),
    ("DELETE", "/v1/upstreams/{upstream}", Need::ConfigWrite),
    ("GET", "/v1/upstreams/{upstream}/health", Need::HealthRead),
    ("GET", "/v1/upstreams/{upstream}/shadow", Need::HealthRead),
    ("GET", "/v1/upstreams/{upstream}/timeseries", Need::HealthRead),
    ("GET", "/v1/upstreams/{upstream}/servers", Need::ConfigRead),
    ("POST", "/v1/upstreams/{upstream}/servers", Need::ServersWrite),
    ("GET", "/v1/upstreams/{upstream}/servers/{server}", Need::ConfigRead),
    ("PUT", "/v1/upstreams/{upstream}/servers/{server}", Need::ServersWrite),
    ("PATCH", "/v1/upstreams/{upstream}/servers/{server}", Need::ServersWrite),
    ("DELETE", "/v1/upstreams/{upstream}/servers/{server}", Need::ServersWrite),
    ("GET", "/v1/upstreams/{upstream}/servers/{server}/health", Need::HealthRead),
    ("GET", "/v1/upstreams/{upstream}/servers/{server}/explain", Need::HealthRead),
    ("GET", "/v1/upstreams/{upstream}/servers/{server}/timeseries", Need::HealthRead),
    ("GET", "/v1/upstreams/{upstream}/servers/{server}/drain", Need::HealthRead),
    ("POST", "/v1/upstreams/{upstream}/servers/{server}/drain", Need::DrainWrite),
    ("DELETE", "/v1/upstreams/{upstream}/servers/{server}/drain", Need::DrainWrite),
    ("GET", "/v1/drains", Need::HealthRead),
    ("GET", "/v1/listeners", Need::ConfigRead),
    ("POST", "/v1/listeners", Need::ConfigWrite),
    ("GET", "/v1/listeners/{listener}", Need::ConfigRead),
    ("PUT", "/v1/listeners/{listener}", Need::ConfigWrite),
    ("PATCH", "/v1/listeners/{listener}", Need::ConfigWrite),
    ("DELETE", "/v1/listeners/{listener}", Need::ConfigWrite),
    ("GET", "/v1/routes", Need::ConfigRead),
    ("POST", "/v1/routes", Need::ConfigWrite),
    ("GET", "/v1/routes/{route}", Need::ConfigRead),
    ("PUT", "/v1/routes/{route}", Need::ConfigWrite),
    ("PATCH", "/v1/routes/{route}", Need::ConfigWrite),
    ("DELETE", "/v1/routes/{route}", Need::ConfigWrite),
    ("GET", "/v1/certificates", Need::ConfigRead),
    ("POST", "/v1/certificates", Need::ConfigWrite),
    ("GET", "/v1/certificates/{certificate}", Need::ConfigRead),
    ("PUT", "/v1/certificates/{certificate}", Need::ConfigWrite),
    ("PATCH", "/v1/certificates/{certificate}", Need::ConfigWrite),
    ("DELETE", "/v1/certificates/{certificate}", Need::ConfigWrite),
    ("GET", "/v1/config", Need::ConfigRead),
    ("PUT", "/v1/config", Need::ConfigWrite),
    ("POST", "/v1/config/rollback", Need::ConfigWrite),
    ("GET", "/v1/revisions", Need::ConfigRead),
    ("GET", "/v1/revisions/{revision}", Need::ConfigRead),
    ("GET", "/v1/revisions/{revision}/config", Need::ConfigRead),
    ("GET", "/v1/revisions/{revision}/diff", Need::ConfigRead),
    ("GET", "/v1/events", Need::HealthRead),
    ("GET", "/v1/health", Need::HealthRead),
    ("GET", "/v1/info", Need::HealthRead),
    ("GET", "/v1/tokens", Need::Admin),
    ("POST", "/v1/tokens", Need::Admin),
    ("GET", "/v1/tokens/{token}", Need::Admin),
    ("DELETE", "/v1/tokens/{token}", Need::Admin),
    ("POST", "/v1/tokens/{token}/rotate", Need::Admin),
    ("GET", "/v1/audit", Need::Admin),
    ("GET", "/healthz", Need::HealthRead),
    ("GET", "/metrics", Need::MetricsRead),
];

/// What a caller of `method` at the path that matches `route` must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nothing.
    Public,
    /// Who it is: there is nothing at that path, or nothing that only some may have.
    Anybody,
    /// That it may do this.
    Needs(Need),
}

/// What is asked for `method` at the path that matches `route`, or matches nothing.
pub(super) fn of(method: &Method, route: Option<&str>, probes: Probes) -> Demand {
    let Some(route) = route else { return Demand::Anybody };
    if is_public(route) || (probes == Probes::Open && PROBES.contains(&route)) {
        return Demand::Public;
    }
    if KNOWN.contains(&(method.as_str(), route)) {
        return Demand::Anybody;
    }
    Demand::Needs(listed(method, route).unwrap_or(Need::Admin))
}

/// Whether the path that matches `route` is shown to anybody.
pub(super) fn is_public(route: &str) -> bool {
    let is_docs = route == DOCS || route.strip_prefix(DOCS).is_some_and(|rest| rest.starts_with('/'));
    is_docs || PUBLIC.contains(&route)
}

fn listed(method: &Method, route: &str) -> Option<Need> {
    // Every path that answers GET answers HEAD as well.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    NEEDS.iter().find(|(listed, path, _)| *listed == method && *path == route).map(|(_, _, need)| *need)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::document;

    #[test]
    fn every_operation_has_a_need() {
        let document = serde_json::to_value(document::openapi()).unwrap();
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                if item[method.to_ascii_lowercase()].is_null() {
                    continue;
                }
                seen += 1;
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let is_free =
                    matches!(of(&method, Some(path), Probes::Guarded), Demand::Public | Demand::Anybody);
                assert!(is_free != listed(&method, path).is_some(), "{method} {path}: list what it needs");
            }
        }
        assert!(seen > 25, "{seen}");
    }

    #[test]
    fn what_is_not_listed_needs_everything() {
        let of = |method, route| of(&method, route, Probes::Guarded);
        assert_eq!(of(Method::GET, Some("/v1/new")), Demand::Needs(Need::Admin));
        assert_eq!(of(Method::DELETE, Some("/v1/config")), Demand::Needs(Need::Admin));
        assert_eq!(of(Method::HEAD, Some("/v1/config")), Demand::Needs(Need::ConfigRead));
        assert_eq!(of(Method::GET, Some("/docs/{*rest}")), Demand::Public);
        assert_eq!(of(Method::GET, Some("/docsy")), Demand::Needs(Need::Admin));
        assert_eq!(of(Method::GET, None), Demand::Anybody);
        assert_eq!(of(Method::POST, Some("/v1/events/ticket")), Demand::Anybody);
        assert_eq!(of(Method::GET, Some("/v1/events/ticket")), Demand::Needs(Need::Admin));
    }
}
