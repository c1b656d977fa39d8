//! Bearer tokens: `weir_<id>_<secret>`, of which only a digest is kept.
//!
//! The secret is drawn with more than 256 bits of entropy, so that a plain SHA-256 of it cannot be searched; a slow
//! password hash would only make every call slow. The prefix lets scanners of repositories find leaked tokens.

use std::hint::black_box;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use weir_shared::{id, time::Timestamp};

use super::{scope::Scope, secret::Secret};

/// What every token begins with.
pub const PREFIX: &str = "weir_";

/// Characters of the secret: 43 of 62 make 256 bits.
const SECRET_CHARS: usize = 43;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How far clocks may be apart, here and where a token was dated.
pub const LEEWAY: std::time::Duration = std::time::Duration::from_secs(60);

/// What is kept of a token's text. Not a secret: no text can be found that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a token's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether both are the same, in a time that does not tell how much of them is.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let differing =
            self.0.iter().zip(&other.0).fold(0, |sum, (own, other)| black_box(sum | (own ^ other)));
        differing == 0
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let malformed = "a digest is 64 hexadecimal digits";
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(malformed);
        }
        for (place, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * place..2 * place + 2).ok_or(malformed)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| malformed)?;
        }
        Ok(Self(bytes))
    }
}

/// One of the secrets of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What is kept of it.
    pub digest: Digest,
    /// Until when it is accepted, when another has taken its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its name.
    pub id: String,
    /// What its bearer may do.
    pub scopes: Vec<Scope>,
    /// What it is for, in its maker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends; never without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Its secrets, newest first: one, or two while one takes the other's place.
    pub keys: Vec<Key>,
}

impl Token {
    /// Whether it has ended, with [`LEEWAY`].
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| is_over(at, now))
    }
}

/// Whether `at` is past, with [`LEEWAY`].
#[must_use]
pub fn is_over(at: Timestamp, now: Timestamp) -> bool {
    now > at.plus(LEEWAY)
}

/// Draws the text of a token called `id`.
#[must_use]
pub fn draw(id: &str) -> Secret<String> {
    let mut random = rand::rng();
    let secret = (0..SECRET_CHARS).filter_map(|_| BASE62.get(random.random_range(0..BASE62.len())));
    let secret: String = secret.copied().map(char::from).collect();
    Secret::new(format!("{PREFIX}{id}_{secret}"))
}

/// Whether `text` has the form of a token.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('_'));
    parts.is_some_and(|(name, secret)| {
        id::is_valid(name)
            && secret.len() == SECRET_CHARS
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// `text` with dots in place of every secret of a token in it, so that it can be written down.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(PREFIX) {
        let (before, found) = rest.split_at(place);
        let end = found
            .find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '_' | '-' | '.'))
            .unwrap_or(found.len());
        let (word, after) = found.split_at(end);
        clean.push_str(before);
        match word.rsplit_once('_') {
            Some((kept, secret)) if secret.len() >= SECRET_CHARS / 2 => {
                clean.push_str(kept);
                clean.push_str("_…");
            }
            Some(_) | None => clean.push_str(word),
        }
        rest = after;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_in_their_form_and_never_twice() {
        let tokens: std::collections::HashSet<String> =
            (0..100).map(|_| draw("ci_2.x").expose().clone()).collect();
        assert_eq!(tokens.len(), 100);
        for token in &tokens {
            assert!(is_well_formed(token) && token.starts_with("weir_ci_2.x_"), "{token}");
            assert_eq!(redact(&format!("/v1/{token}?x={token}")), "/v1/weir_ci_2.x_…?x=weir_ci_2.x_…");
        }
        for text in
            ["", "weir_", "weir_ci_", "weir_ci_short", "Weir_ci_0123456789012345678901234567890123456789012"]
        {
            assert!(!is_well_formed(text), "{text}");
        }
        assert_eq!(redact("/v1/upstreams/weir_web/servers/weir_"), "/v1/upstreams/weir_web/servers/weir_");
    }

    #[test]
    fn digests_are_those_of_sha_256_and_survive_writing() {
        let digest = Digest::of("abc");
        let text = String::from(digest);
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(Digest::try_from(text).unwrap().matches(&digest) && !Digest::of("abd").matches(&digest));
        for text in ["", "zz", &"g".repeat(64), &"é".repeat(32)] {
            assert!(Digest::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
