//! Request bodies: whole, bounded in size and time, of a media type that is read, and JSON or YAML.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    accept::Format,
    guard, json,
    problem::{Code, Problem},
};
use crate::{strict, yaml};

/// Largest body: 100 000 servers at some 300 bytes each fit.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Time for the whole body to arrive, so that slow senders do not hold the places of others.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest body that is read between other requests, and largest merge patch. Reading this takes some milliseconds.
const MAX_SMALL_BYTES: usize = 256 * 1024;

/// Places for bodies that are larger. They are read apart, so that the API answers others meanwhile, and few at once,
/// because a document in memory takes many times the room of its text.
static LARGE: Semaphore = Semaphore::const_new(2);

/// Which media types a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// `application/json`.
    Json,
    /// `application/json` or `application/yaml`.
    Document,
    /// `application/merge-patch+json`, or the same as `application/json`.
    MergePatch,
}

/// Reads the body of `request` as JSON, and makes of it what `interpret` does.
///
/// # Errors
/// When it is too large, too slow, of another media type, or not JSON; and those of `interpret`.
pub async fn read<T, F>(request: Request<Body>, interpret: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(Value) -> Result<T, Problem> + Send + 'static,
{
    read_as(request, Expect::Json, interpret).await
}

/// As [`read`], but the body may also be YAML.
///
/// # Errors
/// As [`read`], and when it is said to be YAML and is not.
pub async fn read_document<T, F>(request: Request<Body>, interpret: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(Value) -> Result<T, Problem> + Send + 'static,
{
    read_as(request, Expect::Document, interpret).await
}

async fn read_as<T, F>(request: Request<Body>, expect: Expect, interpret: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(Value) -> Result<T, Problem> + Send + 'static,
{
    let is_yaml = essence(request.headers()).is_some_and(|it| Format::of(&it) == Some(Format::Yaml));
    let parse = if is_yaml { parse_yaml } else { parse };
    let bytes = bytes(request, expect, MAX_BODY_BYTES).await?;
    if bytes.len() <= MAX_SMALL_BYTES {
        return parse(&bytes).and_then(interpret);
    }
    let place = LARGE.acquire().await;
    let work = spawn_blocking(move || {
        // Held by the work and not by the caller: one who goes away does not end it.
        let _place = place;
        parse(&bytes).and_then(interpret)
    });
    work.await.unwrap_or_else(|_| Err(Problem::new(Code::Internal, "The request met a fault of Weir.")))
}

/// Reads the body of `request` as JSON; `None` when there is none.
///
/// # Errors
/// As [`read`], and for more than what such small documents need.
pub async fn read_optional(request: Request<Body>) -> Result<Option<Value>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = whole(&parts.headers, body, MAX_SMALL_BYTES).await?;
    if bytes.is_empty() && !guard::is_browser(&parts.headers) {
        return Ok(None);
    }
    media_type(&parts.headers, Expect::Json)?;
    if bytes.is_empty() { Ok(None) } else { parse(&bytes).map(Some) }
}

async fn bytes(request: Request<Body>, expect: Expect, most: usize) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    media_type(&parts.headers, expect)?;
    let bytes = whole(&parts.headers, body, most).await?;
    if bytes.is_empty() {
        return Err(Problem::new(Code::MalformedJson, "The body is empty: a JSON document is needed."));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    // RFC 8259 §8.1 forbids to send it.
    if bytes.starts_with(b"\xef\xbb\xbf") {
        let detail = "The body begins with a byte order mark (EF BB BF), which is not JSON: leave it out.";
        return Err(Problem::new(Code::MalformedJson, detail));
    }
    json::parse(bytes)
        .map_err(|error| Problem::new(Code::MalformedJson, format!("The body is not JSON: {error}.")))
}

fn parse_yaml(bytes: &[u8]) -> Result<Value, Problem> {
    yaml::parse(bytes).map_err(|error| {
        let detail = strict::shorten(error.to_string());
        Problem::new(Code::MalformedYaml, format!("The body is not YAML that is read here: {detail}."))
    })
}

/// Reads the body of a merge patch, which is always an object here.
///
/// # Errors
/// As [`read`], and when it is no object. No patch that is valid comes near the size allowed.
pub async fn read_patch(request: Request<Body>) -> Result<Value, Problem> {
    let patch = parse(&bytes(request, Expect::MergePatch, MAX_SMALL_BYTES).await?)?;
    if patch.is_object() {
        return Ok(patch);
    }
    use weir_shared::error::{FieldErrorCode, Pointer};
    let detail = "a merge patch is an object with the fields to change";
    Err(vec![Pointer::root().error(FieldErrorCode::InvalidType, detail)].into())
}

/// Reads the whole body, of at most `most` bytes.
///
/// # Errors
/// When it is too large, too slow, or ends early.
pub(super) async fn whole(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("The body is larger than {most} bytes.");
        Problem::new(Code::BodyTooLarge, detail)
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > most as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(Problem::new(Code::MalformedRequest, format!("The body ended early: {error}.")))
        }
        Err(_) => Err(Problem::new(Code::RequestTimeout, "The body took longer than 30 seconds.")),
    }
}

/// The media type of a body, without parameters.
fn essence(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::CONTENT_TYPE).map(|given| given.to_str().unwrap_or("?"));
    given.map(|given| given.split(';').next().unwrap_or(given).trim().to_ascii_lowercase())
}

fn media_type(headers: &HeaderMap, expect: Expect) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::new(Code::UnsupportedMediaType, detail));
    let encoding = headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity");
    if encoding.is_some() {
        return refuse("Compressed bodies are not read.".to_owned());
    }
    match essence(headers).as_deref() {
        Some("application/json") => Ok(()),
        Some(given) if expect == Expect::Document && Format::of(given).is_some() => Ok(()),
        Some("application/merge-patch+json") if expect == Expect::MergePatch => Ok(()),
        // What curl -d says of anything. A browser may send it across sites without asking, hence the second look.
        None | Some("application/x-www-form-urlencoded") if !guard::is_browser(headers) => Ok(()),
        other => {
            let wanted = match expect {
                Expect::Json => "application/json",
                Expect::Document => "application/json or application/yaml",
                Expect::MergePatch => "application/merge-patch+json",
            };
            let given = other.unwrap_or("nothing");
            refuse(format!("The body is said to be {given}: send {wanted}; with curl use --json."))
        }
    }
}
