//! Who may talk to the API from a browser: pages of the API itself, and nobody else.
//!
//! A page of another site could otherwise make an operator's browser send changes (CSRF), or reach the loopback address by
//! a name of its own (DNS rebinding). Both checks are always on. Source: the Fetch Metadata and Origin fields as
//! browsers send them (W3C Fetch Metadata; RFC 6454).

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, Method, Request, Version, header, uri::Authority};

use super::problem::{Code, Problem};

/// Which hosts the API is reached by.
#[derive(Clone, Debug)]
pub struct Guard {
    admin: IpAddr,
    names: HashSet<String>,
}

impl Guard {
    /// The API listens on `admin` and is also called by the names `allowed`.
    #[must_use]
    pub fn new(admin: SocketAddr, allowed: &[String]) -> Self {
        let names = allowed.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { admin: admin.ip(), names }
    }

    /// Refuses `request` when it names another host or comes from another site.
    ///
    /// # Errors
    /// Why.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let host = host(request)?;
        if let Some(host) = &host
            && !self.serves(host.host())
        {
            let detail = format!(
                "The API is not reached by the name \"{}\": use localhost, its address, or allow the name.",
                host.host()
            );
            return Err(Problem::new(Code::Forbidden, detail));
        }
        same_site(request.method(), request.headers(), host.as_ref())
    }

    /// Refuses `request` when it comes from another site. For callers who did not come by name, over the unix socket.
    ///
    /// # Errors
    /// Why.
    pub fn check_site<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        same_site(request.method(), request.headers(), host(request).ok().flatten().as_ref())
    }

    fn serves(&self, host: &str) -> bool {
        let host =
            host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        match host.parse::<IpAddr>() {
            // An address cannot be rebound; on all interfaces every address of ours is as good as another.
            Ok(ip) => {
                ip.is_loopback()
                    || ip == self.admin
                    || self.admin.is_unspecified()
                    || self.names.contains(&host)
            }
            Err(_) => host == "localhost" || self.names.contains(&host),
        }
    }
}

/// Whether `headers` are a browser's.
#[must_use]
pub fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
}

/// The host that is asked for (RFC 9112 §3.2): in the target if that is absolute, else in the one Host field.
fn host<B>(request: &Request<B>) -> Result<Option<Authority>, Problem> {
    let malformed = |detail: &str| Problem::new(Code::MalformedRequest, detail);
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(authority.clone()));
    }
    let mut lines = request.headers().get_all(header::HOST).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Authority::try_from(line.as_bytes())
            .map(Some)
            .map_err(|_| malformed("The Host field is not a host name.")),
        // No browser of today speaks HTTP/1.0, so that neither attack comes this way.
        (None, _) if request.version() == Version::HTTP_10 => Ok(None),
        (None, _) => Err(malformed("There is no Host field.")),
        (Some(_), Some(_)) => Err(malformed("There are several Host fields.")),
    }
}

fn same_site(method: &Method, headers: &HeaderMap, host: Option<&Authority>) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::new(Code::Forbidden, detail));
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let is_own = origin
            .split_once("://")
            .and_then(|(_, authority)| authority.parse::<Authority>().ok())
            .is_some_and(|authority| host.is_some_and(|host| *host == authority));
        if !is_own {
            return refuse("Pages of other origins may not call the API.");
        }
    }
    let fetch = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match fetch("sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        // Following a link to the documentation shows nothing to the page that has the link.
        Some(_)
            if method == Method::GET
                && fetch("sec-fetch-mode") == Some("navigate")
                && fetch("sec-fetch-dest") == Some("document") =>
        {
            Ok(())
        }
        Some(_) => refuse("Pages of other sites may not call the API."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(fields: &[(&str, &str)]) -> bool {
        let guard = Guard::new("127.0.0.1:9900".parse().unwrap(), &["lb.example".to_owned()]);
        let mut request = Request::builder().method("POST").uri("/v1/upstreams");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        guard.check(&request.body(()).unwrap()).is_ok()
    }

    #[test]
    fn only_own_hosts_and_origins_pass() {
        for host in
            ["localhost", "localhost:9900", "127.0.0.1:9900", "127.9.9.9", "[::1]:9900", "LB.example:1"]
        {
            assert!(verdict(&[("host", host)]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1:9900", "", "a b"] {
            assert!(!verdict(&[("host", host)]), "{host}");
        }
        assert!(!verdict(&[]) && !verdict(&[("host", "localhost"), ("host", "localhost")]));
        let host = ("host", "localhost:9900");
        assert!(verdict(&[host, ("origin", "http://localhost:9900"), ("sec-fetch-site", "same-origin")]));
        for origin in ["http://evil.example", "http://localhost:3000", "null", "http://localhost"] {
            assert!(!verdict(&[host, ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "?"] {
            assert!(!verdict(&[host, ("sec-fetch-site", site)]), "{site}");
        }
        assert!(verdict(&[host, ("sec-fetch-site", "none")]));
    }
}
