//! Writes the head of a request to a server (RFC 9112 §3, §5).
//!
//! Everything about the message's form is written anew from what was understood, never copied: the target in origin
//! form, one `Host`, one framing. What a strict reader could refuse or read differently does not get past here.
//! Hot path: one pass over the fields, no allocation.

use std::{io::Write, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Version};
use weir_shared::table::{RetryPolicy, Route, Server, Upstream};

use super::request_body::Framing;
use crate::{
    exchange::Exchange,
    grpc,
    header::{self, ConnectionOptions, Expectation, forwarded},
    upgrade::Upgrade,
};

/// A request as it is sent to a server, but for what differs between servers.
pub(crate) struct RequestHead<'r> {
    pub(crate) exchange: &'r Exchange,
    /// The route that takes the request.
    pub(crate) route: &'r Route,
    pub(crate) method: &'r Method,
    /// Path and query as the server gets them, or `*`.
    pub(crate) target: &'r str,
    /// The authority the client asked for; none from an HTTP/1.0 client without `Host`.
    pub(crate) host: Option<&'r HeaderValue>,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) options: &'r ConnectionOptions,
    pub(crate) expects_continue: Expectation,
    /// Whether the client takes trailers.
    pub(crate) takes_trailers: bool,
    pub(crate) version: Version,
    /// What it says of itself if it is a call of gRPC.
    pub(crate) call: Option<grpc::Call>,
    /// What the client wants to switch to.
    pub(crate) upgrade: Option<&'r Upgrade>,
}

impl RequestHead<'_> {
    /// Appends the head to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>, server: &Server, framing: Framing) {
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        header::write_target(out, self.target);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let host = self.route.host.as_ref().or(self.host).unwrap_or(&server.authority);
        write_field(out, b"host", host.as_bytes());
        let edits = &self.route.request_fields;
        let client = self.exchange.client();
        for (name, value) in self.headers {
            if header::is_rewritten(name) || self.options.names(name) || edits.drops(name) {
                continue;
            }
            if forwarded::is_ours(name) && !forwarded::is_believed(name, client) {
                continue;
            }
            write_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
        for (name, value) in &edits.write {
            write_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                write_field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
            }
            Framing::Chunked => write_field(out, b"transfer-encoding", b"chunked"),
        }
        if self.expects_continue == Expectation::Continue && framing != Framing::None {
            write_field(out, b"expect", b"100-continue");
        }
        if let Some(hops) = header::framing::hops_left(self.method, self.headers) {
            let _ = write!(out, "max-forwards: {}\r\n", hops.saturating_sub(1));
        }
        if let Some(upgrade) = self.upgrade {
            // Without a word of trailers: a server that knows but one option of `Connection` gets that one.
            upgrade.write(out);
        } else if self.takes_trailers {
            out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
        }
        out.extend_from_slice(via(self.version));
        forwarded::write(out, self);
        out.extend_from_slice(b"\r\n");
    }

    /// When another server of `upstream` is tried.
    pub(crate) fn retries<'a>(&'a self, upstream: &'a Upstream) -> &'a RetryPolicy {
        self.route.retries.as_ref().unwrap_or(&upstream.retries)
    }

    /// How long a server of `upstream` may take to answer; `None` = any time.
    pub(crate) fn response_timeout(&self, upstream: &Upstream) -> Option<Duration> {
        self.route.response_timeout.unwrap_or(upstream.response_timeout)
    }
}

/// The field of RFC 9110 §7.6.3: the protocol the message was received with, and a name for this proxy.
fn via(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b"via: 1.0 weir\r\n",
        Version::HTTP_2 => b"via: 2.0 weir\r\n",
        _ => b"via: 1.1 weir\r\n",
    }
}

/// Appends one field line.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
