//! Reading and writing, there and back.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::arbitrary;

fn read(text: &str) -> Value {
    parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    parse(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn scalars_mean_what_the_core_schema_says() {
    let text = "[null, ~, , true, FALSE, 1, -2, +3, 0o17, 0xff, 0123, 1.5, 1e3, 18446744073709551615]";
    let numbers = json!([null, null, null, true, false, 1, -2, 3, 15, 255, 123, 1.5, 1000.0, u64::MAX]);
    assert_eq!(read(&text.replace(", ,", ", ~,")), numbers);
    for text in [
        "no",
        "on",
        "5s",
        "1m15s",
        "127.0.0.1:80",
        ".inf",
        "inf",
        "1_000",
        "0x-1",
        "200-399",
        "1.2.3",
        "-",
        "nan",
        "::1",
    ] {
        assert_eq!(read(&format!("a: {text}").replace("a: -", "a: \"-\"")), json!({"a": text}), "{text}");
    }
    assert_eq!(read("{a: \"1\", b: '2', c: !!str 3}"), json!({"a": "1", "b": "2", "c": "3"}));
    assert_eq!(read("a: |\n  x\n  y\nb: >\n  x\n  y\n"), json!({"a": "x\ny\n", "b": "x y\n"}));
}

#[test]
fn json_is_yaml() {
    let value = json!({"a": [1, {"b": null, "c": "x\"\n\u{e9}/"}], "d": {}, "e": []});
    assert_eq!(read(&value.to_string()), value);
    assert_eq!(read(&serde_json::to_string_pretty(&value).unwrap()), value);
}

#[test]
fn settings_can_be_shared() {
    let text = "check: &check\n  path: /healthz\nweb:\n  health_check: *check\n";
    let check = json!({"path": "/healthz"});
    assert_eq!(read(text), json!({"check": check, "web": {"health_check": check}}));
}

#[test]
fn what_is_ambiguous_or_broken_is_refused_with_its_place() {
    for (text, detail) in [
        ("a: 1\nb: 2\na: 3", "the field \"a\" is given twice at line 3 column 1"),
        ("a: 1\n---\nb: 1", "a second document"),
        ("a: &a [*a]", "an alias of what it is part of"),
        ("a: *b", "line 1"),
        ("? [a]\n: b", "a key must be a text"),
        ("a: !secret x", "the tag !secret is not read at line 1"),
        ("a: [1", "expected ',' or ']'"),
        ("a:\n\t- b", "line 2"),
    ] {
        let error = refused(text);
        assert!(error.contains(detail), "{text}: {error}");
    }
    assert!(refused(&"[".repeat(33)).contains("nested deeper than 32"));
    assert_eq!(parse(b"a: b\nc: \xff").unwrap_err().to_string(), "not UTF-8 at line 2 column 1");
    assert_eq!(
        (read(""), read("# nothing\n"), read("\u{feff}a: 1")),
        (json!(null), json!(null), json!({"a": 1}))
    );
}

#[test]
fn a_small_text_stays_small() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let wide = format!("a: &a [{}]\nb: [{}]", "x, ".repeat(5000), "*a, ".repeat(5000));
    for text in [laughs, wide] {
        assert!(refused(&text).contains("too much of the document"), "{}", text.len());
    }
}

#[test]
fn hostile_texts_end_soon() {
    for part in [
        "[", "{", "- ", "? ", "a: ", "&a ", "!t ", "'", "\"", "|\n", "- - ", "{a: ", "[a, ", "*a", "%", "#",
        "\n ",
    ] {
        let text = part.repeat(100_000 / part.len());
        drop(parse(text.as_bytes()));
    }
}

#[test]
fn block_style_is_written() {
    let value = json!({
        "api_version": "v1",
        "upstreams": [{"id": "web", "labels": {}, "servers": [{"address": "10.0.0.7:8080", "weight": 1}, "b:1"]}],
        "words": ["no", "1", "5s", "", "a b", "0x1", "2026-11-22", "12:30", "/healthz", "x: y", "- a", "true", [["a"], []]],
    });
    let text = text(&value);
    assert_eq!(read(&text), value, "{text}");
    for line in
        ["api_version: v1\n", "  - id: web\n", "    labels: {}\n", "  - 5s\n", "  - \"no\"\n", "  - - - a\n"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_as_it_was(value in arbitrary::json()) {
        let written = text(&value);
        prop_assert_eq!(parse(written.as_bytes()), Ok(value), "{}", written);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}&*!|>'\"%@`?:,#~a \n-]{0,64}") {
        drop(parse(text.as_bytes()));
    }
}
