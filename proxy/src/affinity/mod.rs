//! Session affinity: a client goes on with the server that first answered it.
//!
//! What becomes of a bond: a server that drains keeps its clients until the drain's deadline; one that is unhealthy,
//! ejected, in maintenance, full or gone does not, and the client is bound to the server that answers in its place.

mod cookie;

use cookie::DIGITS;
pub(crate) use cookie::{Bond, Signer};
use http::{HeaderMap, HeaderValue, header};
use weir_shared::{
    model::{AdminState, Affinity, SameSite, SecureCookie},
    table::{AffinityTable, Server, Upstream},
    time::Now,
};

use crate::{
    balance::Tried,
    exchange::Exchange,
    forward::{Answer, RequestHead},
    header as fields,
};

/// What the cookie among `headers` says; `None` when `upstream` binds nobody, or this client is not bound.
pub(crate) fn bond(exchange: &Exchange, upstream: &Upstream, headers: &HeaderMap) -> Option<Bond> {
    upstream.affinity.as_ref()?;
    let spec = &upstream.record.spec.affinity;
    let worker = exchange.worker();
    // Another upstream's cookie, or a forged one, may stand before ours.
    let mut values = fields::cookies(headers, &spec.cookie).filter(|value| value.len() == DIGITS).take(4);
    let bond = values.find_map(|value| worker.signer.read(upstream.id.as_str(), value))?;
    (bond.expires == 0 || bond.expires > seconds(worker.now())).then_some(bond)
}

/// The server of `bond`, if it may have its client's requests and none was tried yet.
pub(crate) fn server<'u>(
    exchange: &Exchange,
    upstream: &'u Upstream,
    bond: Option<Bond>,
    tried: &Tried,
) -> Option<&'u Server> {
    let bond = bond.filter(|_| tried.is_empty())?;
    let position = upstream.affinity.as_ref()?.find(bond.server)?;
    let server = upstream.servers.get(position)?;
    let state = &server.state;
    let is_usable = server.admin_state != AdminState::Maint
        && !state.is_retired()
        && state.health.is_healthy()
        && !state.outlier.is_ejected(exchange.worker().coarse_moment());
    is_usable.then_some(&**server)
}

/// What stands for `server` in a cookie; `None` if no client is to be bound to it.
pub(crate) fn tag(upstream: &Upstream, server: &Server) -> Option<u64> {
    (upstream.affinity.is_some() && server.is_wanted()).then(|| AffinityTable::tag(server))
}

/// Tells the client of `request`, which had `bond`, that it belongs to the server of `answer` from now on.
pub(crate) fn bind(
    exchange: &Exchange,
    upstream: &Upstream,
    request: &RequestHead<'_>,
    bond: Option<Bond>,
    answer: &mut Answer,
) {
    let Some(tag) = answer.affinity_tag else { return };
    let spec = &upstream.record.spec.affinity;
    let worker = exchange.worker();
    let now = seconds(worker.now());
    let ttl = spec.ttl.duration().as_secs();
    let is_fresh = |bond: Bond| match ttl {
        0 => bond.expires == 0,
        ttl => bond.expires > now + ttl / 2 && bond.expires <= now + ttl,
    };
    if bond.is_some_and(|bond| bond.server == tag && is_fresh(bond)) {
        return;
    }
    let expires = if ttl == 0 { 0 } else { now + ttl };
    let value = worker.signer.write(upstream.id.as_str(), Bond { server: tag, expires });
    let is_secure = match spec.secure {
        SecureCookie::Auto => fields::is_encrypted(exchange, request.headers),
        SecureCookie::Always => true,
        SecureCookie::Never => false,
    };
    let mut line = set_cookie(spec, &value);
    if is_secure {
        line += "; Secure";
    }
    // Names, paths and domains were checked: nothing in them is unfit for a field.
    if let Ok(line) = HeaderValue::try_from(line) {
        let headers = answer.response.headers_mut();
        headers.append(header::SET_COOKIE, line);
        keep_private(headers);
    }
}

fn set_cookie(spec: &Affinity, value: &str) -> String {
    let mut line = format!("{}={value}; Path={}", spec.cookie, spec.path);
    if let Some(domain) = &spec.domain {
        line += "; Domain=";
        line += domain;
    }
    if spec.ttl.duration().as_secs() > 0 {
        line += &format!("; Max-Age={}", spec.ttl.duration().as_secs());
    }
    line += match spec.same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        SameSite::None => "; SameSite=None",
    };
    line += "; HttpOnly";
    line
}

/// A shared cache that kept the response would bind everybody to one server (RFC 9111 §7.3).
fn keep_private(headers: &mut HeaderMap) {
    let is_kept = headers.get_all(header::CACHE_CONTROL).iter().any(|line| {
        let line = line.as_bytes().to_ascii_lowercase();
        let mut directives = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        directives.any(|directive| directive == b"private" || directive == b"no-store")
    });
    if !is_kept {
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

fn seconds(now: Now) -> u64 {
    u64::try_from(now.wall.0 / 1000).unwrap_or(0)
}
