//! The token: from a file or from `WEIR_TOKEN`, never from the command line.

use std::path::Path;

use hyper::header::HeaderValue;

use super::error::CtlError;

/// Longest token read: ten times what the API makes.
const MAX_TOKEN_BYTES: usize = 4096;

/// The `Authorization` field to send (RFC 6750 §2.1); none without a token.
///
/// # Errors
/// When the file cannot be read or holds no token.
pub(super) fn authorization(file: Option<&Path>) -> Result<Option<HeaderValue>, CtlError> {
    match file {
        Some(path) => {
            let place = path.display();
            let text = std::fs::read_to_string(path)
                .map_err(|cause| CtlError::Usage(format!("cannot read the token in {place}: {cause}")))?;
            bearer(&text).map(Some).ok_or_else(|| CtlError::Usage(format!("there is no token in {place}")))
        }
        None => match std::env::var("WEIR_TOKEN") {
            Ok(text) if !text.is_empty() => bearer(&text)
                .map(Some)
                .ok_or_else(|| CtlError::Usage("what is in WEIR_TOKEN is no token".to_owned())),
            _ => Ok(None),
        },
    }
}

fn bearer(text: &str) -> Option<HeaderValue> {
    let token = text.trim();
    let is_token =
        (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut field = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_token)?;
    field.set_sensitive(true);
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        assert_eq!(bearer("weir_a_b\n").unwrap(), "Bearer weir_a_b");
        for text in ["", " \n", "two words", "a\nb", "ü"] {
            assert_eq!(bearer(text), None, "{text:?}");
        }
    }
}
