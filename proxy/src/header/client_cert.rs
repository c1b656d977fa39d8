//! Who a client proved to be, told to servers: `Client-Cert` (RFC 9440) and fields that need no reader of certificates.
//!
//! Whatever a client says of itself in these fields is dropped, on every listener: a server that believes them believes Weir.

use http::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use weir_shared::tls::Facts;

const CERTIFICATE: HeaderName = HeaderName::from_static("client-cert");
const VERIFIED: HeaderName = HeaderName::from_static("x-client-cert-verified");
const SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const NAMES: HeaderName = HeaderName::from_static("x-client-cert-names");
const FINGERPRINT: HeaderName = HeaderName::from_static("x-client-cert-fingerprint");

/// Whether `name`, in lower case, is one of those written here, or is read by servers in their place.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with("client-cert") || name.starts_with("x-client-cert") || name == "x-forwarded-client-cert"
}

/// What servers are told of a client that was asked for a certificate. Made once for a connection.
#[derive(Debug)]
pub(crate) struct Identity(Box<[(HeaderName, HeaderValue)]>);

impl Identity {
    /// Of the client whose verified certificates are `chain`, its own first; without any, it showed none.
    pub(crate) fn of(chain: &[CertificateDer<'_>]) -> Self {
        let Some(own) = chain.first() else {
            return Self([(VERIFIED, HeaderValue::from_static("false"))].into());
        };
        let facts = Facts::of(own).unwrap_or_default();
        let names: Vec<String> = facts.names.iter().map(|name| escaped(name, b",")).collect();
        let fields = [
            (CERTIFICATE, format!(":{}:", base64(own))),
            (VERIFIED, "true".to_owned()),
            (SUBJECT, escaped(&facts.subject, b"")),
            (NAMES, names.join(",")),
            (FINGERPRINT, facts.fingerprint),
        ];
        let field = |(name, text): (HeaderName, String)| Some((name, HeaderValue::try_from(text).ok()?));
        Self(fields.into_iter().filter_map(field).collect())
    }

    /// The fields.
    pub(crate) fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0
    }
}

/// `text` with everything percent-encoded that a field cannot hold, and what is in `also`.
fn escaped(text: &str, also: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' && !also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter =
                usize::try_from(bits >> (18 - 6 * place) & 63).ok().and_then(|index| LETTERS.get(index));
            let letter = letter.filter(|_| place <= group.len());
            out.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 §10.
    #[test]
    fn bytes_are_written_in_base64() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn names_cannot_break_out_of_a_field() {
        assert_eq!(escaped("CN=a\r\nX: y, 100%", b""), "CN=a%0D%0AX: y, 100%25");
        assert_eq!(escaped("a,b", b","), "a%2Cb");
        assert_eq!(escaped("ü", b""), "%C3%BC");
    }

    #[test]
    fn a_client_without_a_certificate_is_told_apart() {
        let identity = Identity::of(&[]);
        assert_eq!(identity.fields(), [(VERIFIED, HeaderValue::from_static("false"))]);
    }
}
