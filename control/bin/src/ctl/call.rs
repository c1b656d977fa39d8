//! A call of the API, before it is sent.

use hyper::{Method, header};
use rand::RngExt;
use serde_json::Value;

use super::text;

/// The field by which the server tells repetitions of a change apart.
const KEY: &str = "idempotency-key";

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    query: String,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Call {
    /// A read.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A call that may change something.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        let call =
            Self { method, path: path.into(), query: String::new(), fields: Vec::new(), body: Vec::new() };
        match call.method {
            Method::GET => call,
            // A string of structured fields (RFC 8941 §3.3.3).
            _ => call.field(KEY, format!("\"{:032x}\"", rand::rng().random::<u128>())),
        }
    }

    /// The same with a parameter of the query.
    #[must_use]
    pub(super) fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(name);
        self.query.push('=');
        self.query.push_str(&text::segment(&value.to_string()));
        self
    }

    /// The same with a parameter, if there is a value for it.
    #[must_use]
    pub(super) fn query_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// The same with a header field.
    #[must_use]
    pub(super) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The same with a document; one for `PATCH` is a merge patch (RFC 7396).
    #[must_use]
    pub(super) fn json(self, document: &Value) -> Self {
        let kind =
            if self.method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        self.content(kind, document.to_string().into_bytes())
    }

    /// The same with a body of the media type `kind`.
    #[must_use]
    pub(super) fn content(mut self, kind: &str, body: Vec<u8>) -> Self {
        self.body = body;
        self.field(header::CONTENT_TYPE.as_str(), kind)
    }

    /// The same, to be made once at most: the server does not tell repetitions of it apart.
    #[must_use]
    pub(super) fn never_again(mut self) -> Self {
        self.fields.retain(|(name, _)| *name != KEY);
        self
    }

    /// The method.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query.
    pub(super) fn target(&self) -> String {
        format!("{}{}", self.path, self.query)
    }

    /// The header fields of the call itself.
    pub(super) fn fields(&self) -> &[(&'static str, String)] {
        &self.fields
    }

    /// The body.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the server can tell a repetition from a second call.
    pub(super) fn has_key(&self) -> bool {
        self.has(KEY)
    }

    /// Whether it names the state it is made in.
    pub(super) fn is_conditional(&self) -> bool {
        self.has("if-match") || self.has("if-none-match")
    }

    /// Whether doing it twice comes to the same as doing it once, on any server. A condition would fail the second time.
    pub(super) fn is_idempotent(&self) -> bool {
        let is_idempotent = self.method.is_idempotent() || self.method == Method::PATCH;
        is_idempotent && !self.is_conditional()
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| *field == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_within_their_parameter() {
        let call = Call::get("/v1/upstreams").query("label", "team:a&b=c").query_if("after", None::<&str>);
        assert_eq!(call.target(), "/v1/upstreams?label=team:a%26b%3Dc");
    }

    #[test]
    fn only_what_does_no_harm_is_repeated() {
        let call = |method| Call::new(method, "/");
        assert!(call(Method::GET).is_idempotent() && call(Method::PUT).is_idempotent());
        assert!(call(Method::PATCH).is_idempotent() && call(Method::DELETE).is_idempotent());
        assert!(!call(Method::POST).is_idempotent());
        assert!(!call(Method::PUT).field("if-match", "\"r1.a\"").is_idempotent());
    }

    #[test]
    fn every_change_has_a_key_of_its_own() {
        let key = |call: &Call| call.fields().first().cloned();
        let (a, b) = (Call::new(Method::POST, "/"), Call::new(Method::POST, "/"));
        assert!(a.has_key() && key(&a) != key(&b));
        assert!(!Call::get("/").has_key() && !a.never_again().has_key());
    }
}
