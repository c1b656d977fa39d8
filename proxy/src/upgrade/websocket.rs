//! The handshake of RFC 6455 §4, made and verified by Weir where the client has none: over HTTP/2 (RFC 8441 §5).

use http::HeaderValue;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// RFC 6455 §1.3: what a server adds to a key before it digests it.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key, and the proof that a server has understood it.
#[derive(Debug)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// The key of these random bits.
    pub(super) fn new(bits: [u64; 2]) -> Self {
        Self(base64(&bits.map(u64::to_be_bytes).concat()))
    }

    /// The value of `Sec-WebSocket-Key`.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `accept` is the `Sec-WebSocket-Accept` that answers this key. SHA-1 guards nothing here: it only tells a
    /// server that knows the protocol from one that repeats what it got.
    pub(super) fn is_answered_by(&self, accept: &HeaderValue) -> bool {
        let expected = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[self.0.as_slice(), GUID].concat());
        accept.as_bytes() == base64(expected.as_ref())
    }
}

/// RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            let is_padding = place > u32::try_from(group.len()).unwrap_or(0);
            text.push(if is_padding { b'=' } else { DIGITS.get(digit).copied().unwrap_or(b'=') });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text.as_bytes(), "{plain}");
        }
    }

    /// The example of RFC 6455 §1.3.
    #[test]
    fn a_key_is_answered_by_its_digest_alone() {
        let key = Key(b"dGhlIHNhbXBsZSBub25jZQ==".to_vec());
        assert!(key.is_answered_by(&HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
        assert!(!key.is_answered_by(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==")));
        assert_eq!(Key::new([1, 2]).as_bytes().len(), 24);
    }
}
