//! Whether what was written makes sense: every fault is found, not only the first.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
    ops::RangeInclusive,
    sync::Arc,
};

use serde_json::Value;

pub use super::route::check::{MAX_ROUTES, references as route_references, route, totals as route_totals};
use super::{
    Config, ListenAddress, Listener, MAX_CERTIFICATES, Retries, SendProxyProtocol, Server, ServerProtocol,
    Upstream, UpstreamRecord, adaptive_limit, address::Address, affinity, balancing, check_references,
    circuit_breaker, health_check, hedging, limits, load_reports, outlier_detection, placement, rate_limit,
    server_retry_after, shadow, slow_start, upgrades,
};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    id,
    units::Span,
};

/// Most listeners in one configuration. Each has a socket for every worker.
pub const MAX_LISTENERS: usize = 1000;
/// Most upstreams in one configuration.
pub const MAX_UPSTREAMS: usize = 10_000;
/// Most servers in one upstream.
pub const MAX_SERVERS_PER_UPSTREAM: usize = 10_000;
/// Most servers in one configuration.
pub const MAX_SERVERS: usize = 100_000;

/// Most bytes of one configuration as JSON. Twice that is read in one body, so that what is exported can be put back, as YAML
/// too.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024 * 1024;

/// Last level of priority.
pub const MAX_PRIORITY: u8 = 15;

pub(super) const HOUR: Span = Span::from_secs(3600);
pub(super) const DAY: Span = Span::from_secs(24 * 3600);

/// Checks an upstream and its servers, adding every fault found below `at` to `errors`.
///
/// An empty server id is one still to be derived from the address.
pub fn upstream(upstream: &Upstream, at: &Pointer, errors: &mut Vec<FieldError>) {
    upstream_spec(upstream, at, errors);
    let refs: Vec<&Server> = upstream.servers.iter().collect();
    servers(&refs, &at.at("servers"), errors);
}

/// Checks an upstream without its servers.
pub fn upstream_spec(upstream: &Upstream, at: &Pointer, errors: &mut Vec<FieldError>) {
    check_id(&upstream.id, &at.at("id"), errors);
    description(&upstream.description, &at.at("description"), errors);
    labels(&upstream.labels, &at.at("labels"), errors);
    balancing::check(upstream, at, errors);
    if let Some(shadow) = &upstream.shadow {
        shadow::check(shadow, &at.at("shadow"), errors);
    }
    load_reports::check(&upstream.load_reports, &at.at("load_reports"), errors);
    affinity::check(&upstream.affinity, &at.at("affinity"), errors);
    placement::check(upstream, at, errors);
    slow_start::check(&upstream.slow_start, &at.at("slow_start"), errors);
    health_check::check(&upstream.health_check, &at.at("health_check"), errors);
    outlier_detection::check(&upstream.outlier_detection, &at.at("outlier_detection"), errors);
    server_retry_after::check(&upstream.server_retry_after, &at.at("server_retry_after"), errors);
    rate_limit::check(&upstream.rate_limits, &at.at("rate_limits"), errors);
    adaptive_limit::check(&upstream.adaptive_limit, &at.at("adaptive_limit"), errors);
    circuit_breaker::check(&upstream.circuit_breaker, &at.at("circuit_breaker"), errors);
    limits::check(&upstream.limits, &at.at("limits"), errors);
    retries(&upstream.retries, &at.at("retries"), errors);
    hedging::check(&upstream.hedging, &at.at("hedging"), errors);
    upstream.tls.check(&at.at("tls"), errors);
    number(upstream.panic_threshold_percent, 0..=100, &at.at("panic_threshold_percent"), errors);
    number(upstream.overprovisioning_percent, 100..=1000, &at.at("overprovisioning_percent"), errors);
    number(upstream.keepalive_connections, 0..=65_536, &at.at("keepalive_connections"), errors);
    span(
        upstream.connect_timeout,
        Span::from_millis(10)..=Span::from_secs(60),
        &at.at("connect_timeout"),
        errors,
    );
    if upstream.response_timeout != Span::default() {
        span(upstream.response_timeout, Span::from_millis(10)..=HOUR, &at.at("response_timeout"), errors);
    }
    span(upstream.stream_idle_timeout, Span::from_secs(1)..=DAY, &at.at("stream_idle_timeout"), errors);
    upgrades::check(&upstream.upgrades, upstream.tunnel_idle_timeout, at, errors);
    span(upstream.idle_timeout, Span::from_secs(1)..=HOUR, &at.at("idle_timeout"), errors);
    span(upstream.keepalive_time, Span::from_secs(1)..=DAY, &at.at("keepalive_time"), errors);
    drain_timeout(upstream.drain_timeout, &at.at("drain_timeout"), errors);
    if upstream.protocol != ServerProtocol::Http1 && upstream.send_proxy_protocol != SendProxyProtocol::Off {
        let detail = "clients share connections over HTTP/2, which can say of one client only whose they are";
        errors.push(at.at("send_proxy_protocol").error(FieldErrorCode::InvalidValue, detail));
    }
}

/// Checks how long a drain waits.
pub fn drain_timeout(timeout: Span, at: &Pointer, errors: &mut Vec<FieldError>) {
    span(timeout, Span::default()..=HOUR, at, errors);
}

/// Checks servers that form, or join, one upstream: each by itself, then for names and addresses used twice.
pub fn servers(servers: &[&Server], at: &Pointer, errors: &mut Vec<FieldError>) {
    some_servers(servers.len(), servers.iter().copied().enumerate(), std::iter::empty(), at, errors);
}

/// Checks `some` of the `total` servers of one upstream, each with its place; then for names and addresses used twice,
/// among them or by one of the `others`, which have been checked before.
pub fn some_servers<'a>(
    total: usize,
    some: impl Iterator<Item = (usize, &'a Server)>,
    others: impl Iterator<Item = (&'a str, &'a Address)>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) {
    if total > MAX_SERVERS_PER_UPSTREAM {
        errors.push(at.error(
            FieldErrorCode::TooMany,
            format!("an upstream holds at most {MAX_SERVERS_PER_UPSTREAM} servers"),
        ));
        return;
    }
    let mut ids: HashMap<&str, usize> = HashMap::new();
    let mut addresses: HashMap<Address, usize> = HashMap::new();
    let twice = |place: usize, field: &str, value: &dyn Display| {
        let detail = format!("the {field} \"{value}\" is used twice");
        at.at(place).at(field).error(FieldErrorCode::Duplicate, detail)
    };
    for (place, one) in some {
        server(one, || at.at(place), errors);
        if !one.id.is_empty() && ids.insert(one.id.as_str(), place).is_some() {
            errors.push(twice(place, "id", &one.id));
        }
        if let Ok(address) = Address::parse(&one.address)
            && addresses.insert(address, place).is_some()
        {
            errors.push(twice(place, "address", &one.address));
        }
    }
    if ids.is_empty() && addresses.is_empty() {
        return;
    }
    for (id, address) in others {
        if let Some(place) = ids.get(id) {
            errors.push(twice(*place, "id", &id));
        }
        if let Some(place) = addresses.get(address) {
            errors.push(twice(*place, "address", address));
        }
    }
}

/// Checks one server by itself. `at` is only called for a fault, because groups are large and faults are rare.
pub fn server(server: &Server, at: impl Fn() -> Pointer, errors: &mut Vec<FieldError>) {
    if server.address.is_empty() {
        errors.push(
            at().at("address")
                .error(FieldErrorCode::Required, "a server needs an address like \"10.0.0.7:8080\""),
        );
    } else if let Err(detail) = Address::parse(&server.address) {
        let error = at().at("address").error(FieldErrorCode::InvalidAddress, detail);
        errors.push(FieldError { value: Some(Value::from(server.address.as_str())), ..error });
    }
    if !server.id.is_empty() && !id::is_valid(&server.id) {
        check_id(&server.id, &at().at("id"), errors);
    }
    if server.priority > MAX_PRIORITY {
        number(server.priority, 0..=MAX_PRIORITY, &at().at("priority"), errors);
    }
    if server.max_requests > limits::MAX_REQUESTS {
        number(server.max_requests, 0..=limits::MAX_REQUESTS, &at().at("max_requests"), errors);
    }
    if server.zone.len() > 63 {
        errors.push(at().at("zone").error(FieldErrorCode::OutOfRange, "at most 63 characters"));
    }
    if !server.labels.is_empty() {
        labels(&server.labels, &at().at("labels"), errors);
    }
}

/// Checks how much there is in all: `servers` is the number of servers, `bytes` the size of all of it.
pub fn totals(config: &Config, servers: usize, bytes: usize, errors: &mut Vec<FieldError>) {
    let root = Pointer::root();
    if bytes > MAX_CONFIG_BYTES {
        let detail = format!(
            "a configuration has at most {MAX_CONFIG_BYTES} bytes when it is written out as JSON, and this one {bytes}: \
             shorten labels and descriptions"
        );
        errors.push(root.error(FieldErrorCode::TooMany, detail));
    }
    if config.upstreams.size() > MAX_UPSTREAMS {
        let detail = format!("a configuration holds at most {MAX_UPSTREAMS} upstreams");
        errors.push(root.at("upstreams").error(FieldErrorCode::TooMany, detail));
    }
    if servers > MAX_SERVERS {
        let detail = format!("a configuration holds at most {MAX_SERVERS} servers");
        errors.push(root.at("upstreams").error(FieldErrorCode::TooMany, detail));
    }
    if config.certificates.size() > MAX_CERTIFICATES {
        let detail = format!("a configuration holds at most {MAX_CERTIFICATES} certificates");
        errors.push(root.at("certificates").error(FieldErrorCode::TooMany, detail));
    }
}

/// Checks the listeners of `config` with each other and with what they name.
pub fn listeners(config: &Config, errors: &mut Vec<FieldError>) {
    let at = Pointer::root().at("listeners");
    let specs = || config.listeners.values().map(|record| (at.at(&record.spec.id), &record.spec));
    listeners_together(specs(), |id| config.upstreams.contains_key(id), errors);
    let kind = |id: &str| config.certificate_kind(id);
    for (at, spec) in specs() {
        check_references(spec.tls.references(), kind, &at.at("tls"), errors);
    }
}

/// Checks the certificates that `upstreams` of `config` name.
pub fn named_certificates<'a>(
    config: &Config,
    upstreams: impl Iterator<Item = &'a Arc<UpstreamRecord>>,
    errors: &mut Vec<FieldError>,
) {
    let kind = |id: &str| config.certificate_kind(id);
    for record in upstreams.filter(|record| record.spec.tls.references().next().is_some()) {
        let at = Pointer::root().at("upstreams").at(&record.spec.id).at("tls");
        check_references(record.spec.tls.references(), kind, &at, errors);
    }
}

/// Checks what no single listener shows, each being at a place: how many there are, addresses used twice, and upstreams
/// that are not there, which `known` tells of an id.
pub fn listeners_together<'a>(
    listeners: impl Iterator<Item = (Pointer, &'a Listener)>,
    known: impl Fn(&str) -> bool,
    errors: &mut Vec<FieldError>,
) {
    let mut addresses: HashMap<ListenAddress, &str> = HashMap::new();
    let mut count = 0;
    for (at, listener) in listeners {
        count += 1;
        if count == MAX_LISTENERS + 1 {
            let detail = format!("a configuration holds at most {MAX_LISTENERS} listeners");
            errors.push(at.error(FieldErrorCode::TooMany, detail));
        }
        if let Some(upstream) = listener.upstream.as_deref().filter(|id| !known(id)) {
            let detail = format!("there is no upstream \"{upstream}\"");
            errors.push(at.at("upstream").error(FieldErrorCode::UnknownReference, detail));
        }
        let Ok(address) = ListenAddress::parse(&listener.address) else { continue };
        if !address.is_any_port()
            && let Some(other) = addresses.insert(address, &listener.id)
        {
            let detail = format!("the listener \"{other}\" has this address already");
            errors.push(at.at("address").error(FieldErrorCode::Duplicate, detail));
        }
    }
}

pub(super) fn retries(retries: &Retries, at: &Pointer, errors: &mut Vec<FieldError>) {
    number(retries.attempts, 0..=5, &at.at("attempts"), errors);
    number(retries.budget_percent, 0..=100, &at.at("budget_percent"), errors);
    if retries.on.len() > 12 {
        errors.push(at.at("on").error(FieldErrorCode::TooMany, "at most 12 outcomes"));
    }
}

pub(super) fn check_id(id: &str, at: &Pointer, errors: &mut Vec<FieldError>) {
    if !id::is_valid(id) {
        let error = at.error(
            FieldErrorCode::InvalidId,
            "an id has 1 to 63 of a-z, 0-9, '.', '_' and '-', and starts and ends with a letter or digit",
        );
        errors.push(FieldError {
            value: Some(Value::from(id)),
            allowed: Some(id::ID_PATTERN.to_owned()),
            ..error
        });
    }
}

pub(super) fn description(text: &str, at: &Pointer, errors: &mut Vec<FieldError>) {
    if text.chars().count() > 1024 {
        errors.push(at.error(FieldErrorCode::OutOfRange, "at most 1024 characters"));
    }
}

pub(super) fn labels(labels: &BTreeMap<String, String>, at: &Pointer, errors: &mut Vec<FieldError>) {
    if labels.len() > 32 {
        errors.push(at.error(FieldErrorCode::TooMany, "at most 32 labels"));
    }
    for (key, value) in labels {
        if key.is_empty() || key.len() > 63 || value.len() > 255 {
            let detail = "a label's key has 1 to 63 characters and its value at most 255";
            errors.push(at.at(key).error(FieldErrorCode::OutOfRange, detail));
        }
    }
}

pub(super) fn statuses(count: usize, least: usize, at: &Pointer, errors: &mut Vec<FieldError>) {
    if !(least..=16).contains(&count) {
        errors.push(at.error(FieldErrorCode::OutOfRange, format!("{least} to 16 statuses or ranges")));
    }
}

pub(super) fn number<N: PartialOrd + Display + Copy + Into<Value>>(
    value: N,
    range: RangeInclusive<N>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) {
    if !range.contains(&value) {
        let error =
            at.error(FieldErrorCode::OutOfRange, format!("must be {} to {}", range.start(), range.end()));
        let allowed = Some(format!("{}..{}", range.start(), range.end()));
        errors.push(FieldError { value: Some(value.into()), allowed, ..error });
    }
}

pub(super) fn span(value: Span, range: RangeInclusive<Span>, at: &Pointer, errors: &mut Vec<FieldError>) {
    if !range.contains(&value) {
        let error =
            at.error(FieldErrorCode::OutOfRange, format!("must be {} to {}", range.start(), range.end()));
        let allowed = Some(format!("{}..{}", range.start(), range.end()));
        errors.push(FieldError { value: Some(Value::from(value.to_string())), allowed, ..error });
    }
}
