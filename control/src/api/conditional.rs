//! `If-Match` and `If-None-Match` on the way in, `ETag` on the way out.
//!
//! `If-Match` compares strongly, so that a weak tag never matches (RFC 9110 §13.1.1). Suffixes that intermediaries append
//! when they compress are taken off. `If-None-Match` compares weakly, on reads and on changes (§13.1.2).

use http::{HeaderMap, HeaderName, header};
use weir_shared::error::FieldErrorCode;

use super::problem::{Fault, Problem};
use crate::catalog::precondition::{Precondition, Tags};

/// What compressing intermediaries append inside the quotes (Apache, nginx modules, Jetty).
const SUFFIXES: [&str; 6] = ["--gzip", "-gzip", "--br", "-br", "--zstd", "-zstd"];

/// One tag of a list.
struct Tag {
    opaque: String,
    is_weak: bool,
}

/// What `headers` demand of the resource that is to be changed.
///
/// # Errors
/// When a field is malformed: to ignore it would be to overwrite what it was to protect.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let strong = read(headers, &header::IF_MATCH)?.map(|list| named(list, |tag| !tag.is_weak));
    let weak = read(headers, &header::IF_NONE_MATCH)?.map(|list| named(list, |_| true));
    Ok(Precondition { matches: strong, matches_none: weak, ..Precondition::default() })
}

/// What `list` names, of its tags those that `counts`.
fn named(list: List, counts: impl Fn(&Tag) -> bool) -> Tags {
    match list {
        List::Any => Tags::Any,
        List::These(tags) => Tags::These(tags.into_iter().filter(counts).map(|tag| tag.opaque).collect()),
    }
}

/// Whether a caller who sent `headers` has the representation with `tag` already.
///
/// # Errors
/// When the field is malformed.
pub(super) fn has(headers: &HeaderMap, tag: &str) -> Result<bool, Problem> {
    Ok(match read(headers, &header::IF_NONE_MATCH)? {
        None => false,
        Some(List::Any) => true,
        Some(List::These(tags)) => tags.iter().any(|known| known.opaque == tag),
    })
}

enum List {
    Any,
    These(Vec<Tag>),
}

fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<List>, Problem> {
    let lines: Vec<&str> =
        headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("\u{fffd}")).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let text = lines.join(",");
    if text.trim() == "*" {
        return Ok(Some(List::Any));
    }
    tags(&text).map(|tags| Some(List::These(tags))).ok_or_else(|| {
        let fault = Fault {
            pointer: None,
            parameter: None,
            header: Some(name.to_string()),
            code: FieldErrorCode::InvalidValue,
            detail: "must be * or a list of entity tags in double quotes, like \"r42.7f3a9c\"".to_owned(),
            value: Some(text.into()),
            allowed: None,
        };
        Problem::invalid(vec![fault])
    })
}

/// The tags of a list; `None` when it is not one (RFC 9110 §8.8.3).
fn tags(text: &str) -> Option<Vec<Tag>> {
    let mut rest = text.trim();
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let is_weak = rest.starts_with("W/");
        let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let (opaque, tail) = quoted.split_once('"')?;
        let opaque = SUFFIXES.iter().find_map(|suffix| opaque.strip_suffix(suffix)).unwrap_or(opaque);
        tags.push(Tag { opaque: opaque.to_owned(), is_weak });
        let tail = tail.trim_start();
        rest = match tail.strip_prefix(',') {
            Some(more) => more.trim_start_matches([',', ' ', '\t']),
            None if tail.is_empty() => tail,
            None => return None,
        };
    }
    (!tags.is_empty()).then_some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(field: &str, current: Option<&str>) -> bool {
        let headers = HeaderMap::from_iter([(header::IF_MATCH, field.parse().unwrap())]);
        precondition(&headers).unwrap().holds(current)
    }

    #[test]
    fn if_match_is_strong() {
        for field in ["\"r1.a\"", "*", "\"x\", \"r1.a\"", "\"r1.a-gzip\"", "\"r1.a--br\"", " \"x\" ,\"r1.a\""]
        {
            assert!(holds(field, Some("r1.a")), "{field}");
            assert!(!holds(field, None), "{field}: there is none");
        }
        for field in ["\"r2.a\"", "W/\"r1.a\"", "\"r1.b\"", "\"\""] {
            assert!(!holds(field, Some("r1.a")), "{field}");
        }
    }

    #[test]
    fn malformed_fields_are_refused() {
        for field in ["r1.a", "\"r1.a", "\"a\" \"b\"", "", ",", "*, \"a\""] {
            let headers = HeaderMap::from_iter([(header::IF_MATCH, field.parse().unwrap())]);
            assert!(precondition(&headers).is_err(), "{field}");
        }
    }

    #[test]
    fn if_none_match_is_weak_and_guards_creation() {
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, "W/\"r1.a\"".parse().unwrap())]);
        assert!(has(&headers, "r1.a").unwrap() && !has(&headers, "r2.a").unwrap());
        let demanded = precondition(&headers).unwrap();
        assert!(!demanded.holds(Some("r1.a")) && demanded.holds(Some("r2.a")) && demanded.holds(None));
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, "*".parse().unwrap())]);
        let precondition = precondition(&headers).unwrap();
        assert!(precondition.holds(None) && !precondition.holds(Some("r1.a")));
    }
}
