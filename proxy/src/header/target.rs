//! The request target as it is sent to servers.

use std::borrow::Cow;

use http::Uri;
use weir_shared::path::must_be_encoded;

/// The target in origin form, or `*` (RFC 9112 §3.2.1, §3.2.4).
pub(crate) fn origin_form(uri: &Uri) -> Cow<'_, str> {
    match uri.path_and_query().map_or("", |target| target.as_str()) {
        "" => Cow::Borrowed("/"),
        target if target.starts_with('/') || target == "*" => Cow::Borrowed(target),
        query => Cow::Owned(format!("/{query}")),
    }
}

/// Appends `target`, with every byte that RFC 3986 does not allow in a path or query percent-encoded: browsers send
/// some of them as they are, and strict servers refuse or misread them. `[` and `]` stay, as in `a[]=1`.
pub(crate) fn write_target(out: &mut Vec<u8>, target: &str) {
    let bytes = target.as_bytes();
    if !bytes.iter().any(|byte| must_be_encoded(*byte)) {
        out.extend_from_slice(bytes);
        return;
    }
    for &byte in bytes {
        if must_be_encoded(byte) {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        } else {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_brought_to_origin_form() {
        let form = |target: &'static str| origin_form(&Uri::from_static(target)).into_owned();
        assert_eq!(form("/a?b"), "/a?b");
        assert_eq!(form("http://host/a?b"), "/a?b");
        assert_eq!(form("http://host"), "/");
        assert_eq!(form("http://host?b"), "/?b");
        assert_eq!(form("*"), "*");
    }

    #[test]
    fn only_what_is_not_allowed_is_encoded() {
        let written = |target| {
            let mut out = Vec::new();
            write_target(&mut out, target);
            String::from_utf8(out).unwrap()
        };
        let plain = "/a/b-c._~%20:@!$&'()*+,;=?q=[1]/?";
        assert_eq!(written(plain), plain);
        assert_eq!(written("/{a}|b?c=\"d\"^`\\"), "/%7Ba%7D%7Cb?c=%22d%22%5E%60%5C");
        assert_eq!(written("/ä"), "/%C3%A4");
        assert_eq!(written("*"), "*");
    }
}
