//! Who the client was and what it asked for, told to servers: `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`, `Forwarded`
//! (RFC 7239), and `X-Request-Id`.
//!
//! What a client says of itself is believed only from configured addresses; from anybody else these fields, and those
//! that servers read in their place, are dropped and written anew.
//! Hot path: no allocation.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_shared::model::ForwardedMode;

use super::client_cert;
use crate::{
    connection::{Client, Secured},
    exchange::Exchange,
    forward::{RequestHead, write_field},
};

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";
const PORT: &str = "x-forwarded-port";
const FORWARDED: &str = "forwarded";
const REQUEST_ID: &str = "x-request-id";

/// Whether a request field is one of those written here, or is read by servers in their place.
pub(crate) fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    if name.contains('_') {
        // Servers behind CGI-like interfaces cannot tell `x_forwarded_for` from `x-forwarded-for`.
        let name = name.replace('_', "-");
        return is_written(&name) || is_read_instead(&name);
    }
    is_written(name) || is_read_instead(name)
}

/// Whether a field that is ours is passed on all the same, because `client` is trusted and nothing is written in its place.
pub(crate) fn is_believed(name: &HeaderName, client: &Client) -> bool {
    client.is_trusted && is_read_instead(name.as_str())
}

fn is_written(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'x') => matches!(name, FOR | PROTO | HOST | PORT | REQUEST_ID) || client_cert::is_ours(name),
        Some(b'f') => name == FORWARDED,
        Some(b'c') => client_cert::is_ours(name),
        _ => false,
    }
}

/// Whether servers take the field for the client's address, scheme or the like.
fn is_read_instead(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'x') => matches!(
            name,
            "x-forwarded-server"
                | "x-forwarded-scheme"
                | "x-forwarded-protocol"
                | "x-forwarded-ssl"
                | "x-forwarded-prefix"
                | "x-url-scheme"
                | "x-real-ip"
                | "x-client-ip"
        ),
        Some(b'f') => name == "front-end-https",
        Some(b't') => name == "true-client-ip",
        _ => false,
    }
}

/// Appends the fields.
pub(crate) fn write(out: &mut Vec<u8>, request: &RequestHead<'_>) {
    let RequestHead { exchange, headers, .. } = *request;
    let client = exchange.client();
    let claimed = client.is_trusted.then_some(headers);
    let modes = exchange.upstream().map(|upstream| upstream.record.spec.forwarded).unwrap_or_default();
    x_forwarded(out, request, claimed, modes.x_forwarded);
    forwarded(out, request, claimed, modes.forwarded);
    if let Some(id) = claimed.and_then(|headers| headers.get(REQUEST_ID)).and_then(|id| id.to_str().ok()) {
        exchange.adopt_request_id(id);
    }
    out.extend_from_slice(b"x-request-id: ");
    out.extend_from_slice(exchange.request_id().as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(identity) = client.secured().and_then(Secured::identity) {
        for (name, value) in identity.fields() {
            write_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

fn x_forwarded(
    out: &mut Vec<u8>,
    request: &RequestHead<'_>,
    claimed: Option<&HeaderMap>,
    mode: ForwardedMode,
) {
    let RequestHead { exchange, headers, host, .. } = *request;
    match mode {
        ForwardedMode::Drop => return,
        ForwardedMode::Keep => {
            for name in claimed.iter().flat_map(|_| [FOR, PROTO, HOST, PORT]) {
                keep(out, headers, name);
            }
            return;
        }
        ForwardedMode::Append | ForwardedMode::Replace => {}
    }
    if claimed.is_none() {
        out.extend_from_slice(exchange.client().introduction(|| introduction(exchange)));
        if let Some(host) = host {
            write_field(out, HOST.as_bytes(), host.as_bytes());
        }
        return;
    }
    out.extend_from_slice(b"x-forwarded-for: ");
    if mode == ForwardedMode::Append {
        for earlier in claimed.iter().flat_map(|headers| headers.get_all(FOR)) {
            out.extend_from_slice(earlier.as_bytes());
            out.extend_from_slice(b", ");
        }
        write_address(out, exchange.client().peer);
    } else {
        write_address(out, client_address(exchange, headers));
    }
    out.extend_from_slice(b"\r\n");
    write_field(out, PROTO.as_bytes(), scheme(exchange, claimed));
    if let Some(host) = claimed.and_then(|headers| headers.get(HOST)).or(host) {
        write_field(out, HOST.as_bytes(), host.as_bytes());
    }
    if let Some(port) = claimed.and_then(|headers| headers.get(PORT)) {
        write_field(out, PORT.as_bytes(), port.as_bytes());
    } else if let Some(port) = port(exchange) {
        write_field(out, PORT.as_bytes(), itoa::Buffer::new().format(port).as_bytes());
    }
}

/// What servers are told of a client that may say nothing of itself, the host apart: the same for all its requests.
fn introduction(exchange: &Exchange) -> Box<[u8]> {
    let mut fields = Vec::new();
    fields.extend_from_slice(b"x-forwarded-for: ");
    write_address(&mut fields, exchange.client().peer);
    fields.extend_from_slice(b"\r\n");
    write_field(&mut fields, PROTO.as_bytes(), scheme(exchange, None));
    if let Some(port) = port(exchange) {
        write_field(&mut fields, PORT.as_bytes(), itoa::Buffer::new().format(port).as_bytes());
    }
    fields.into()
}

fn forwarded(out: &mut Vec<u8>, request: &RequestHead<'_>, claimed: Option<&HeaderMap>, mode: ForwardedMode) {
    let RequestHead { exchange, headers, host, .. } = *request;
    match mode {
        ForwardedMode::Drop => return,
        ForwardedMode::Keep => {
            if claimed.is_some() {
                keep(out, headers, FORWARDED);
            }
            return;
        }
        ForwardedMode::Append | ForwardedMode::Replace => {}
    }
    out.extend_from_slice(b"forwarded: ");
    let address = if mode == ForwardedMode::Append {
        for earlier in claimed.iter().flat_map(|headers| headers.get_all(FORWARDED)) {
            out.extend_from_slice(earlier.as_bytes());
            out.extend_from_slice(b", ");
        }
        exchange.client().peer
    } else {
        client_address(exchange, headers)
    };
    // RFC 7239 §6: an IPv6 address stands in brackets, and those in quotes.
    let (open, close): (&[u8], &[u8]) = if address.is_ipv6() { (b"\"[", b"]\"") } else { (b"", b"") };
    out.extend_from_slice(b"for=");
    out.extend_from_slice(open);
    write_address(out, address);
    out.extend_from_slice(close);
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(if is_https(scheme(exchange, claimed)) { b"https" } else { b"http" });
    if let Some(host) = claimed.and_then(|headers| headers.get(HOST)).or(host) {
        out.extend_from_slice(b";host=");
        write_quoted(out, host);
    }
    out.extend_from_slice(b"\r\n");
}

/// Passes on all lines of `name`.
fn keep(out: &mut Vec<u8>, headers: &HeaderMap, name: &str) {
    for value in headers.get_all(name) {
        write_field(out, name.as_bytes(), value.as_bytes());
    }
}

/// The scheme the client asked by: what a trusted proxy in between says, else that of the connection.
fn scheme<'h>(exchange: &Exchange, claimed: Option<&'h HeaderMap>) -> &'h [u8] {
    let own: &[u8] = if exchange.client().secured().is_some() { b"https" } else { b"http" };
    claimed.and_then(|headers| claimed_scheme(exchange, headers)).unwrap_or(own)
}

/// Proxies that add to `X-Forwarded-Proto` what they were asked by do so in step with `X-Forwarded-For`: counts what stands
/// where the client does there, from the end. Of fewer members the first counts.
fn claimed_scheme<'h>(exchange: &Exchange, headers: &'h HeaderMap) -> Option<&'h [u8]> {
    let mut lines = headers.get_all(PROTO).iter();
    let line = lines.next_back()?.as_bytes();
    if lines.next_back().is_none() && memchr::memchr(b',', line).is_none() {
        return Some(line.trim_ascii()).filter(|scheme| !scheme.is_empty());
    }
    let (_, place) = furthest_believed(exchange, headers);
    let lines = headers.get_all(PROTO).iter().rev();
    let members = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    members.filter(|member| !member.is_empty()).take(place.max(1)).last()
}

fn is_https(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"https")
}

/// The port that the client connected to.
fn port(exchange: &Exchange) -> Option<u16> {
    exchange.client().ends.local.map(|local| local.port())
}

/// RFC 9110 §5.6.4: a quoted string, which may hold what a token may not.
fn write_quoted(out: &mut Vec<u8>, value: &HeaderValue) {
    out.push(b'"');
    for byte in value.as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// The address of the client itself: the nearest one in the chain of `X-Forwarded-For` that is not trusted to speak for
/// others, or the furthest when all are. Trusted are configured networks, and as many hops as there are said to be.
pub(crate) fn client_address(exchange: &Exchange, headers: &HeaderMap) -> IpAddr {
    let client = exchange.client();
    if client.is_trusted { furthest_believed(exchange, headers).0 } else { client.peer }
}

/// The address of the client, and its place in `X-Forwarded-For` from the end; 0: it is not there.
fn furthest_believed(exchange: &Exchange, headers: &HeaderMap) -> (IpAddr, usize) {
    let client = exchange.client();
    let trusted_hops = usize::from(exchange.worker().config.trusted_hops);
    // The other end of the connection is the first hop.
    let (mut furthest, mut place) = (client.peer, 0);
    for line in headers.get_all(FOR).into_iter().rev() {
        for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
            let Some(address) = std::str::from_utf8(entry).ok().and_then(|entry| address(entry.trim()))
            else {
                // What comes before something unreadable may be anybody's.
                return (furthest, place);
            };
            furthest = address;
            place += 1;
            if place >= trusted_hops && !client.trusts(address) {
                return (furthest, place);
            }
        }
    }
    (furthest, place)
}

/// An address as proxies write it: mostly by itself, by some with a port, in brackets or in quotes.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| {
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let v6 = bare.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let with_port = || bare.parse::<SocketAddr>().ok().map(|address| address.ip());
        v6.unwrap_or(bare).parse().ok().or_else(with_port)
    })
}

/// Whether the client's request came encrypted, as far as a trusted proxy in between says so.
pub(crate) fn is_encrypted(exchange: &Exchange, headers: &HeaderMap) -> bool {
    is_https(scheme(exchange, exchange.client().is_trusted.then_some(headers)))
}

fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        // By hand, because it is done for every request and formatting costs several times as much.
        IpAddr::V4(address) => {
            let mut digits = itoa::Buffer::new();
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(digits.format(octet).as_bytes());
            }
        }
        // Writing into a vector cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (text, read) in [
            ("9.9.9.9", Some("9.9.9.9")),
            ("9.9.9.9:4711", Some("9.9.9.9")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("\"[2001:db8::1]:80\"", Some("2001:db8::1")),
            ("\"9.9.9.9\"", Some("9.9.9.9")),
            ("", None),
            ("unknown", None),
            ("_hidden:80", None),
            ("9.9.9.9:", None),
            ("[9.9.9.9", None),
            ("a, 9.9.9.9", None),
        ] {
            assert_eq!(address(text), read.map(|read| read.parse().unwrap()), "{text}");
        }
    }
}
