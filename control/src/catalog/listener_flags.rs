//! What the command line says of the listener `default`, against what is submitted of it.
//!
//! A document comes from one machine and is given to another, so that there the rest is a warning; who changes the listener
//! itself is told that it cannot be done.

use serde_json::{Map, Value};
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::{Listener, ListenerFlags},
};

use crate::strict;

/// The fields that `value` names.
pub(super) fn said(value: &Value) -> Vec<String> {
    value.as_object().into_iter().flat_map(Map::keys).cloned().collect()
}

/// What is `said` of a listener and set otherwise by the command line, in words.
pub(super) fn ignored(said: &[String], wanted: &Listener, flags: Option<&ListenerFlags>) -> Option<String> {
    if !wanted.is_default() {
        return None;
    }
    let Some(flags) = flags else {
        let is_said = said.iter().any(|name| name == "address") && !wanted.address.is_empty();
        let detail = "the address of \"default\" is said with --listen when Weir starts: it is ignored here";
        return is_said.then(|| detail.to_owned());
    };
    let kept: Vec<String> = differing(said, wanted, flags)
        .into_iter()
        .map(|(name, _, kept)| format!("{name} stays {kept}"))
        .collect();
    (!kept.is_empty())
        .then(|| format!("set by flags when Weir starts, so that this is ignored: {}", kept.join(", ")))
}

/// Takes out of `patch`, or of a whole listener, what the command line sets, provided that it says the same.
///
/// # Errors
/// What it says otherwise.
pub fn take_out(value: &mut Value, flags: &ListenerFlags) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    let said: Vec<String> = said(value).into_iter().filter(|name| !value[name.as_str()].is_null()).collect();
    let mut own = Map::new();
    for name in flags.names() {
        if let Some(member) = value.get(name).filter(|member| !member.is_null()) {
            own.insert(name.to_owned(), member.clone());
        }
    }
    // What cannot be read is told by whoever reads all of it.
    let Some(wanted) = strict::read::<Listener>(Value::Object(own), &Pointer::root(), &mut errors) else {
        return Ok(());
    };
    let differing = differing(&said, &wanted, flags);
    if !differing.is_empty() {
        let error = |(name, wanted, kept): (&'static str, Value, Value)| {
            let flag = if name == "address" { "listen".to_owned() } else { name.replace('_', "-") };
            let detail =
                format!("it is {kept}, by --{flag} or its variable: leave it out, or start Weir otherwise");
            let error = Pointer::root().at(name).error(FieldErrorCode::ReadOnly, detail);
            FieldError { value: Some(wanted), ..error }
        };
        return Err(differing.into_iter().map(error).collect());
    }
    if let Some(fields) = value.as_object_mut() {
        flags.names().into_iter().for_each(|name| drop(fields.remove(name)));
    }
    Ok(())
}

/// What is `said` of `wanted` and set otherwise: its name, what is wanted, and what it stays.
fn differing(said: &[String], wanted: &Listener, flags: &ListenerFlags) -> Vec<(&'static str, Value, Value)> {
    let (wanted, kept) = (fields(wanted), fields(&flags.over(&Listener::default())));
    let names = flags.names().into_iter().filter(|name| said.iter().any(|said| said == name));
    let both = names.filter_map(|name| Some((name, wanted.get(name)?.clone(), kept.get(name)?.clone())));
    both.filter(|(_, wanted, kept)| wanted != kept && *wanted != "").collect()
}

fn fields(listener: &Listener) -> Map<String, Value> {
    match serde_json::to_value(listener) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_shared::units::Span;

    use super::*;

    #[test]
    fn what_flags_say_is_taken_out_when_it_is_so() {
        let flags = ListenerFlags { idle_timeout: Some(Span::from_secs(75)), ..ListenerFlags::default() };
        let mut value = json!({"address": "0.0.0.0:8080", "idle_timeout": "1m15s", "max_headers": 12});
        take_out(&mut value, &flags).unwrap();
        assert_eq!(value, json!({"max_headers": 12}));
        let mut value = json!({"address": "0.0.0.0:1", "idle_timeout": "1s", "header_timeout": "1s"});
        let errors = take_out(&mut value, &flags).unwrap_err();
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["#/address", "#/idle_timeout"]);
        assert!(errors[0].detail.contains("--listen") && errors[1].detail.contains("--idle-timeout"));
    }
}
