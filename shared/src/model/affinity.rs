//! Session affinity: a cookie of Weir's own that binds a client to a server.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::span;
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    units::Span,
};

/// When a browser sends the cookie along with requests that other sites cause (RFC 6265bis §5.6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// With links followed from elsewhere, not with forms or images.
    #[default]
    Lax,
    /// Never.
    Strict,
    /// Always. Needs `secure` other than `never`.
    None,
}

/// When the cookie is only for encrypted connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecureCookie {
    /// When the client's request came encrypted, as far as Weir or a trusted proxy before it can tell.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Binds a client to the server that first answered it, by a signed cookie that scripts cannot read. For an application's own cookie or header use
/// the algorithm `ring_hash` or `maglev` with `hash`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Affinity {
    /// Whether clients are bound. Default false.
    pub enabled: bool,
    /// Name of the cookie: a token of at most 64 characters. Browsers take one that begins with `__Secure-` only with `secure`
    /// `always`, and `__Host-` only with that, the path `/` and no domain. Default `weir_affinity`.
    #[schema(max_length = 64)]
    pub cookie: String,
    /// How long a client stays bound after its last request, `0s` (until it forgets: a session cookie) or 1m to 365d.
    /// The cookie is renewed when half of it is over. Default 0s.
    pub ttl: Span,
    /// Path the cookie is for. Default `/`.
    #[schema(max_length = 255)]
    pub path: String,
    /// Domain the cookie is for, with its subdomains. Left out: the host asked for, alone.
    #[schema(nullable, max_length = 253)]
    pub domain: Option<String>,
    /// When the cookie is only for encrypted connections. Default `auto`.
    pub secure: SecureCookie,
    /// When the cookie goes along with requests that other sites cause. Default `lax`.
    pub same_site: SameSite,
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            enabled: false,
            cookie: "weir_affinity".to_owned(),
            ttl: Span::default(),
            path: "/".to_owned(),
            domain: None,
            secure: SecureCookie::Auto,
            same_site: SameSite::Lax,
        }
    }
}

/// Checks everything about affinity.
pub(super) fn check(affinity: &Affinity, at: &Pointer, errors: &mut Vec<FieldError>) {
    if affinity.ttl != Span::default() {
        let range = Span::from_secs(60)..=Span::from_secs(365 * 24 * 3600);
        span(affinity.ttl, range, &at.at("ttl"), errors);
    }
    let mut refuse = |field: &str, detail: &str| {
        errors.push(at.at(field).error(FieldErrorCode::InvalidValue, detail));
    };
    // RFC 6265 §4.1.1: the name is a token.
    if affinity.cookie.len() > 64 || http::HeaderName::try_from(affinity.cookie.as_str()).is_err() {
        refuse("cookie", "not a valid name: 1 to 64 letters, digits and !#$%&'*+-.^_`|~ only");
    }
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b';';
    if !affinity.path.starts_with('/') || affinity.path.len() > 255 || !affinity.path.bytes().all(is_plain) {
        refuse("path", "starts with '/', at most 255 printable ASCII characters without ';'");
    }
    let is_domain = |domain: &str| {
        let labels = domain.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        labels && domain.len() <= 253
    };
    if affinity.domain.as_deref().is_some_and(|domain| !is_domain(domain)) {
        refuse("domain", "a host name without port, such as \"example.com\"");
    }
    if affinity.same_site == SameSite::None && affinity.secure == SecureCookie::Never {
        refuse("same_site", "browsers take \"none\" only with `secure` other than \"never\"");
    }
    // RFC 6265bis §4.1.3, in any case of letters.
    let name = affinity.cookie.to_ascii_lowercase();
    let is_host = name.starts_with("__host-");
    if (is_host || name.starts_with("__secure-")) && affinity.secure != SecureCookie::Always {
        refuse("secure", "browsers take a cookie of this name only with \"always\"");
    }
    if is_host && affinity.path != "/" {
        refuse("path", "browsers take a \"__Host-\" cookie only for \"/\"");
    }
    if is_host && affinity.domain.is_some() {
        refuse("domain", "browsers take a \"__Host-\" cookie only without a domain");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(affinity: &Affinity) -> Vec<String> {
        let mut errors = Vec::new();
        check(affinity, &Pointer::root(), &mut errors);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn every_fault_is_pointed_at() {
        assert!(faults(&Affinity::default()).is_empty());
        let wrong = Affinity {
            cookie: "a b".into(),
            ttl: Span::from_secs(1),
            path: "x;y".into(),
            domain: Some("example..com".into()),
            secure: SecureCookie::Never,
            same_site: SameSite::None,
            ..Affinity::default()
        };
        assert_eq!(faults(&wrong), ["#/ttl", "#/cookie", "#/path", "#/domain", "#/same_site"]);
        let right = Affinity {
            domain: Some("shop.example.com".into()),
            ttl: Span::from_secs(3600),
            same_site: SameSite::None,
            ..Affinity::default()
        };
        assert!(faults(&right).is_empty());
    }

    #[test]
    fn names_that_promise_something_keep_it() {
        let named = |cookie: &str| Affinity { cookie: cookie.into(), ..Affinity::default() };
        let elsewhere = |cookie: &str| Affinity {
            path: "/a".into(),
            domain: Some("example.com".into()),
            secure: SecureCookie::Always,
            ..named(cookie)
        };
        assert_eq!(faults(&named("__Secure-x")), ["#/secure"]);
        assert_eq!(faults(&elsewhere("__Host-x")), ["#/path", "#/domain"]);
        assert!(faults(&elsewhere("__SECURE-x")).is_empty());
        let right = Affinity { secure: SecureCookie::Always, ..named("__Host-x") };
        assert!(faults(&right).is_empty());
        assert_eq!(faults(&named("__host-x")), ["#/secure"], "in any case of letters");
    }
}
