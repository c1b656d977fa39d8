//! The path of a request as routes see it, and the other ways in which a server could read it.
//!
//! Servers differ in what they make of `//`, `..`, `%2F`, `;x` and `%61`. A route that is passed by with a spelling that the
//! server takes for another path would protect nothing. Two rules close that gap without changing what is forwarded:
//!
//! - What RFC 3986 §6.2.2 calls equivalent is the same path: `%61` is `a`, `%c3` is `%C3`, and a byte that has to be encoded is.
//! - A path that can be read in more than one way counts only if all [`readings`] lead to the same route.
//!
//! Hot path: one look at each byte; a path without anything special is borrowed.

use std::borrow::Cow;

/// What there is to say about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It is canonical and can be read in one way only.
    Plain,
    /// It has to be looked at.
    Special,
}

/// Whether a byte may not stand in a path or query as it is (RFC 3986 §3.3). `[` and `]` may, as in `a[]=1`.
#[must_use]
pub fn must_be_encoded(byte: u8) -> bool {
    !matches!(byte, 0x21..=0x7e)
        || matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#')
}

/// Whether `path` needs a second look. Rarely says so without need, never fails to.
#[must_use]
pub fn form(path: &str) -> Form {
    let bytes = path.as_bytes();
    let mut after_slash = false;
    for &byte in bytes {
        let is_special = match byte {
            b'/' | b'.' if after_slash => true,
            b'%' | b';' => true,
            byte => must_be_encoded(byte),
        };
        if is_special {
            return Form::Special;
        }
        after_slash = byte == b'/';
    }
    Form::Plain
}

/// `path` in the one form that all equivalent spellings have: what may be decoded is, what must be encoded is, and hexadecimal
/// digits are upper case.
#[must_use]
pub fn canonical(path: &str) -> Cow<'_, str> {
    if !path.bytes().any(|byte| byte == b'%' || must_be_encoded(byte)) {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len() + 8);
    let mut bytes = path.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'%'
            && let Some(decoded) = hex_pair(bytes.as_slice())
        {
            bytes.nth(1);
            if is_unreserved(decoded) {
                out.push(char::from(decoded));
            } else {
                push_encoded(&mut out, decoded);
            }
        } else if must_be_encoded(byte) {
            push_encoded(&mut out, byte);
        } else {
            out.push(char::from(byte));
        }
    }
    Cow::Owned(out)
}

fn push_encoded(out: &mut String, byte: u8) {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase();
    out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

fn hex_pair(rest: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(rest.first()?)? << 4 | digit(rest.get(1)?)?)
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The other ways in which a server could read the canonical path `path`: separators decoded, parameters of segments left
/// out, empty segments left out, dot segments resolved (RFC 3986 §5.2.4), and any of these together. At most 15.
#[must_use]
pub fn readings(path: &str) -> Vec<String> {
    let mut found = vec![path.to_owned()];
    for step in [decode_separators, drop_parameters, drop_empty, resolve_dots] {
        for reading in found.clone() {
            if let Some(other) = step(&reading)
                && !found.contains(&other)
            {
                found.push(other);
            }
        }
    }
    found.remove(0);
    found
}

/// Whether some segment of the canonical path `path` is `.` or `..` for some reader.
#[must_use]
pub fn has_dot_segments(path: &str) -> bool {
    let mut all = readings(path);
    all.push(path.to_owned());
    all.iter().any(|reading| reading.split('/').any(|segment| matches!(segment, "." | "..")))
}

/// `path` without one `/` at its end.
#[must_use]
pub fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn decode_separators(path: &str) -> Option<String> {
    let is_there = path.contains("%2F") || path.contains("%5C");
    is_there.then(|| path.replace("%2F", "/").replace("%5C", "/"))
}

fn drop_parameters(path: &str) -> Option<String> {
    path.contains(';').then(|| {
        let bare = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
        bare.collect::<Vec<_>>().join("/")
    })
}

fn drop_empty(path: &str) -> Option<String> {
    path.contains("//").then(|| {
        let mut out = String::with_capacity(path.len());
        for letter in path.chars() {
            if letter != '/' || !out.ends_with('/') {
                out.push(letter);
            }
        }
        out
    })
}

fn resolve_dots(path: &str) -> Option<String> {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => {
                kept.push(other);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    Some(format!("/{}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equivalent_spellings_have_one_form() {
        for (path, expected) in [
            ("/a/b-c._~!$&'()*+,=:@", "/a/b-c._~!$&'()*+,=:@"),
            ("/%61%2d%7E", "/a-~"),
            ("/%c3%a4", "/%C3%A4"),
            ("/ä", "/%C3%A4"),
            ("/{a}|\\", "/%7Ba%7D%7C%5C"),
            ("/%2f%2F", "/%2F%2F"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz", "/%zz"),
            ("/%2561", "/%2561"),
        ] {
            assert_eq!(canonical(path), expected, "{path}");
        }
    }

    #[test]
    fn what_servers_read_differently_has_several_readings() {
        let sorted = |path: &str| {
            let mut found = readings(&canonical(path));
            found.sort();
            found
        };
        assert!(sorted("/a/b.c/..d/.e").is_empty());
        assert_eq!(sorted("//a"), ["/a"]);
        assert_eq!(sorted("/a/../b"), ["/b"]);
        assert_eq!(sorted("/a/%2e%2E/b"), ["/b"], "encoded dots are dots");
        assert_eq!(sorted("/a/.."), ["/"]);
        assert_eq!(sorted("/../../a/./"), ["/a/"]);
        assert_eq!(sorted("/a%2Fb"), ["/a/b"]);
        assert_eq!(sorted("/a%2f..%5cb"), ["/a/../b", "/b"]);
        assert_eq!(sorted("/a;x=1/b"), ["/a/b"]);
        assert_eq!(sorted("/a/..;/b"), ["/a/../b", "/b"]);
        assert_eq!(sorted("/a//../b"), ["/a/../b", "/a/b", "/b"]);
    }

    #[test]
    fn dot_segments_are_found_however_they_are_hidden() {
        for path in ["/a/..", "/./a", "/a/..;x/b", "/a%2F..", "/..%5Ca"] {
            assert!(has_dot_segments(&canonical(path)), "{path}");
        }
        for path in ["/a/..b", "/.well-known/x", "/a;../b", "/..."] {
            assert!(!has_dot_segments(&canonical(path)), "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_stable(path in "/[a-f0-9%./;\\\\ ä{2F5C]{0,20}") {
            let once = canonical(&path).into_owned();
            prop_assert!(once.is_ascii());
            prop_assert_eq!(canonical(&once).into_owned(), once);
        }

        #[test]
        fn a_plain_path_is_canonical_and_has_one_reading(path in "/[ab%./;\\\\25CF]{0,12}") {
            if form(&path) == Form::Plain {
                prop_assert_eq!(canonical(&path), path.as_str());
                prop_assert!(readings(&path).is_empty());
            }
            prop_assert!(readings(&canonical(&path)).len() < 16);
        }
    }
}
