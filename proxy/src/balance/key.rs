//! The key of a request, for algorithms that pick by one.

use http::{HeaderMap, header};
use weir_shared::{
    model::HashOn,
    table::{Key, Upstream},
};

use crate::{forward::RequestHead, header::client_address};

/// The key of `request`; `None` when it has none, or `upstream` does not ask for one.
pub(crate) fn key_of(upstream: &Upstream, request: &RequestHead<'_>) -> Option<Key> {
    let table = upstream.hash.as_ref()?;
    let settings = &upstream.record.spec.hash;
    let name = settings.name.as_deref().unwrap_or_default();
    match settings.on {
        HashOn::ClientIp => {
            let address = client_address(request.exchange, request.headers);
            let (bytes, len) = Key::network(address, settings);
            bytes.get(..len).map(|bytes| table.key(bytes))
        }
        HashOn::Path => {
            let path = request.target.split('?').next().unwrap_or_default();
            Some(table.key(path.as_bytes()))
        }
        HashOn::Header => request.headers.get(name).map(|value| table.key(value.as_bytes())),
        HashOn::Cookie => cookie(request.headers, name).map(|value| table.key(value)),
        HashOn::Query => query(request.target, name).map(|value| table.key(value.as_bytes())),
    }
}

/// The value of the first cookie called `name` (RFC 6265 §4.2.1).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let pairs =
        headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")).next()
}

/// The value of the first query parameter called `name`, as it is written.
fn query<'t>(target: &'t str, name: &str) -> Option<&'t str> {
    let parameters = target.split_once('?')?.1.split('&');
    parameters.filter_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('=')).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "sidx=1; xsid=2;sid=a=b; sid=c".parse().unwrap());
        headers.append(header::COOKIE, "other=9".parse().unwrap());
        assert_eq!(cookie(&headers, "sid"), Some(&b"a=b"[..]));
        assert_eq!(cookie(&headers, "other"), Some(&b"9"[..]));
        assert_eq!(cookie(&headers, "si"), None);
    }

    #[test]
    fn query_parameters_are_found_by_their_whole_name() {
        let target = "/p?users=1&user=2&user=3&user";
        assert_eq!(query(target, "user"), Some("2"));
        assert_eq!(query(target, "use"), None);
        assert_eq!(query("/p", "user"), None);
    }
}
