//! What the cookie holds: which server, until when, and a proof that Weir wrote it.
//!
//! 32 bytes in hexadecimal digits: the server's tag and the expiry, both hidden, and a tag of authenticity (the first 16 bytes of
//! an HMAC-SHA-256 over upstream, server and expiry), which is also what hides them, as in SIV (RFC 5297). So a client
//! can neither choose a server nor learn what servers there are.

use ring::hmac;

/// Length of the cookie's value, in digits.
pub(super) const DIGITS: usize = 64;

/// What a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bond {
    /// The tag of the server.
    pub(super) server: u64,
    /// Seconds since 1970 after which it no longer counts; 0 = it always does.
    pub(super) expires: u64,
}

/// Writes and reads cookies.
#[derive(Debug)]
pub(crate) struct Signer {
    sign: hmac::Key,
    hide: hmac::Key,
}

impl Signer {
    /// A signer with the process's secret.
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive =
            |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&master, purpose).as_ref());
        Self { sign: derive(b"affinity: sign"), hide: derive(b"affinity: hide") }
    }

    /// The cookie that binds a client of `upstream`.
    pub(super) fn write(&self, upstream: &str, bond: Bond) -> String {
        let plain = bond.to_bytes();
        let proof = self.proof(upstream, plain);
        let hidden = self.mask(proof, plain);
        let mut text = String::with_capacity(DIGITS);
        for byte in hidden.into_iter().chain(proof) {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// What `text` says; `None` if Weir did not write it for `upstream`.
    pub(super) fn read(&self, upstream: &str, text: &[u8]) -> Option<Bond> {
        if text.len() != DIGITS {
            return None;
        }
        let mut bytes = [0_u8; DIGITS / 2];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let digits = pair.iter().map(|digit| char::from(*digit).to_digit(16));
            let value = digits.reduce(|high, low| Some(high? << 4 | low?))??;
            *byte = u8::try_from(value).ok()?;
        }
        let (hidden, proof) = bytes.split_first_chunk::<16>()?;
        let proof = *proof.first_chunk::<16>()?;
        let plain = self.mask(proof, *hidden);
        let expected = self.proof(upstream, plain);
        // Every byte is compared, so that time does not tell how many were right.
        let differing = expected.iter().zip(proof).fold(0, |all, (one, other)| all | (one ^ other));
        (std::hint::black_box(differing) == 0).then(|| Bond::from_bytes(plain))
    }

    fn proof(&self, upstream: &str, plain: [u8; 16]) -> [u8; 16] {
        let mut signing = hmac::Context::with_key(&self.sign);
        signing.update(&plain);
        signing.update(upstream.as_bytes());
        first_half(&signing.sign())
    }

    /// Hides what is plain, and shows what is hidden.
    fn mask(&self, proof: [u8; 16], mut bytes: [u8; 16]) -> [u8; 16] {
        let pad = first_half(&hmac::sign(&self.hide, &proof));
        bytes.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
        bytes
    }
}

fn first_half(tag: &hmac::Tag) -> [u8; 16] {
    tag.as_ref().first_chunk().copied().unwrap_or_default()
}

impl Bond {
    fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.server) << 64 | u128::from(self.expires)).to_be_bytes()
    }

    fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        let low = |value: u128| u64::try_from(value & u128::from(u64::MAX)).unwrap_or_default();
        Self { server: low(both >> 64), expires: low(both) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOND: Bond = Bond { server: 0x0123_4567_89ab_cdef, expires: 1_800_000_000 };

    #[test]
    fn a_cookie_counts_only_where_it_was_written() {
        let signer = Signer::new(&[7; 32]);
        let text = signer.write("web", BOND);
        assert_eq!(signer.read("web", text.as_bytes()), Some(BOND));
        assert_eq!(signer.read("api", text.as_bytes()), None, "another upstream");
        assert_eq!(Signer::new(&[8; 32]).read("web", text.as_bytes()), None, "another secret");
        assert!(!text.contains("0123456789abcdef"), "the server is hidden");
        let other = signer.write("web", Bond { server: 1, ..BOND });
        assert_ne!(text[..32], other[..32]);
    }

    proptest! {
        #[test]
        fn what_was_changed_is_not_believed(at in 0..DIGITS, digit in "[0-9a-f]") {
            let signer = Signer::new(&[7; 32]);
            let text = signer.write("web", BOND);
            let mut forged = text.clone();
            forged.replace_range(at..=at, &digit);
            prop_assert_eq!(signer.read("web", forged.as_bytes()).is_some(), forged == text);
        }

        #[test]
        fn anything_may_be_read(text in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Signer::new(&[7; 32]).read("web", &text), None);
        }
    }
}
