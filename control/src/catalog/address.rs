//! One text for each address, so that equal addresses are equal texts: `127.0.0.1:080` is `127.0.0.1:80`, and
//! `[0:0:0:0:0:0:0:1]:80` is `[::1]:80` (RFC 5952).

use std::sync::Arc;

use weir_shared::model::{ServerRecord, UpstreamRecord, address::Address};

/// The one text of the address `text`; `text` itself when it is none.
#[must_use]
pub fn canonical(text: &str) -> String {
    Address::parse(text).map_or_else(|_| text.to_owned(), |address| address.to_string())
}

/// The server of `upstream` that `key` names: its id, or its address however written.
#[must_use]
pub fn find<'a>(upstream: &'a UpstreamRecord, key: &str) -> Option<&'a Arc<ServerRecord>> {
    if let Some((_, record)) = upstream.find(key) {
        return Some(record);
    }
    let wanted = Address::parse(key).ok()?;
    upstream.servers.iter().find(|record| Address::parse(&record.server.address).is_ok_and(|it| it == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_addresses_have_one_text() {
        for (text, one) in [
            ("127.0.0.1:080", "127.0.0.1:80"),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("[2001:DB8::A]:80", "[2001:db8::a]:80"),
            ("Web.Local:0080", "web.local:80"),
            ("web.local:80", "web.local:80"),
            ("no address", "no address"),
        ] {
            assert_eq!(canonical(text), one);
        }
    }
}
