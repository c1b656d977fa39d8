//! Many regular expressions at one place.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Asked, compiled, config};

/// Some have a path of their own, the others all the same.
fn route(n: usize) -> Value {
    let own = format!(".*/p{n}(/[a-z]+)?");
    let value = if n.is_multiple_of(3) { ".*/same" } else { own.as_str() };
    json!({"id": format!("r{n:03}"), "match": {"path": {"type": "regex", "value": value}}})
}

#[test]
fn they_are_found_whatever_comes_and_goes() {
    const ALL: usize = 140;
    let mut there: BTreeSet<usize> = (0..100).collect();
    let document = |there: &BTreeSet<usize>| {
        let routes: Vec<Value> = there.iter().map(|n| route(*n)).chain([json!({"id": "default"})]).collect();
        config(&json!(routes))
    };
    let mut table = compiled(document(&there), None);
    for step in 0..200 {
        // Each comes and goes several times, in an order of its own.
        let n = step * 53 % ALL;
        if !there.remove(&n) {
            there.insert(n);
        }
        table = compiled(document(&there), Some(&table));
        if step % 20 != 0 {
            continue;
        }
        for n in 0..ALL {
            let is_own = there.contains(&n) && !n.is_multiple_of(3);
            let expected = if is_own { format!("r{n:03}") } else { "default".to_owned() };
            assert_eq!(Asked::parse(&format!("GET x.test/a/p{n}/cart")).routed(&table), expected, "{step}");
        }
        let first = there.iter().find(|n| n.is_multiple_of(3)).unwrap();
        assert_eq!(Asked::parse("GET x.test/a/same").routed(&table), format!("r{first:03}"), "{step}");
    }
}
