//! Regular expressions that operators write: matched in linear time, and bounded in length and in the memory they take.
//!
//! The syntax is RE2's as the `regex` crate has it, without look-around and back-references; letters are ASCII, because paths
//! and most fields are.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::{
    ParserBuilder,
    hir::{
        Hir, HirKind,
        literal::{ExtractKind, Extractor},
    },
};

/// Longest expression, in bytes.
pub const MAX_BYTES: usize = 1024;
/// Memory that one compiled expression may take, and again while matching: `.{1,255}` takes a tenth of it.
const MAX_MEMORY: usize = 256 * 1024;
/// Memory that an automaton of several expressions may take, and again while matching.
const MAX_SET_MEMORY: usize = 1024 * 1024;
/// Groups within groups.
const MAX_NESTING: u32 = 32;

/// Where an expression has to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// Some part.
    Part,
}

/// Why a text is no expression that can be used, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compiles `text`.
///
/// # Errors
/// It is too long, no expression, or needs too much memory.
pub fn compile(text: &str, extent: Extent) -> Result<Regex, Unusable> {
    if text.len() > MAX_BYTES {
        return Err(Unusable(format!("an expression has at most {MAX_BYTES} bytes")));
    }
    // By itself first: what is only an expression once it is wrapped is a mistake, as `a)|(b` is.
    build(text)?;
    match extent {
        Extent::Part => build(text),
        Extent::Whole => build(&whole(text)),
    }
}

/// One automaton that tells whether any of `texts` matches everything, each of which can be compiled by itself. `None`: it would
/// need too much memory.
#[must_use]
pub fn any<'t>(texts: impl Iterator<Item = &'t str>) -> Option<RegexSet> {
    let built = RegexSetBuilder::new(texts.map(whole))
        .unicode(false)
        .size_limit(MAX_SET_MEMORY)
        .dfa_size_limit(MAX_SET_MEMORY)
        .nest_limit(MAX_NESTING)
        .build();
    built.ok()
}

fn whole(text: &str) -> String {
    format!("\\A(?:{text})\\z")
}

/// What every text begins with that the expression `text` matches, as far as that is plain to see.
#[must_use]
pub fn literal_prefix(text: &str) -> String {
    let Some(parsed) = parse(text) else { return String::new() };
    let literals = Extractor::new().kind(ExtractKind::Prefix).extract(&parsed);
    let prefix = literals.longest_common_prefix().unwrap_or_default();
    String::from_utf8(prefix.to_vec()).unwrap_or_default()
}

/// The pieces of plain text in the expression `text`, each as long as can be. Bytes that are no UTF-8 are replaced.
#[must_use]
pub fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(parsed) = parse(text) {
        collect_literals(&parsed, &mut found);
    }
    found
}

fn collect_literals(part: &Hir, found: &mut Vec<String>) {
    match part.kind() {
        HirKind::Literal(literal) => found.push(String::from_utf8_lossy(&literal.0).into_owned()),
        HirKind::Repetition(repeated) => collect_literals(&repeated.sub, found),
        HirKind::Capture(group) => collect_literals(&group.sub, found),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            for part in parts {
                collect_literals(part, found);
            }
        }
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) => {}
    }
}

/// Whether it is plain to see that nothing that the expression `text` matches begins with `byte`.
#[must_use]
pub fn never_begins_with(text: &str, byte: u8) -> bool {
    let Some(parsed) = parse(text) else { return false };
    let prefixes = Extractor::new().kind(ExtractKind::Prefix).extract(&parsed);
    prefixes.literals().is_some_and(|prefixes| {
        prefixes.iter().all(|prefix| prefix.as_bytes().first().is_some_and(|first| *first != byte))
    })
}

fn parse(text: &str) -> Option<Hir> {
    ParserBuilder::new().unicode(false).utf8(false).nest_limit(MAX_NESTING).build().parse(text).ok()
}

/// The names and numbers by which `replacement` calls groups that the expression `regex` does not have.
#[must_use]
pub fn unknown_groups(regex: &Regex, replacement: &str) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut rest = replacement;
    while let Some((_, after)) = rest.split_once('$') {
        let (name, left) = match after.as_bytes().first() {
            Some(b'$') => ("", after.get(1..).unwrap_or_default()),
            Some(b'{') => after.get(1..).unwrap_or_default().split_once('}').unwrap_or(("", "")),
            _ => {
                let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                after.split_at(after.bytes().take_while(is_name).count())
            }
        };
        let is_known = match name.parse::<usize>() {
            Ok(number) => number < regex.captures_len(),
            Err(_) => name.is_empty() || regex.capture_names().flatten().any(|known| known == name),
        };
        if !is_known {
            unknown.push(name.to_owned());
        }
        rest = left;
    }
    unknown
}

fn build(text: &str) -> Result<Regex, Unusable> {
    let built = RegexBuilder::new(text)
        .unicode(false)
        .size_limit(MAX_MEMORY)
        .dfa_size_limit(MAX_MEMORY)
        .nest_limit(MAX_NESTING)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => Unusable(
            "the expression needs too much memory: use smaller counts in {m,n}, or fewer of them inside each other"
                .to_owned(),
        ),
        other => {
            // The last line says what is wrong; those above draw an arrow at the place.
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Unusable(format!("not a regular expression: {last}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn refused(text: &str) -> String {
        compile(text, Extent::Whole).unwrap_err().to_string()
    }

    #[test]
    fn everything_has_to_match_unless_a_part_will_do() {
        let whole = compile("/a|/b", Extent::Whole).unwrap();
        assert!(whole.is_match(b"/a") && whole.is_match(b"/b"));
        assert!(!whole.is_match(b"/ab") && !whole.is_match(b"x/b") && !whole.is_match(b"/b\n"));
        let lines = compile("(?m)^/a$", Extent::Whole).unwrap();
        assert!(lines.is_match(b"/a") && !lines.is_match(b"/a\n/a"));
        assert!(compile("/b", Extent::Part).unwrap().is_match(b"/a/b/c"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_reason() {
        assert!(refused("a)|(b").contains("not a regular expression"), "{}", refused("a)|(b"));
        assert!(refused("(").contains("unclosed group"), "{}", refused("("));
        assert!(refused("a(?=b)").contains("look-around"), "{}", refused("a(?=b)"));
        assert!(refused(r"(a)\1").contains("backreferences"), "{}", refused(r"(a)\1"));
        assert!(refused("((a{1,100}){1,100}){1,100}").contains("too much memory"));
        assert!(refused(&"a".repeat(MAX_BYTES + 1)).contains("at most"));
        assert!(refused(&"(".repeat(500)).contains("not a regular expression"));
    }

    /// Expressions that take exponential time elsewhere.
    #[test]
    fn nothing_blows_up_while_matching() {
        let began = SystemTime::now();
        let regex = compile("(a*)*b|(a|aa)+c|(x+x+)+y", Extent::Whole).unwrap();
        for letter in ["a", "x"] {
            assert!(!regex.is_match(letter.repeat(8192).as_bytes()));
        }
        assert!(began.elapsed().unwrap() < Duration::from_secs(5));
    }

    #[test]
    fn the_plain_beginning_is_known() {
        for (text, prefix) in [
            ("/users/[0-9]+/posts", "/users/"),
            ("/users/.*", "/users/"),
            ("/a|/b", "/"),
            ("/a(b|c)/d", "/a"),
            ("(?i)/a", "/"),
            (".*", ""),
            ("/a?b", "/"),
            ("^/a/b$", "/a/b"),
            (r"/a\.b/\d", "/a.b/"),
        ] {
            assert_eq!(literal_prefix(text), prefix, "{text}");
        }
    }

    #[test]
    fn plain_pieces_are_known() {
        for (text, pieces) in [
            ("/a/[0-9]+/b", &["/a/", "/b"][..]),
            (r"/\{x\}(/y|z)?", &["/{x}", "/y", "z"]),
            ("(?i)/a", &["/"]),
            (".*", &[]),
        ] {
            assert_eq!(literals(text), pieces, "{text}");
        }
    }

    #[test]
    fn a_beginning_that_cannot_be_is_known() {
        for (text, is_never) in [
            ("a/.*", true),
            ("(a|b)/", true),
            ("/a|b", false),
            (".*/a", false),
            ("/?a", false),
            ("^/a", false),
            ("[^a]a", false),
            ("", false),
        ] {
            assert_eq!(never_begins_with(text, b'/'), is_never, "{text}");
        }
    }

    #[test]
    fn groups_that_are_not_there_are_found() {
        let regex = compile("(a)(?P<name>b)", Extent::Part).unwrap();
        assert!(unknown_groups(&regex, "$0 $1 ${2} $name ${name} $$5 $").is_empty());
        assert_eq!(unknown_groups(&regex, "$3 $1x ${nam}"), ["3", "1x", "nam"]);
    }
}
