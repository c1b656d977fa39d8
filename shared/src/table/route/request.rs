//! What a route is found by.

use std::{fmt, net::IpAddr};

use http::{HeaderMap, Method};

/// The parts of a request that a route is found by.
#[derive(Clone, Copy)]
pub struct RouteRequest<'r> {
    /// Id of the listener it came to.
    pub listener: &'r str,
    /// The authority asked for, as the client wrote it; none from an HTTP/1.0 client without `Host`.
    pub host: Option<&'r [u8]>,
    /// The path asked for, as the client wrote it. Of `*` and the like: `/`.
    pub path: &'r str,
    /// The query, without its `?`.
    pub query: Option<&'r str>,
    /// The method.
    pub method: &'r Method,
    /// The header fields.
    pub headers: &'r HeaderMap,
    /// Tells where the client is; asked only where that matters.
    pub client: &'r dyn Fn() -> IpAddr,
}

impl fmt::Debug for RouteRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteRequest")
            .field("method", self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Why a request has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// None matches it.
    Unmatched,
    /// Its path can be read in several ways, and not all lead to the same route.
    Ambiguous,
}
