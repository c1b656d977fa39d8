//! Private keys that were put where none belongs stay out of answers and logs.
//!
//! What is wrong is told by repeating it, and an answer is read by others than whoever sent the key: proxies, logs of clients,
//! terminals of colleagues.

use serde_json::Value;
use weir_shared::error::FieldError;

/// What the label of every private key has.
const LABEL: &str = "PRIVATE KEY";

/// `error`, or the same without what it repeats if that is a private key.
#[must_use]
pub(crate) fn withhold(error: FieldError) -> FieldError {
    let has_key = |text: &str| text.contains(LABEL);
    let in_value = error.value.as_ref().and_then(Value::as_str).is_some_and(has_key);
    if !in_value && !has_key(&error.detail) && !has_key(&error.pointer) {
        return error;
    }
    let pointer = if has_key(&error.pointer) { "#".to_owned() } else { error.pointer };
    let detail = "not valid; and there is a private key here, which belongs in private_key of a certificate";
    FieldError { pointer, detail: detail.to_owned(), value: None, allowed: None, code: error.code }
}

#[cfg(test)]
mod tests {
    use weir_shared::error::{FieldErrorCode, Pointer};

    use super::*;

    #[test]
    fn no_part_of_an_error_repeats_a_key() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQ";
        let root = Pointer::root();
        let plain = root.at("id").error(FieldErrorCode::InvalidId, "no id");
        let in_value = FieldError { value: Some(key.into()), ..plain.clone() };
        let in_detail = FieldError { detail: format!("unknown {key}"), ..plain.clone() };
        let in_pointer = root.at(key).error(FieldErrorCode::UnknownField, "no such field");
        for error in [in_value, in_detail, in_pointer] {
            let shown = format!("{:?}", withhold(error));
            assert!(!shown.contains("MC4CAQ"), "{shown}");
        }
        assert_eq!(withhold(plain.clone()), plain);
    }
}
