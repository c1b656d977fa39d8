//! `Idempotency-Key`: a change that is asked for again is not made again, but answered again.
//!
//! The answer is stored in the transaction of the change, under the key, with a hash of who asked for what. So whoever
//! got no answer, because the connection or the process broke or the outcome was unknown, repeats the request: the
//! change has been made with its answer, or it has not been made. Only what changed something is remembered; a refusal, a
//! trial, and a request that found everything as it wanted it are answered anew. Source: the draft
//! `draft-ietf-httpapi-idempotency-key-header`; the key is a string of RFC 8941 §3.3.3, quotes may be left out.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use weir_shared::{error::FieldErrorCode, time::Timestamp};

use super::{
    Api,
    access::Caller,
    answer::Answer,
    behind, body,
    prefer::Preferences,
    problem::{Code, Fault, Problem},
};
use crate::{
    catalog::{Applied, Beside},
    store::{RecordKind, RecordOp},
};

/// Names a change that is made at most once.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longest key.
pub(super) const MAX_KEY_BYTES: usize = 255;

/// Largest body that is stored with its answer. Of a larger one the header fields are given again, and no body.
const MAX_STORED_BYTES: usize = 64 * 1024;

/// The keys of the requests under way. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(Arc<Mutex<HashSet<String>>>);

/// A key's place among those under way, given back when dropped.
#[derive(Debug)]
struct Place {
    keys: UnderWay,
    key: String,
}

impl UnderWay {
    /// `None` when a request with this key is under way.
    fn enter(&self, key: &str) -> Option<Place> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
        is_new.then(|| Place { keys: self.clone(), key: key.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// A request that is answered once, found among its extensions.
#[derive(Debug)]
pub(super) struct Once {
    /// Held until the writer is done with the change: a caller who went away may be back before.
    place: Place,
    fingerprint: String,
    at: Timestamp,
}

/// An answer as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// Of the request it answers.
    fingerprint: String,
    answer: Answer,
}

/// Answers a request with a key that was answered before, and lets all others through.
pub(super) async fn wrap(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if request.method().is_safe() || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    match begin(&api, request).await {
        Ok(Begun::New(request)) => next.run(request).await,
        Ok(Begun::Answered(response)) => response,
        Err(problem) => problem.into_response(),
    }
}

enum Begun {
    New(Request),
    Answered(Response),
}

async fn begin(api: &Api, request: Request) -> Result<Begun, Problem> {
    let key = owned(request.extensions().get::<Caller>(), &key(request.headers())?);
    let place = api.under_way.enter(&key).ok_or_else(|| {
        let detail = "A request with this key is under way; its outcome is not known yet.";
        Problem::new(Code::IdempotencyInFlight, detail).field(header::RETRY_AFTER, "1")
    })?;
    let (mut parts, body) = request.into_parts();
    let body = body::whole(&parts, body, body::MAX_BODY_BYTES).await?;
    let fingerprint = fingerprint(&parts, body.bytes.clone()).await?;
    if let Some(stored) = find(api, &key).await? {
        if stored.fingerprint != fingerprint {
            let detail = "This key was used for another request; nothing was changed.";
            return Err(Problem::new(Code::IdempotencyMismatch, detail));
        }
        // The commit may be newer than the table, after trouble with the store.
        behind::reach(api, stored.answer.revision()).await?;
        let mut response = stored.answer.response(Preferences::of(&parts.headers));
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        return Ok(Begun::Answered(response));
    }
    parts.extensions.insert(Arc::new(Once { place, fingerprint, at: api.clock.now().wall }));
    let body = body.put_back(&mut parts);
    Ok(Begun::New(Request::from_parts(parts, body)))
}

/// What was answered under `key`, as long as that counts. The store forgets old answers when it gets new ones.
async fn find(api: &Api, key: &str) -> Result<Option<Stored>, Problem> {
    let store = api.catalog.store()?;
    let record = store.find_record(RecordKind::Answer, key).await.map_err(|error| {
        let detail = format!("Nothing was changed: {error}.");
        Problem::new(Code::StoreUnavailable, detail).field(header::RETRY_AFTER, "10")
    })?;
    let now = api.clock.now().wall;
    let counts = |at: Timestamp| {
        RecordKind::Answer.kept().is_none_or(|kept| u128::from(now.millis_since(at)) < kept.age.as_millis())
    };
    let Some(record) = record.filter(|record| counts(record.at)) else { return Ok(None) };
    serde_json::from_str(&record.json).map(Some).map_err(|error| {
        tracing::error!(%error, "a stored answer cannot be read");
        Problem::new(Code::Internal, "The stored answer cannot be read; nothing was changed.")
    })
}

/// Has the answer that `render` makes of a change stored with the change.
pub(super) fn remember(
    beside: &mut Beside,
    once: Arc<Once>,
    render: impl Fn(&Applied) -> Result<Answer, Problem> + Send + Sync + 'static,
) {
    beside.add(move |applied| {
        let stored = render(applied).ok().map(|answer| Stored {
            fingerprint: once.fingerprint.clone(),
            answer: answer.within(MAX_STORED_BYTES),
        });
        let json = stored.and_then(|stored| serde_json::to_string(&stored).ok());
        let id = once.place.key.clone();
        let put = |json| RecordOp::Put { kind: RecordKind::Answer, id, json, at: once.at };
        json.map(put).into_iter().collect()
    });
}

/// The name of `caller`'s `key`: what one caller calls its requests is nothing to another. A key has no line end.
fn owned(caller: Option<&Caller>, key: &str) -> String {
    caller.map_or_else(|| key.to_owned(), |Caller(principal)| format!("{}\n{key}", principal.who))
}

/// The key in `headers`.
///
/// # Errors
/// When it is none, or there are several.
fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut lines = headers.get_all(KEY).iter();
    let line = lines.next().filter(|_| lines.next().is_none());
    let text = line.and_then(|line| line.to_str().ok()).map(str::trim);
    let key = text.and_then(|text| if text.starts_with('"') { quoted(text) } else { bare(text) });
    key.filter(|key| (1..=MAX_KEY_BYTES).contains(&key.len())).ok_or_else(|| {
        Problem::invalid(vec![Fault {
            pointer: None,
            parameter: None,
            header: Some(KEY.to_string()),
            code: FieldErrorCode::InvalidValue,
            detail: format!("must be one string of 1 to {MAX_KEY_BYTES} printable ASCII characters"),
            value: text.map(Into::into),
            allowed: None,
        }])
    })
}

/// A string without its quotes (RFC 8941 §4.2.5).
fn quoted(text: &str) -> Option<String> {
    let mut letters = text.strip_prefix('"')?.chars();
    let mut key = String::new();
    loop {
        match letters.next()? {
            '"' => break,
            '\\' => key.push(letters.next().filter(|letter| matches!(letter, '"' | '\\'))?),
            letter if matches!(letter, ' '..='~') => key.push(letter),
            _ => return None,
        }
    }
    letters.next().is_none().then_some(key)
}

/// A key written without quotes.
fn bare(text: &str) -> Option<String> {
    let is_plain = |letter: u8| letter.is_ascii_graphic() && !matches!(letter, b'"' | b'\\' | b',' | b';');
    text.bytes().all(is_plain).then(|| text.to_owned())
}

/// Names who asked for what; the same for a request that is repeated.
async fn fingerprint(parts: &Parts, body: Bytes) -> Result<String, Problem> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let mut hash = Sha256::new();
    for part in [principal(parts).as_str(), parts.method.as_str(), target] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    // A large body takes a while.
    let finish = move || hex(&hash.chain_update(&body).finalize());
    spawn_blocking(finish).await.map_err(|_| Problem::new(Code::Internal, "The request met a fault of Weir."))
}

/// Who asks.
fn principal(parts: &Parts) -> String {
    parts.extensions.get::<Caller>().map(|caller| caller.0.who.to_string()).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<String, Problem> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(KEY, line.parse().unwrap());
        }
        key(&headers)
    }

    #[test]
    fn keys_are_strings_with_or_without_quotes() {
        let longest = "k".repeat(MAX_KEY_BYTES);
        for (line, expected) in [
            ("\"8e03978e-40d5-43dd\"", "8e03978e-40d5-43dd"),
            ("8e03978e-40d5-43dd", "8e03978e-40d5-43dd"),
            ("\"a \\\"b\\\\\"", "a \"b\\"),
            (" x ", "x"),
            (&longest, &longest),
        ] {
            assert_eq!(read(&[line]).unwrap(), expected, "{line}");
        }
        let long = "k".repeat(MAX_KEY_BYTES + 1);
        for line in ["", "\"\"", "\"a", "\"a\"b", "\"a\\x\"", "a b", "a\"b", "a,b", "a;p=1", "é", &long] {
            assert!(read(&[line]).is_err(), "{line}");
        }
        assert!(read(&["a", "a"]).is_err(), "two of them");
    }

    #[test]
    fn a_key_is_under_way_until_its_place_is_given_back() {
        let keys = UnderWay::default();
        let place = keys.enter("a");
        assert!(place.is_some() && keys.enter("a").is_none() && keys.enter("b").is_some());
        drop(place);
        assert!(keys.enter("a").is_some());
    }
}
