//! Where a listener listens: `IP:port`, or the path of a unix socket.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// Longest path of a unix socket: `sun_path` of Linux's `sockaddr_un` holds 108 bytes with the end, and a socket that takes
/// another one's place is bound beside it first, as `PATH.new`.
const MAX_PATH_BYTES: usize = 103;
/// What the path of a unix socket is written behind.
const UNIX: &str = "unix:";

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A TCP port of an address of this machine. Port 0 takes a free one.
    Socket(SocketAddr),
    /// A unix socket at this absolute path.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether it asks for any free port: each that does gets another one.
    #[must_use]
    pub fn is_any_port(&self) -> bool {
        matches!(self, Self::Socket(socket) if socket.port() == 0)
    }

    /// Reads an address: `0.0.0.0:443`, `[::]:80`, `localhost:80` or `unix:/run/weir.sock`.
    ///
    /// # Errors
    /// What is wrong and how to mend it, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            return unix(path);
        }
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Ok(Self::Socket(socket));
        }
        if text.parse::<IpAddr>().is_ok() {
            let host = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
            return Err(format!("missing port; did you mean \"{host}:80\"?"));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(format!(
                "\"{}\" is no address to listen on: write IP:port like \"0.0.0.0:80\" or \"[::]:80\", or \"unix:/path\"",
                shown(text)
            ));
        };
        let port: u16 =
            port.parse().map_err(|_| format!("\"{}\" is not a port (0 to 65535)", shown(port)))?;
        match host {
            "localhost" => Ok(Self::Socket(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))),
            "" | "*" => {
                Err(format!("did you mean \"[::]:{port}\" (IPv4 and IPv6) or \"0.0.0.0:{port}\" (IPv4)?"))
            }
            _ => Err(format!(
                "\"{}\" is no IP address: a listener listens on an address of this machine, not on a name",
                shown(host)
            )),
        }
    }

    /// Whether a client can reach both by the same address: they are equal, or one of them is a wildcard that takes in the
    /// other.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(other)) => one == other,
            (Self::Socket(one), Self::Socket(other)) => {
                one.port() == other.port()
                    && one.port() != 0
                    && (takes_in(one, other) || takes_in(other, one))
            }
            (Self::Unix(_), Self::Socket(_)) | (Self::Socket(_), Self::Unix(_)) => false,
        }
    }
}

/// Whether `wide`, of the same port, is reached by the address of `narrow`. The wildcard of IPv6 serves IPv4 too.
fn takes_in(wide: &SocketAddr, narrow: &SocketAddr) -> bool {
    match (wide.ip().to_canonical(), narrow.ip().to_canonical()) {
        (IpAddr::V6(wide), _) if wide.is_unspecified() => true,
        (IpAddr::V4(wide), IpAddr::V4(narrow)) => wide.is_unspecified() || wide == narrow,
        (IpAddr::V6(_), IpAddr::V6(_)) => wide == narrow,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// As much of a text as a message repeats.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn unix(path: &str) -> Result<ListenAddress, String> {
    if !path.starts_with('/') {
        return Err("the path of a unix socket is absolute, like \"unix:/run/weir.sock\"".to_owned());
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(format!("the path of a unix socket has at most {MAX_PATH_BYTES} bytes"));
    }
    if path.ends_with('/') || path.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("the path of a unix socket ends with a file's name and has no control characters".into());
    }
    Ok(ListenAddress::Unix(PathBuf::from(path)))
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => socket.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read_and_written_in_one() {
        for (text, written) in [
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::]:443", "[::]:443"),
            ("[0:0::1]:1", "[::1]:1"),
            ("[::ffff:127.0.0.1]:8080", "[::ffff:127.0.0.1]:8080"),
            ("localhost:0", "127.0.0.1:0"),
            ("unix:/run/weir/a.sock", "unix:/run/weir/a.sock"),
        ] {
            assert_eq!(ListenAddress::parse(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_none_is_told_with_what_was_meant() {
        for (text, hint) in [
            ("", "no address"),
            ("80", "no address"),
            (":80", "did you mean \"[::]:80\""),
            ("*:80", "did you mean \"[::]:80\""),
            ("::1", "did you mean \"[::1]:80\""),
            ("127.0.0.1", "did you mean \"127.0.0.1:80\""),
            ("127.0.0.1:65536", "not a port"),
            ("example.com:80", "no IP address"),
            ("unix:", "absolute"),
            ("unix:run/a", "absolute"),
            ("unix:/run/", "file's name"),
            ("unix:/run/\0", "control characters"),
        ] {
            let told = ListenAddress::parse(text).unwrap_err();
            assert!(told.contains(hint), "{text:?}: {told}");
        }
        let path_of = |bytes: usize| format!("unix:/{}", "a".repeat(bytes - 1));
        assert!(ListenAddress::parse(&path_of(MAX_PATH_BYTES)).is_ok());
        assert!(
            ListenAddress::parse(&path_of(MAX_PATH_BYTES + 1)).unwrap_err().contains("at most 103 bytes")
        );
    }

    #[test]
    fn addresses_overlap_where_a_client_reaches_both() {
        for (one, other, overlap) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.2:80", true),
            ("0.0.0.0:80", "127.0.0.2:81", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
            ("[::]:80", "0.0.0.0:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("[::1]:80", "127.0.0.1:80", false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", "[::]:80", false),
        ] {
            let [one, other] = [one, other].map(|text| ListenAddress::parse(text).unwrap());
            assert_eq!((one.overlaps(&other), other.overlaps(&one)), (overlap, overlap), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(text in "(unix:/[a-z/]{1,9}|\\PC{0,30}|[0-9.:\\[\\]]{0,20})") {
            match ListenAddress::parse(&text) {
                Ok(address) => prop_assert_eq!(ListenAddress::parse(&address.to_string()), Ok(address)),
                Err(hint) => prop_assert!(!hint.is_empty()),
            }
        }
    }
}
