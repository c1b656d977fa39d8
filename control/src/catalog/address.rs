//! One text for each address, so that equal addresses are equal texts: `127.0.0.1:080` is `127.0.0.1:80`, and
//! `[0:0:0:0:0:0:0:1]:80` is `[::1]:80` (RFC 5952).

use weir_shared::model::address::Address;

/// The one text of the address `text`; `text` itself when it is none.
#[must_use]
pub fn canonical(text: &str) -> String {
    Address::parse(text).map_or_else(|_| text.to_owned(), |address| address.to_string())
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
