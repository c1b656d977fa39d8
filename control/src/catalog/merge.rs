//! JSON Merge Patch: what is named is set, what is named `null` goes back to its default, the rest stays.
//!
//! Source: RFC 7396 §2.

use serde_json::{Map, Value};
use weir_shared::error::{FieldError, Pointer};

use crate::strict;

/// Fields whose keys are the operator's own, so that none is unknown.
const FREE_MAPS: [&str; 4] = ["labels", "headers", "set", "add"];

/// Applies `patch` to `target`.
pub(super) fn apply(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
        } else {
            apply(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Adds an error for each unknown field that `patch` sets to null: once merged, nothing would show that it was meant.
pub(super) fn unknown_nulls(patch: &Value, current: &Value, at: &Pointer, errors: &mut Vec<FieldError>) {
    let (Some(patch), Some(fields)) = (patch.as_object(), current.as_object()) else { return };
    for (name, value) in patch {
        if errors.len() >= strict::MAX_ERRORS {
            return;
        }
        match fields.get(name) {
            Some(field) if !FREE_MAPS.contains(&name.as_str()) => {
                unknown_nulls(value, field, &at.at(name), errors);
            }
            None if value.is_null() => {
                let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                errors.push(strict::unknown_field(&at.at(strict::echo(name)), name, &known));
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The table of RFC 7396 appendix A.
    #[test]
    fn patches_are_merged_as_the_standard_says() {
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (mut target, patch, expected) in cases {
            let case = format!("{target} + {patch}");
            apply(&mut target, patch);
            assert_eq!(target, expected, "{case}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::arbitrary;

    /// JSON whose fields have few names, so that two of them have some in common.
    fn value() -> impl Strategy<Value = Value> {
        arbitrary::json_of(select(vec!["a", "b", "c"]).prop_map(str::to_owned).boxed())
    }

    /// `value` without fields that are null, which no patch can set.
    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
                Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
            }
            // Arrays are replaced whole, nulls and all.
            other => other,
        }
    }

    /// The patch that makes `after` of `before`.
    fn patch(before: &Value, after: &Value) -> Value {
        let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else { return after.clone() };
        let removed =
            old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
        let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(value));
        let changed = changed.map(|(name, value)| {
            (name.clone(), old.get(name).map_or_else(|| value.clone(), |old| patch(old, value)))
        });
        Value::Object(removed.chain(changed).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_patch_makes_the_one_of_the_other(before in value(), after in value()) {
            let (before, after) = (without_nulls(before), without_nulls(after));
            let patch = patch(&before, &after);
            let mut merged = before;
            apply(&mut merged, patch);
            prop_assert_eq!(merged, after);
        }

        #[test]
        fn a_patch_made_twice_is_made_once(before in value(), patch in value()) {
            let mut once = before;
            apply(&mut once, patch.clone());
            let mut twice = once.clone();
            apply(&mut twice, patch);
            prop_assert_eq!(twice, once);
        }

        #[test]
        fn faults_of_any_patch_are_bounded(patch in value(), current in value()) {
            let mut errors = Vec::new();
            unknown_nulls(&patch, &current, &Pointer::root(), &mut errors);
            prop_assert!(errors.len() <= strict::MAX_ERRORS);
        }
    }
}
