//! The cookies of a request.

use http::{HeaderMap, header};

/// The values of the cookies called `name`, in order (RFC 6265 §4.2.1).
pub(crate) fn cookies<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "sidx=1; xsid=2;sid=a=b; sid=c".parse().unwrap());
        headers.append(header::COOKIE, "other=9; sid=".parse().unwrap());
        let found = |name| cookies(&headers, name).collect::<Vec<_>>();
        assert_eq!(found("sid"), [&b"a=b"[..], b"c", b""]);
        assert_eq!(found("other"), [&b"9"[..]]);
        assert!(found("si").is_empty());
    }
}
