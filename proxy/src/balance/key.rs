//! The key of a request, for algorithms that pick by one.

use http::HeaderMap;
use weir_shared::{
    model::{Hash, HashOn},
    table::{HashTable, Key, Upstream},
};

use crate::{
    exchange::Exchange,
    forward::RequestHead,
    header::{client_address, cookies},
};

/// The key of a request with `headers` for `target`; `None` when it has none, or `upstream` does not ask for one.
pub(crate) fn key_of(
    upstream: &Upstream,
    exchange: &Exchange,
    headers: &HeaderMap,
    target: &str,
) -> Option<Key> {
    of(upstream.hash.as_ref()?, &upstream.record.spec.hash, exchange, headers, target)
}

/// The key of `request` for the shadow of `upstream`; `None` when it has none, or the shadow does not ask for one.
pub(crate) fn shadow_key_of(upstream: &Upstream, request: &RequestHead<'_>) -> Option<Key> {
    let table = upstream.shadow.as_ref()?.hash.as_ref()?;
    of(table, upstream.shadow_hash()?, request.exchange, request.headers, request.target)
}

fn of(
    table: &HashTable,
    settings: &Hash,
    exchange: &Exchange,
    headers: &HeaderMap,
    target: &str,
) -> Option<Key> {
    let name = settings.name.as_deref().unwrap_or_default();
    match settings.on {
        HashOn::ClientIp => {
            let address = client_address(exchange, headers);
            let (bytes, len) = Key::network(address, settings);
            bytes.get(..len).map(|bytes| table.key(bytes))
        }
        HashOn::Path => {
            let path = target.split('?').next().unwrap_or_default();
            Some(table.key(path.as_bytes()))
        }
        HashOn::Header => headers.get(name).map(|value| table.key(value.as_bytes())),
        HashOn::Cookie => cookies(headers, name).next().map(|value| table.key(value)),
        HashOn::Query => query(target, name).map(|value| table.key(value.as_bytes())),
    }
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
    fn query_parameters_are_found_by_their_whole_name() {
        let target = "/p?users=1&user=2&user=3&user";
        assert_eq!(query(target, "user"), Some("2"));
        assert_eq!(query(target, "use"), None);
        assert_eq!(query("/p", "user"), None);
    }
}
