//! Where the API is: a URL, the path of a unix socket, or just host and port as in the balancer's own flag.

use std::{fmt, path::PathBuf, str::FromStr};

use hyper::Uri;

/// Port of the API when none is named.
const DEFAULT_PORT: u16 = 9900;

/// Where the API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Over TCP.
    Tcp {
        /// In the clear, or with TLS.
        scheme: Scheme,
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// At a unix socket.
    Unix(PathBuf),
}

/// How bytes travel over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In the clear.
    Http,
    /// With TLS.
    Https,
}

impl Place {
    /// Whether TLS is needed to get there.
    pub(super) fn is_https(&self) -> bool {
        matches!(self, Self::Tcp { scheme: Scheme::Https, .. })
    }

    /// The `Host` of requests (RFC 9110 §7.2).
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
            // The socket has no name; this one is always served.
            Self::Unix(_) => "localhost".to_owned(),
        }
    }

    /// Whether what is sent can be read on the way by others than this machine.
    pub(super) fn is_exposed(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tcp { scheme: Scheme::Https, .. } => false,
            Self::Tcp { scheme: Scheme::Http, host, .. } => {
                let is_loopback =
                    host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
                !is_loopback && host != "localhost"
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { scheme: Scheme::Http, .. } => write!(f, "http://{}", self.authority()),
            Self::Tcp { scheme: Scheme::Https, .. } => write!(f, "https://{}", self.authority()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err("expected the path of a socket after unix:".to_owned()),
                path => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let expected = "expected http://HOST:PORT, https://HOST:PORT, HOST:PORT or unix:PATH";
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(_) => return Err(expected.to_owned()),
            None => (Scheme::Http, text),
        };
        if rest.contains('@') {
            return Err("a name or a token does not belong into the address: use WEIR_TOKEN".to_owned());
        }
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| expected.to_owned())?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("expected an address without a path".to_owned());
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let host = match host {
            "" => return Err(expected.to_owned()),
            // Where the balancer listens on all addresses, this machine reaches it on loopback.
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            host => host,
        };
        let port = match uri.port_u16() {
            Some(port) => port,
            // A number too large for a port is still in the text.
            None if uri.authority().map(|authority| authority.as_str()) == uri.host() => DEFAULT_PORT,
            None => return Err(expected.to_owned()),
        };
        Ok(Self::Tcp { scheme, host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_an_address() {
        for (text, shown) in [
            ("http://127.0.0.1:9900", "http://127.0.0.1:9900"),
            ("127.0.0.1:9901", "http://127.0.0.1:9901"),
            ("localhost", "http://localhost:9900"),
            ("http://weir.internal/", "http://weir.internal:9900"),
            ("[::1]:80", "http://[::1]:80"),
            ("https://weir.internal", "https://weir.internal:9900"),
            ("0.0.0.0:9900", "http://127.0.0.1:9900"),
            ("[::]:9900", "http://[::1]:9900"),
            ("unix:weir-data/admin.sock", "unix:weir-data/admin.sock"),
            ("unix:///run/weir.sock", "unix:/run/weir.sock"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, why) in [
            ("", "expected"),
            ("unix:", "path of a socket"),
            ("ftp://a", "expected http"),
            ("https://a:1/v1", "without a path"),
            ("http://token@a:1", "WEIR_TOKEN"),
            ("http://a:1/v1", "without a path"),
            ("http://a:99999", "expected"),
            ("a b", "expected"),
        ] {
            let refused = text.parse::<Place>().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn only_another_machine_is_exposed() {
        for (text, expected) in [
            ("127.0.0.1:1", false),
            ("[::1]:1", false),
            ("localhost:1", false),
            ("unix:/a", false),
            ("https://10.0.0.1:1", false),
            ("10.0.0.1:1", true),
            ("localhost.example:1", true),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().is_exposed(), expected, "{text}");
        }
    }
}
