//! Where clients connect.
//!
//! The address of the listener `default` is the machine's: the command line says it, and it is stored empty, so that a
//! configuration can be given to another machine.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ListenAddress, ListenerTls, Meta, ProxyProtocol,
    check::{self, DAY, HOUR, number, span},
    proxy_protocol,
};
use crate::{
    cidr::Cidr,
    error::{FieldError, FieldErrorCode, Pointer},
    time::Timestamp,
    units::Span,
};

/// Most ranges in one list of a listener.
pub(super) const MAX_RANGES: usize = 256;

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListenerProtocol {
    /// HTTP/1 and HTTP/2, in plain text.
    #[default]
    Http,
    /// The same over TLS.
    Https,
    /// Whatever clients and servers agree on: bytes are passed on as they are.
    Tcp,
}

/// An address clients connect to, with the limits that protect it. A changed limit or timeout holds for the next request of
/// connections that are open, what is about connections for the next one; none is closed for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"id": "internal", "address": "10.0.0.1:8081", "max_connections": 1000}))]
pub struct Listener {
    /// Unique name, immutable.
    #[schema(pattern = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$", min_length = 1, max_length = 63)]
    pub id: String,
    /// `IP:port` (`0.0.0.0:80`; `[::]:80` for IPv4 and IPv6; port 0 takes a free one) or `unix:/absolute/path` of at most 103 bytes. That of
    /// `default` is the one the process was started with. With another one the new address is bound before the old one is
    /// given up, and open connections stay.
    pub address: String,
    /// What is spoken. Default `http`.
    pub protocol: ListenerProtocol,
    /// Where the connections of a `tcp` listener go: the id of an upstream. Others have routes.
    #[schema(nullable, example = "postgres")]
    pub upstream: Option<String>,
    /// How connections are secured, at listeners with the protocol `https`. Others have no certificates and ask for none.
    pub tls: ListenerTls,
    /// Whether clients may speak HTTP/2. Default true.
    pub http2: bool,
    /// The PROXY protocol, in which a balancer in front says who the client is.
    pub proxy_protocol: ProxyProtocol,
    /// Clients whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed, at most 256 ranges; null: those of
    /// `--trusted-proxies`. Clients of a unix socket are 127.0.0.1. Default null.
    #[schema(nullable, max_items = 256)]
    pub trusted_proxies: Option<Vec<Cidr>>,
    /// Time a client has to send a request's header section, 10ms to 1h; then 408. Default 10s.
    pub header_timeout: Span,
    /// How long a connection without a request is kept, or a TCP connection without a byte; 10ms to 24h. Default 75s.
    pub idle_timeout: Span,
    /// Largest header section in bytes, 8192 to 1048576; more is answered 431. Default 32768.
    #[schema(minimum = 8192, maximum = 1_048_576)]
    pub max_header_bytes: u32,
    /// Most header fields, 10 to 10000; more is answered 431. Default 100.
    #[schema(minimum = 10, maximum = 10_000)]
    pub max_headers: u32,
    /// Longest request target in bytes, 256 to 65534; more is answered 414. Default 8192.
    #[schema(minimum = 256, maximum = 65_534)]
    pub max_uri_bytes: u32,
    /// Largest request body in bytes; more is answered 413. 0 = no limit. Default 0.
    pub max_body_bytes: u64,
    /// Most connections at once over all workers; further ones wait in the kernel's queue. 0 = as many as the process may
    /// have (`--max-connections`). Default 0.
    pub max_connections: u32,
    /// How long connections have to end once the listener was deleted, 0s to 1h; then they are broken off. Default 30s.
    pub drain_timeout: Span,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            id: Self::DEFAULT_ID.to_owned(),
            address: String::new(),
            protocol: ListenerProtocol::Http,
            upstream: None,
            tls: ListenerTls::default(),
            http2: true,
            proxy_protocol: ProxyProtocol::default(),
            trusted_proxies: None,
            header_timeout: Span::from_secs(10),
            idle_timeout: Span::from_secs(75),
            max_header_bytes: 32 * 1024,
            max_headers: 100,
            max_uri_bytes: 8 * 1024,
            max_body_bytes: 0,
            max_connections: 0,
            drain_timeout: Span::from_secs(30),
        }
    }
}

impl Listener {
    /// Id of the listener whose address the process is started with.
    pub const DEFAULT_ID: &str = "default";

    /// Whether the address is the one the process was started with.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.id == Self::DEFAULT_ID
    }
}

/// A listener as stored: what the operator wrote and what Weir notes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenerRecord {
    /// What the operator wrote. The address of `default` is empty.
    pub spec: Listener,
    /// What Weir notes.
    pub meta: Meta,
}

/// Whether a listener is in service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListenerStatus {
    /// Whether the address is bound.
    pub bound: bool,
    /// The address connections are taken at: with the port that was free, or the one before a change that failed.
    #[schema(nullable, example = "0.0.0.0:8080")]
    pub address: Option<String>,
    /// Why the address is not bound, when it is not. It is tried again until it is.
    #[schema(nullable)]
    pub error: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// What the command line says of the listener `default`. It wins over what is stored, on every start: a machine's port is
/// the machine's.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerFlags {
    /// Where it listens.
    pub address: String,
    /// As the field of the same name, if said.
    pub header_timeout: Option<Span>,
    /// As the field of the same name, if said.
    pub idle_timeout: Option<Span>,
    /// As the field of the same name, if said.
    pub max_header_bytes: Option<u32>,
    /// As the field of the same name, if said.
    pub max_headers: Option<u32>,
    /// As the field of the same name, if said.
    pub max_uri_bytes: Option<u32>,
    /// As the field of the same name, if said.
    pub max_body_bytes: Option<u64>,
}

impl Default for ListenerFlags {
    fn default() -> Self {
        Self {
            address: "0.0.0.0:8080".to_owned(),
            header_timeout: None,
            idle_timeout: None,
            max_header_bytes: None,
            max_headers: None,
            max_uri_bytes: None,
            max_body_bytes: None,
        }
    }
}

impl ListenerFlags {
    /// `listener` as it is in force.
    #[must_use]
    pub fn over(&self, listener: &Listener) -> Listener {
        if !listener.is_default() {
            return listener.clone();
        }
        Listener {
            address: self.address.clone(),
            header_timeout: self.header_timeout.unwrap_or(listener.header_timeout),
            idle_timeout: self.idle_timeout.unwrap_or(listener.idle_timeout),
            max_header_bytes: self.max_header_bytes.unwrap_or(listener.max_header_bytes),
            max_headers: self.max_headers.unwrap_or(listener.max_headers),
            max_uri_bytes: self.max_uri_bytes.unwrap_or(listener.max_uri_bytes),
            max_body_bytes: self.max_body_bytes.unwrap_or(listener.max_body_bytes),
            ..listener.clone()
        }
    }

    /// Checks that `listener` leaves `default` its address: a machine's port is the machine's.
    pub fn check_beside(&self, listener: &Listener, at: &Pointer, errors: &mut Vec<FieldError>) {
        let own = ListenAddress::parse(&self.address).ok().filter(|own| !own.is_any_port());
        if !listener.is_default() && own.is_some() && own == ListenAddress::parse(&listener.address).ok() {
            let detail = "the listener \"default\" has this address already: --listen says so";
            errors.push(at.at("address").error(FieldErrorCode::Duplicate, detail));
        }
    }

    /// Names of the fields that the command line sets.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let said = [
            ("address", true),
            ("header_timeout", self.header_timeout.is_some()),
            ("idle_timeout", self.idle_timeout.is_some()),
            ("max_header_bytes", self.max_header_bytes.is_some()),
            ("max_headers", self.max_headers.is_some()),
            ("max_uri_bytes", self.max_uri_bytes.is_some()),
            ("max_body_bytes", self.max_body_bytes.is_some()),
        ];
        said.into_iter().filter(|(_, is_said)| *is_said).map(|(name, _)| name).collect()
    }
}

/// Checks a listener by itself.
pub fn check(listener: &Listener, at: &Pointer, errors: &mut Vec<FieldError>) {
    check::check_id(&listener.id, &at.at("id"), errors);
    address(listener, &at.at("address"), errors);
    protocol(listener, at, errors);
    proxy_protocol::check(&listener.proxy_protocol, &at.at("proxy_protocol"), errors);
    if listener.trusted_proxies.as_ref().is_some_and(|ranges| ranges.len() > MAX_RANGES) {
        let detail = format!("at most {MAX_RANGES} ranges");
        errors.push(at.at("trusted_proxies").error(FieldErrorCode::TooMany, detail));
    }
    let timeouts = Span::from_millis(10);
    span(listener.header_timeout, timeouts..=HOUR, &at.at("header_timeout"), errors);
    span(listener.idle_timeout, timeouts..=DAY, &at.at("idle_timeout"), errors);
    number(listener.max_header_bytes, 8192..=1_048_576, &at.at("max_header_bytes"), errors);
    number(listener.max_headers, 10..=10_000, &at.at("max_headers"), errors);
    number(listener.max_uri_bytes, 256..=65_534, &at.at("max_uri_bytes"), errors);
    span(listener.drain_timeout, Span::default()..=HOUR, &at.at("drain_timeout"), errors);
}

fn address(listener: &Listener, at: &Pointer, errors: &mut Vec<FieldError>) {
    if listener.is_default() && listener.address.is_empty() {
        return;
    }
    if listener.address.is_empty() {
        let detail =
            "a listener needs an address like \"0.0.0.0:8081\", \"[::]:8081\" or \"unix:/run/weir.sock\"";
        errors.push(at.error(FieldErrorCode::Required, detail));
    } else if let Err(detail) = ListenAddress::parse(&listener.address) {
        let error = at.error(FieldErrorCode::InvalidAddress, detail);
        let value = listener.address.chars().take(128).collect::<String>().into();
        errors.push(FieldError { value: Some(value), ..error });
    }
}

fn protocol(listener: &Listener, at: &Pointer, errors: &mut Vec<FieldError>) {
    match (listener.protocol, &listener.upstream) {
        (ListenerProtocol::Tcp, None) => {
            let detail = "a tcp listener needs the upstream its connections go to";
            errors.push(at.at("upstream").error(FieldErrorCode::Required, detail));
        }
        (ListenerProtocol::Http | ListenerProtocol::Https, Some(_)) => {
            let detail = "only tcp listeners have an upstream: where requests go is said by routes";
            errors.push(at.at("upstream").error(FieldErrorCode::InvalidValue, detail));
        }
        _ => {}
    }
    let tls = at.at("tls");
    match listener.protocol {
        ListenerProtocol::Https => listener.tls.check(&tls, errors),
        ListenerProtocol::Http | ListenerProtocol::Tcp => listener.tls.check_unused(&tls, errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Accept, ClientAuth, ClientAuthMode};

    fn faults(listener: &Listener) -> Vec<String> {
        let mut errors = Vec::new();
        check(listener, &Pointer::root(), &mut errors);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn the_defaults_are_valid_and_only_the_default_has_no_address_of_its_own() {
        assert_eq!(faults(&Listener::default()), Vec::<String>::new());
        assert_eq!(faults(&Listener { id: "other".into(), ..Listener::default() }), ["#/address"]);
    }

    #[test]
    fn every_fault_is_pointed_at() {
        let listener = Listener {
            id: "A".into(),
            address: "example.com:80".into(),
            protocol: ListenerProtocol::Tcp,
            proxy_protocol: ProxyProtocol { accept: Accept::Required, ..ProxyProtocol::default() },
            header_timeout: Span::default(),
            idle_timeout: Span::from_secs(1_000_000),
            max_header_bytes: 1,
            max_headers: 1,
            max_uri_bytes: 1,
            drain_timeout: Span::from_secs(3601),
            ..Listener::default()
        };
        let expected = [
            "#/id",
            "#/address",
            "#/upstream",
            "#/proxy_protocol/trusted",
            "#/header_timeout",
            "#/idle_timeout",
            "#/max_header_bytes",
            "#/max_headers",
            "#/max_uri_bytes",
            "#/drain_timeout",
        ];
        assert_eq!(faults(&listener), expected);
        let listener = Listener { upstream: Some("web".into()), ..Listener::default() };
        assert_eq!(faults(&listener), ["#/upstream"]);
    }

    #[test]
    fn whoever_means_tls_does_not_get_plain_text() {
        let client_auth = ClientAuth { mode: ClientAuthMode::Required, ca: Some("clients".into()) };
        let tls = ListenerTls { certificates: vec!["site".into()], client_auth, ..ListenerTls::default() };
        for protocol in [ListenerProtocol::Http, ListenerProtocol::Tcp] {
            let upstream = (protocol == ListenerProtocol::Tcp).then(|| "web".to_owned());
            let listener = Listener { protocol, upstream, tls: tls.clone(), ..Listener::default() };
            assert_eq!(faults(&listener), ["#/tls/certificates", "#/tls/client_auth/mode"]);
        }
        let listener = Listener { protocol: ListenerProtocol::Https, tls, ..Listener::default() };
        assert_eq!(faults(&listener), Vec::<String>::new());
    }

    #[test]
    fn the_command_line_wins_at_the_default_alone() {
        let flags = ListenerFlags {
            address: "127.0.0.1:1".into(),
            idle_timeout: Some(Span::from_secs(1)),
            ..ListenerFlags::default()
        };
        let stored = Listener { max_headers: 11, ..Listener::default() };
        let expected =
            Listener { address: "127.0.0.1:1".into(), idle_timeout: Span::from_secs(1), ..stored.clone() };
        assert_eq!(flags.over(&stored), expected);
        assert_eq!(flags.names(), ["address", "idle_timeout"]);
        let other = Listener { id: "other".into(), address: "127.0.0.1:2".into(), ..stored };
        assert_eq!(flags.over(&other), other);
        let beside = |flags: &ListenerFlags, address: &str| {
            let mut errors = Vec::new();
            let listener = Listener { id: "a".into(), address: address.into(), ..Listener::default() };
            flags.check_beside(&listener, &Pointer::root(), &mut errors);
            errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
        };
        assert_eq!(beside(&flags, "127.0.0.1:1"), ["#/address"]);
        assert!(beside(&flags, "127.0.0.1:2").is_empty());
        let any = ListenerFlags { address: "127.0.0.1:0".into(), ..ListenerFlags::default() };
        assert!(beside(&any, "127.0.0.1:0").is_empty(), "each gets a port of its own");
    }
}
