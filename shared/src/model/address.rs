//! Addresses of servers: `IPv4:port`, `[IPv6]:port` or `dns-name:port`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An address to connect to.
    Socket(SocketAddr),
    /// A name to look up first.
    Name {
        /// The host name, lower case.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong and how to mend it, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Err(format!("write host:port without a scheme, like \"{}\"", suggestion(text)));
        }
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return port(socket.port()).map(|_| Self::Socket(socket));
        }
        if text.parse::<IpAddr>().is_ok() {
            let host = if text.parse::<Ipv6Addr>().is_ok() { format!("[{text}]") } else { text.to_owned() };
            return Err(format!("missing port; did you mean \"{host}:80\"?"));
        }
        let Some((host, number)) = text.rsplit_once(':') else {
            return Err(format!("missing port; did you mean \"{text}:80\"?"));
        };
        let number = number.parse().map_err(|_| format!("\"{number}\" is not a port (1 to 65535)"))?;
        let port = port(number)?;
        if !is_host_name(host) {
            return Err(format!("\"{host}\" is neither an IP address nor a host name"));
        }
        Ok(Self::Name { host: Arc::from(host.to_ascii_lowercase()), port })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Socket(socket) => socket.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => socket.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

fn port(number: u16) -> Result<u16, String> {
    if number == 0 { Err("port 0 cannot be connected to (1 to 65535)".to_owned()) } else { Ok(number) }
}

/// `host:port` out of a URL, as far as it can be told.
fn suggestion(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (has_port, scheme) {
        (true, _) => authority.to_owned(),
        (false, "https") => format!("{authority}:443"),
        (false, _) => format!("{authority}:80"),
    }
}

/// RFC 1123 §2.1, with `_` allowed because container platforms hand out such names. A name whose last label is a
/// number would be a mistyped IPv4 address.
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
    };
    let last = host.rsplit('.').next().unwrap_or(host);
    host.len() <= 253 && host.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_with_a_hint() {
        for good in ["127.0.0.1:80", "[::1]:8080", "localhost:3000", "web_1.svc.local:65535"] {
            assert_eq!(Address::parse(good).unwrap().to_string(), good);
        }
        let refused = |text: &str, hint: &str| {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        };
        refused("10.0.0.8", "10.0.0.8:80");
        refused("::1", "[::1]:80");
        refused("web", "web:80");
        refused("http://web:81/", "\"web:81\"");
        refused("https://web", "\"web:443\"");
        refused("web:0", "port 0");
        refused("web:99999", "not a port");
        refused("web:", "not a port");
        refused("a b:80", "host name");
        refused("300.1.1.1:80", "host name");
        refused(":80", "host name");
        refused("", "missing port");
    }
}

#[cfg(test)]
mod properties {
    use std::net::{Ipv4Addr, SocketAddrV4, SocketAddrV6};

    use proptest::{prelude::*, sample::select};

    use super::*;

    fn nearly_an_address() -> impl Strategy<Value = String> {
        let words = vec![
            "http://", "[", "]", "::", ":", ".", "1", "0", "255", "a", "-", "_", "é", " ", "%eth0", "/", "?",
            "@", ":80", "\0",
        ];
        proptest::collection::vec(select(words), 0..10).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sockets_are_read_as_they_are_written(v4 in any::<u32>(), v6 in any::<u128>(), number in 1..=u16::MAX) {
            for socket in [
                SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(v4), number)),
                SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(v6), number, 0, 0)),
            ] {
                prop_assert_eq!(Address::parse(&socket.to_string()), Ok(Address::Socket(socket)));
            }
        }

        #[test]
        fn names_are_read_in_lower_case(labels in "([a-zA-Z_][a-zA-Z0-9_]{0,9}\\.){0,3}[a-zA-Z]{1,9}", number in 1..=u16::MAX) {
            let read = Address::parse(&format!("{labels}:0{number}"));
            prop_assert_eq!(read, Ok(Address::Name { host: labels.to_lowercase().into(), port: number }));
        }

        /// Equal addresses have one text, which is read as the same address.
        #[test]
        fn any_text_is_an_address_with_one_text_or_refused(text in nearly_an_address()) {
            match Address::parse(&text) {
                Ok(address) => prop_assert_eq!(Address::parse(&address.to_string()), Ok(address)),
                Err(hint) => prop_assert!(!hint.is_empty()),
            }
        }
    }
}
