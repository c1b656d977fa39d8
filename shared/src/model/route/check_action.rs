//! Whether what a route does makes sense.

use http::uri::Authority;

use super::{
    FixedResponse, PathMatchType, PathRewrite, PathRewriteType, Redirect, Rewrite, Route, RouteAction,
    UpstreamRef,
    check::{Wildcards, host, path_value, push_value, unique},
    fields::{self, Message},
};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::{
        check::{DAY, HOUR, number, retries, span},
        rate_limit,
    },
    pattern::{self, Extent},
    units::Span,
};

/// Most upstreams that one route sends to.
const MAX_TARGETS: usize = 16;
/// Largest share of an upstream.
const MAX_WEIGHT: u32 = 1_000_000;
/// Longest body of a fixed response, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Checks what `route` does.
pub(super) fn action(route: &Route, at: &Pointer, errors: &mut Vec<FieldError>) {
    let action = &route.action;
    targets(&action.upstreams, &at.at("upstreams"), errors);
    one_of(action, at, errors);
    let kind = route.matches.path.kind;
    if let Some(redirect) = &action.redirect {
        self::redirect(redirect, kind, &at.at("redirect"), errors);
    }
    if let Some(answer) = &action.fixed_response {
        fixed_response(answer, &at.at("fixed_response"), errors);
    }
    if let Some(rewrite) = &action.rewrite {
        self::rewrite(rewrite, kind, &at.at("rewrite"), errors);
    }
    let edited = [
        ("request_headers", &action.request_headers, Message::Request),
        ("response_headers", &action.response_headers, Message::Response),
    ];
    for (name, edits, message) in edited {
        if let Some(edits) = edits {
            fields::edits(edits, message, &at.at(name), errors);
        }
    }
    for (name, value, most) in
        [("timeout", action.timeout, DAY), ("response_timeout", action.response_timeout, HOUR)]
    {
        if let Some(value) = value.filter(|value| *value != Span::default()) {
            span(value, Span::from_millis(10)..=most, &at.at(name), errors);
        }
    }
    if let Some(policy) = &action.retries {
        retries(policy, &at.at("retries"), errors);
    }
    rate_limit::check(&action.rate_limits, &at.at("rate_limits"), errors);
}

fn targets(targets: &[UpstreamRef], at: &Pointer, errors: &mut Vec<FieldError>) {
    if targets.len() > MAX_TARGETS {
        let detail = format!("a route sends to at most {MAX_TARGETS} upstreams");
        errors.push(at.error(FieldErrorCode::TooMany, detail));
        return;
    }
    for (place, target) in targets.iter().enumerate() {
        number(target.weight, 0..=MAX_WEIGHT, &at.at(place).at("weight"), errors);
    }
    unique(targets.iter().map(|target| target.upstream.as_str()), at, errors);
}

/// A route does one thing; what belongs to another would be without effect.
fn one_of(action: &RouteAction, at: &Pointer, errors: &mut Vec<FieldError>) {
    let RouteAction {
        upstreams,
        redirect,
        fixed_response,
        rewrite,
        request_headers,
        response_headers: _,
        timeout,
        response_timeout,
        retries,
        max_body_bytes,
        rate_limits: _,
    } = action;
    let deeds = [
        ("upstreams", !upstreams.is_empty()),
        ("redirect", redirect.is_some()),
        ("fixed_response", fixed_response.is_some()),
    ];
    let mut said = deeds.iter().filter(|(_, is_said)| *is_said).map(|(name, _)| *name);
    let first = said.next();
    for other in said {
        let detail = format!(
            "a route has one of `upstreams`, `redirect` and `fixed_response`: this one has `{}` already",
            first.unwrap_or_default()
        );
        errors.push(at.at(other).error(FieldErrorCode::InvalidValue, detail));
    }
    if redirect.is_none() && fixed_response.is_none() {
        return;
    }
    for (name, is_said) in [
        ("rewrite", rewrite.is_some()),
        ("request_headers", request_headers.is_some()),
        ("timeout", timeout.is_some()),
        ("response_timeout", response_timeout.is_some()),
        ("retries", retries.is_some()),
        ("max_body_bytes", max_body_bytes.is_some()),
    ] {
        if is_said {
            let detail = "only for requests that go to an upstream: leave it out";
            errors.push(at.at(name).error(FieldErrorCode::InvalidValue, detail));
        }
    }
}

fn redirect(redirect: &Redirect, kind: PathMatchType, at: &Pointer, errors: &mut Vec<FieldError>) {
    let Redirect { scheme, host: name, port, path, status } = redirect;
    if scheme.is_none() && name.is_none() && port.is_none() && path.is_none() {
        let detail =
            "a redirect says at least one of `scheme`, `host`, `port` and `path`: else it leads to itself";
        errors.push(at.error(FieldErrorCode::Required, detail));
    }
    if let Some(name) = name {
        host(name, Wildcards::Refused, &at.at("host"), errors);
    }
    if *port == Some(0) {
        errors.push(at.at("port").error(FieldErrorCode::OutOfRange, "must be 1 to 65535"));
    }
    if let Some(path) = path {
        path_rewrite(path, kind, &at.at("path"), errors);
    }
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let error = at.at("status").error(FieldErrorCode::OutOfRange, "must be 301, 302, 303, 307 or 308");
        let allowed = Some("301, 302, 303, 307, 308".to_owned());
        errors.push(FieldError { value: Some((*status).into()), allowed, ..error });
    }
}

fn fixed_response(answer: &FixedResponse, at: &Pointer, errors: &mut Vec<FieldError>) {
    number(answer.status, 200..=599, &at.at("status"), errors);
    fields::values(&answer.headers, Message::Response, &at.at("headers"), errors);
    let at = at.at("body");
    if answer.body.len() > MAX_BODY_BYTES {
        let detail = format!("at most {MAX_BODY_BYTES} bytes; larger ones belong to a server");
        errors.push(at.error(FieldErrorCode::OutOfRange, detail));
    } else if !answer.body.is_empty() && matches!(answer.status, 204 | 205 | 304) {
        let detail = format!("a response with status {} has no body", answer.status);
        errors.push(at.error(FieldErrorCode::InvalidValue, detail));
    }
}

fn rewrite(rewrite: &Rewrite, kind: PathMatchType, at: &Pointer, errors: &mut Vec<FieldError>) {
    if let Some(name) = &rewrite.host {
        let is_host = name.len() <= 255
            && !name.contains('@')
            && name.parse::<Authority>().is_ok_and(|authority| {
                let mut faults = Vec::new();
                host(authority.host(), Wildcards::Refused, at, &mut faults);
                let port = name.strip_prefix(authority.host()).unwrap_or_default();
                faults.is_empty() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
            });
        if !is_host {
            let detail = "not a host, as \"shop.internal\" or \"shop.internal:8080\"";
            push_value(&at.at("host"), FieldErrorCode::InvalidValue, detail, name, errors);
        }
    }
    if let Some(path) = &rewrite.path {
        path_rewrite(path, kind, &at.at("path"), errors);
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn path_rewrite(rewrite: &PathRewrite, kind: PathMatchType, at: &Pointer, errors: &mut Vec<FieldError>) {
    if rewrite.kind != PathRewriteType::Regex && rewrite.pattern.is_some() {
        let detail = "only a rewrite of type `regex` has a pattern";
        errors.push(at.at("pattern").error(FieldErrorCode::InvalidValue, detail));
    }
    match rewrite.kind {
        PathRewriteType::Full => path_value(&rewrite.value, &at.at("value"), errors),
        PathRewriteType::ReplacePrefix if kind != PathMatchType::Prefix => {
            let detail = "there is no prefix to replace: the route's path is not of type `prefix`";
            errors.push(at.at("type").error(FieldErrorCode::InvalidValue, detail));
        }
        // As in the Gateway API, nothing means the same as `/`.
        PathRewriteType::ReplacePrefix if rewrite.value.is_empty() => {}
        PathRewriteType::ReplacePrefix => path_value(&rewrite.value, &at.at("value"), errors),
        PathRewriteType::Regex => substitution(rewrite, at, errors),
    }
}

fn substitution(rewrite: &PathRewrite, at: &Pointer, errors: &mut Vec<FieldError>) {
    let value = &rewrite.value;
    if value.len() > pattern::MAX_BYTES
        || value.contains(['?', '#'])
        || value.bytes().any(|byte| byte <= b' ')
    {
        let detail = "at most 1024 bytes, without ?, # and spaces";
        push_value(&at.at("value"), FieldErrorCode::InvalidValue, detail, value, errors);
    }
    let Some(text) = &rewrite.pattern else {
        let detail = "say which part of the path is replaced: a regular expression";
        errors.push(at.at("pattern").error(FieldErrorCode::Required, detail));
        return;
    };
    match pattern::compile(text, Extent::Part) {
        Err(unusable) => push_value(&at.at("pattern"), FieldErrorCode::InvalidValue, unusable, text, errors),
        Ok(regex) => {
            for name in pattern::unknown_groups(&regex, value).into_iter().take(1) {
                let shown: String = name.chars().take(64).collect();
                let detail = format!(
                    "the pattern has no group \"{shown}\": write ${{1}} where letters or digits follow, and $$ for a dollar"
                );
                errors.push(at.at("value").error(FieldErrorCode::InvalidValue, detail));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HeaderEdits;

    #[test]
    fn a_host_to_rewrite_to_is_one_that_can_be_asked() {
        let faults = |name: &str| {
            let mut errors = Vec::new();
            let wanted = Rewrite { host: Some(name.to_owned()), path: None };
            rewrite(&wanted, PathMatchType::Prefix, &Pointer::root(), &mut errors);
            errors.len()
        };
        for good in ["a", "a.example:80", "[::1]", "[::1]:65535", "127.0.0.1:1"] {
            assert_eq!(faults(good), 0, "{good}");
        }
        for bad in [
            "a:",
            "a:0",
            "a:abc",
            "a:-1",
            "a:+1",
            "a:65536",
            "a:99999999",
            "a:1:2",
            "u@a",
            "a/b",
            "[::1]x",
            "",
        ] {
            assert_eq!(faults(bad), 1, "{bad}");
        }
    }

    #[test]
    fn who_a_client_proved_to_be_is_not_a_routes_to_say() {
        let (name, value) = ("x".to_owned(), "y".to_owned());
        for (reserved, wrong) in [
            ("Client-Cert", 3),
            ("client_cert_chain", 3),
            ("X-Client-Cert-Verified", 3),
            ("x-forwarded-client-cert", 3),
            ("x-real-ip", 0),
            ("x-client", 0),
        ] {
            let fields = || [(name.clone(), value.clone()), (reserved.to_owned(), value.clone())].into();
            let edits = HeaderEdits { set: fields(), add: fields(), remove: vec![reserved.to_owned()] };
            let mut errors = Vec::new();
            fields::edits(&edits, Message::Request, &Pointer::root(), &mut errors);
            assert_eq!(errors.len(), wrong, "{reserved}: {errors:?}");
        }
    }

    #[test]
    fn the_default_action_is_valid() {
        let mut errors = Vec::new();
        action(&Route::catch_all(Some("web")), &Pointer::root(), &mut errors);
        let edits = HeaderEdits::default();
        fields::edits(&edits, Message::Request, &Pointer::root(), &mut errors);
        assert!(errors.is_empty(), "{errors:?}");
    }
}
