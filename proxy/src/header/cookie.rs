//! The cookies of a request.

use http::{HeaderMap, HeaderValue, header};

use super::framing::is_padded;

/// The values of the cookies called `name`, in order (RFC 6265 §4.2.1).
pub(crate) fn cookies<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Puts the pieces together that HTTP/2 clients make of `Cookie`, before anything looks at it (RFC 9113 §8.2.3). What is
/// malformed stays so.
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let pieces: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() < 2 || pieces.iter().any(|piece| is_padded(piece)) {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
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

    #[test]
    fn pieces_are_put_together() {
        let join = |pieces: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for piece in pieces {
                headers.append(header::COOKIE, HeaderValue::from_static(piece));
            }
            join_cookies(&mut headers);
            let lines = headers.get_all(header::COOKIE).iter().map(|line| line.to_str().unwrap().to_owned());
            lines.collect::<Vec<_>>()
        };
        assert_eq!(join(&[]), Vec::<String>::new());
        assert_eq!(join(&["a=1"]), ["a=1"]);
        assert_eq!(join(&["a=1", "b=2; c=3", ""]), ["a=1; b=2; c=3; "]);
        assert_eq!(join(&["a=1 ", "b=2"]), ["a=1 ", "b=2"]);
    }
}
