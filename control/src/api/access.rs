//! Says for each request who makes it and whether that one may, before anything else is done for it.
//!
//! Whoever is not known gets one answer, whatever was wrong: it tells a guesser nothing. The audit has the reason.

use std::net::IpAddr;

use axum::{
    RequestExt,
    extract::{MatchedPath, RawPathParams, Request},
};
use http::{HeaderMap, Method, Uri, header};

use super::{
    Api,
    params::Params,
    permissions::{self, Demand},
    problem::{Code, Problem},
    trail::Trail,
};
use crate::{
    access::{
        Shown, Stranger,
        limit::Rate,
        principal::{Peer, Principal},
        scope::Need,
        token,
    },
    strict,
};

/// The one path that is about an upstream named by a parameter, and takes tickets.
const EVENTS: &str = "/v1/events";

/// Query parameters that other APIs take tokens in.
const TOKEN_PARAMETERS: [&str; 4] = ["token", "access_token", "api_key", "apikey"];

/// How often one machine may fail to say who it is: a program that was given a wrong token sees that, and a flood costs
/// little.
pub(crate) const FAILURES: Rate = Rate { per_second: 1, burst: 20 };

/// What the audit has as the reason when a caller may not do what it asks for.
pub(super) const SCOPE_MISSING: &str = "scope_missing";

/// Who makes a request; found in its extensions by handlers.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Principal);

/// Who makes `request`, for the history.
pub(super) fn actor<B>(request: &http::Request<B>) -> String {
    request.extensions().get::<Caller>().map(|caller| caller.0.who.to_string()).unwrap_or_default()
}

/// Decides who makes `request`, notes it there, and whether that one may.
///
/// # Errors
/// When not.
pub(super) async fn admit(api: &Api, request: &mut Request, trail: &Trail) -> Result<(), Problem> {
    let peer = peer(request);
    if carries_secret(request.uri()) {
        trail.refuse("token_in_url");
        let detail = "Addresses are written down in many places, so that no token belongs into one. Send it as \
                      \"Authorization: Bearer …\" and replace this one.";
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    let now = api.clock.now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let demand = permissions::of(request.method(), route.as_deref(), api.access.policy.probes);
    if demand == Demand::Public {
        return Ok(());
    }
    let principal = match identify(api, &peer, request, route.as_deref()) {
        Ok(principal) => principal,
        Err(stranger) => {
            trail.refuse(stranger.as_str());
            return Err(match api.failures.take(&remote(&peer), now.moment) {
                Ok(()) => unauthenticated(),
                Err(_) => slow_down("Too many calls without a valid token."),
            });
        }
    };
    trail.know(&principal.who);
    let caller = format!("{} {}", principal.who, remote(&peer));
    if api.calls.as_ref().is_some_and(|calls| calls.take(&caller, now.moment).is_err()) {
        return Err(slow_down("The caller calls too often."));
    }
    if let Demand::Needs(need) = demand {
        let upstream = upstream(request, route.as_deref()).await;
        if !principal.may(need, upstream.as_deref()) {
            trail.refuse(SCOPE_MISSING);
            return Err(lacking(need, upstream.as_deref()));
        }
    }
    request.extensions_mut().insert(Caller(principal));
    Ok(())
}

/// Who makes `request`, by a ticket where those are taken, or else as everywhere.
fn identify(api: &Api, peer: &Peer, request: &Request, route: Option<&str>) -> Result<Principal, Stranger> {
    let now = api.clock.now().wall;
    let takes_tickets = request.method() == Method::GET && route == Some(EVENTS);
    match (takes_tickets.then(|| parameter(request.uri(), "ticket")).flatten(), shown(request.headers())) {
        (None, shown) => api.access.identify(peer, shown, now),
        (Some(ticket), Shown::Nothing) => {
            let principal = api.tickets.redeem(&ticket);
            principal.filter(|principal| api.access.still_knows(principal, now)).ok_or(Stranger::Ticket)
        }
        // Two answers to one question, as with two tokens.
        (Some(_), Shown::Token(_) | Shown::Malformed) => Err(Stranger::Malformed),
    }
}

/// The other end of the request's connection.
pub(super) fn peer(request: &Request) -> Peer {
    let unknown = Peer::Tcp { remote: None, certificate: None };
    request.extensions().get::<Peer>().cloned().unwrap_or(unknown)
}

/// The caller's machine, for counting. Whoever has one IPv6 address has the network of 64 bits around it.
pub(super) fn remote(peer: &Peer) -> String {
    match peer {
        Peer::Tcp { remote: Some(remote), .. } => match remote.ip().to_canonical() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("{:x}", ip.to_bits() >> 64),
        },
        Peer::Tcp { remote: None, .. } => "local".to_owned(),
        Peer::Unix { uid } => format!("uid:{uid}"),
    }
}

fn shown(headers: &HeaderMap) -> Shown<'_> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let line = match (lines.next(), lines.next()) {
        (None, _) => return Shown::Nothing,
        (Some(line), None) => line.to_str().ok(),
        (Some(_), Some(_)) => None,
    };
    let bearer = line
        .and_then(|line| line.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    bearer.map_or(Shown::Malformed, |(_, text)| Shown::Token(text.trim()))
}

/// Whether `uri` holds a token, or something that is meant to be one.
fn carries_secret(uri: &Uri) -> bool {
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return true;
    }
    let text = uri.path_and_query().map_or("", |text| text.as_str());
    if token::redact(text) != text {
        return true;
    }
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
    query.is_ok_and(|query| {
        query.0.iter().any(|(name, _)| TOKEN_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()))
    })
}

/// The upstream that the request is about, decoded as its handler will have it.
async fn upstream(request: &mut Request, route: Option<&str>) -> Option<String> {
    if route == Some(EVENTS) {
        return parameter(request.uri(), "upstream");
    }
    let params = request.extract_parts::<RawPathParams>().await.ok()?;
    params.iter().find(|(name, _)| *name == "upstream").map(|(_, value)| value.to_owned())
}

fn parameter(uri: &Uri, name: &'static str) -> Option<String> {
    Params::of(uri).ok()?.text(name)
}

/// The problem of a caller without the scope for what it asks to be done to `upstream`.
pub(super) fn lacking(need: Need, upstream: Option<&str>) -> Problem {
    let about = upstream.map(|id| format!(" for the upstream \"{}\"", strict::echo(id))).unwrap_or_default();
    Problem::new(Code::Forbidden, format!("The call needs the scope {}{about}.", need.as_str()))
}

fn unauthenticated() -> Problem {
    let detail = "The call needs a valid token: send \"Authorization: Bearer weir_…\".";
    Problem::new(Code::Unauthenticated, detail).field(header::WWW_AUTHENTICATE, "Bearer realm=\"weir\"")
}

/// The problem of a caller who calls too often.
fn slow_down(detail: &str) -> Problem {
    Problem::new(Code::RateLimited, detail).field(header::RETRY_AFTER, "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_addresses_are_seen() {
        let token = token::draw("ci");
        let token = token.expose();
        for uri in [
            format!("/v1/health?x={token}"),
            format!("/v1/upstreams/{token}"),
            "/v1/health?token=x".to_owned(),
            "/v1/health?a=1&Access_Token=x".to_owned(),
            "/v1/health?%74oken=x".to_owned(),
            "http://user:secret@localhost/v1/health".to_owned(),
        ] {
            assert!(carries_secret(&uri.parse().unwrap()), "{uri}");
        }
        for uri in
            ["/v1/health", "/v1/health?upstream=token", "/v1/upstreams/weir_web?limit=1", "http://localhost/"]
        {
            assert!(!carries_secret(&uri.parse().unwrap()), "{uri}");
        }
    }

    #[test]
    fn only_one_bearer_token_is_read() {
        let shows = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::AUTHORIZATION, line.parse().unwrap());
            }
            format!("{:?}", shown(&headers))
        };
        assert_eq!(shows(&[]), "Nothing");
        assert_eq!(shows(&["Bearer abc"]), "Token(\"abc\")");
        assert_eq!(shows(&["bearer  abc"]), "Token(\"abc\")");
        for lines in [&["Basic abc"][..], &["Bearer"], &["abc"], &["Bearer a", "Bearer a"]] {
            assert_eq!(shows(lines), "Malformed", "{lines:?}");
        }
    }
}
