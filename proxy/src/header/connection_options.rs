//! Fields that are for one connection only (RFC 9110 §7.6.1).
//!
//! A message may have several `Connection` lines, each naming several fields: all of them count, not the first.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

/// What the `Connection` lines of a message say.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionOptions {
    persistence: Persistence,
    /// Fields that end with this connection. Rarely any.
    named: Vec<HeaderName>,
}

/// What a sender says of the connection after this message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Persistence {
    /// Nothing: the version decides.
    #[default]
    Unsaid,
    KeepAlive,
    /// Outweighs `KeepAlive`, on whichever line.
    Close,
}

impl ConnectionOptions {
    /// Reads all `Connection` lines of `headers`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut options = Self::default();
        for value in headers.get_all(header::CONNECTION) {
            options.add(value);
        }
        options
    }

    /// Reads one more line.
    pub(crate) fn add(&mut self, line: &HeaderValue) {
        for option in line.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                self.persistence = Persistence::Close;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                if self.persistence == Persistence::Unsaid {
                    self.persistence = Persistence::KeepAlive;
                }
            } else if let Ok(name) = HeaderName::from_bytes(option)
                // Framing and routing are not the sender's to take away (RFC 9110 §7.6.1: fields for all recipients).
                && !matches!(name, header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING)
            {
                self.named.push(name);
            }
        }
    }

    /// `name` ends with this connection too.
    pub(crate) fn end(&mut self, name: HeaderName) {
        self.named.push(name);
    }

    /// Whether `name` is one of the fields that end with this connection.
    pub(crate) fn names(&self, name: &HeaderName) -> bool {
        !self.named.is_empty() && self.named.contains(name)
    }

    /// The fields that end with this connection.
    pub(crate) fn named(&self) -> &[HeaderName] {
        &self.named
    }

    /// Whether the sender lets another message follow (RFC 9112 §9.3).
    pub(crate) fn allow_reuse(&self, version: Version) -> bool {
        match self.persistence {
            Persistence::Close => false,
            Persistence::KeepAlive => true,
            Persistence::Unsaid => version == Version::HTTP_11,
        }
    }
}

/// Whether a field ends with the connection by its nature, named or not.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    match name.as_str() {
        "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade" => true,
        // RFC 9110 §11.7: credentials and challenges between a client and its own proxy.
        "proxy-authenticate" | "proxy-authentication-info" => true,
        _ => false,
    }
}

/// Whether a request field is not passed on as it is: for one connection only, or written anew.
pub(crate) fn is_rewritten(name: &HeaderName) -> bool {
    if name.as_str().contains('_') {
        // Servers behind CGI-like interfaces cannot tell `content_length` from `content-length`.
        return HeaderName::try_from(name.as_str().replace('_', "-")).is_ok_and(|name| is_rewritten(&name));
    }
    match name.as_str() {
        "host" | "content-length" | "expect" | "http2-settings" | "max-forwards" | "proxy-authorization" => {
            true
        }
        _ => is_hop_by_hop(name),
    }
}

/// Takes off a response's fields what is for the connection it came over, HTTP/2, and makes several lengths, which are the
/// same, one. Answers the length.
pub(crate) fn end_connection_fields(headers: &mut HeaderMap) -> Option<u64> {
    let ending: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in ending {
        headers.remove(name);
    }
    let length = headers.get(header::CONTENT_LENGTH)?.clone();
    let number = length.to_str().ok()?.parse().ok();
    headers.insert(header::CONTENT_LENGTH, length);
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_and_every_option_counts() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, HeaderValue::from_static("keep-alive, X-One"));
        headers.append(header::CONNECTION, HeaderValue::from_static(" x-two ,, close, host"));
        let options = ConnectionOptions::of(&headers);
        for name in ["x-one", "x-two"] {
            assert!(options.names(&HeaderName::from_static(name)), "{name}");
        }
        assert!(!options.names(&header::HOST));
        assert!(!options.allow_reuse(Version::HTTP_11));
        assert!(
            ConnectionOptions::default().allow_reuse(Version::HTTP_11)
                && !ConnectionOptions::default().allow_reuse(Version::HTTP_10)
        );
    }
}
