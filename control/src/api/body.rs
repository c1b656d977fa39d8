//! Request bodies: whole, bounded in size and time, of a media type that is read, and JSON or YAML.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, header, request::Parts};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use weir_shared::model::check::MAX_CONFIG_BYTES;

use super::{
    accept::Format,
    guard, json,
    place::{MAX_SMALL_BYTES, MEBIBYTE, Place},
    problem::{Code, Problem},
};
use crate::{strict, yaml};

/// Largest body: twice what a configuration may be when it is written out, for the blanks of a document that a person can
/// read.
pub const MAX_BODY_BYTES: usize = 2 * MAX_CONFIG_BYTES;

/// Time for the whole body to arrive, so that slow senders do not hold the places of others.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What each further mebibyte adds to that.
const MEBIBYTE_TIMEOUT: Duration = Duration::from_secs(1);

/// A body that has arrived.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    /// `None` for a small one.
    place: Option<Place>,
}

impl Whole {
    /// Puts the body back, to be read once more from memory.
    pub(super) fn put_back(self, parts: &mut Parts) -> Body {
        if let Some(place) = self.place {
            parts.extensions.insert(place);
        }
        Body::from(self.bytes)
    }
}

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
    read_as(request, Expect::Json, interpret).await.map(|(read, _)| read)
}

/// As [`read`], but the body may also be YAML. Hold the place as long as what was read.
///
/// # Errors
/// As [`read`], and when it is said to be YAML and is not.
pub(super) async fn read_document<T, F>(
    request: Request<Body>,
    interpret: F,
) -> Result<(T, Option<Place>), Problem>
where
    T: Send + 'static,
    F: FnOnce(Value) -> Result<T, Problem> + Send + 'static,
{
    read_as(request, Expect::Document, interpret).await
}

async fn read_as<T, F>(
    request: Request<Body>,
    expect: Expect,
    interpret: F,
) -> Result<(T, Option<Place>), Problem>
where
    T: Send + 'static,
    F: FnOnce(Value) -> Result<T, Problem> + Send + 'static,
{
    let is_yaml = essence(request.headers()).is_some_and(|it| Format::of(&it) == Some(Format::Yaml));
    let parse = if is_yaml { parse_yaml } else { parse };
    let whole = some(request, expect, MAX_BODY_BYTES).await?;
    if whole.place.is_none() {
        return Ok((interpret(parse(&whole.bytes)?)?, None));
    }
    // The place is held by the work and not by the caller: one who goes away does not end it.
    let work = spawn_blocking(move || {
        let Whole { bytes, place } = whole;
        let value = parse(&bytes)?;
        drop(bytes);
        Ok((interpret(value)?, place))
    });
    work.await.unwrap_or_else(|_| Err(Problem::new(Code::Internal, "The request met a fault of Weir.")))
}

/// Reads the body of `request` as JSON; `None` when there is none.
///
/// # Errors
/// As [`read`], and for more than what such small documents need.
pub async fn read_optional(request: Request<Body>) -> Result<Option<Value>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = whole(&parts, body, MAX_SMALL_BYTES).await?.bytes;
    if bytes.is_empty() && !guard::is_browser(&parts.headers) {
        return Ok(None);
    }
    media_type(&parts.headers, Expect::Json)?;
    if bytes.is_empty() { Ok(None) } else { parse(&bytes).map(Some) }
}

/// A body that is not empty.
async fn some(request: Request<Body>, expect: Expect, most: usize) -> Result<Whole, Problem> {
    let (parts, body) = request.into_parts();
    media_type(&parts.headers, expect)?;
    let whole = whole(&parts, body, most).await?;
    if whole.bytes.is_empty() {
        return Err(Problem::new(Code::MalformedJson, "The body is empty: a JSON document is needed."));
    }
    Ok(whole)
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
    let patch = parse(&some(request, Expect::MergePatch, MAX_SMALL_BYTES).await?.bytes)?;
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
pub(super) async fn whole(parts: &Parts, body: Body, most: usize) -> Result<Whole, Problem> {
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > most as u64) {
        return Err(too_large(most));
    }
    collect(body, most, parts.extensions.get::<Place>().cloned()).await
}

async fn collect(mut body: Body, most: usize, mut place: Option<Place>) -> Result<Whole, Problem> {
    let mut bytes = BytesMut::new();
    let mut deadline = Instant::now() + BODY_TIMEOUT;
    // What it had, for those who are late: more for every mebibyte.
    let mut given = BODY_TIMEOUT;
    loop {
        let Ok(frame) = timeout_at(deadline, body.frame()).await else { return Err(late(given)) };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            Problem::new(Code::MalformedRequest, format!("The body ended early: {error}."))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > most {
            return Err(too_large(most));
        }
        let waits_from = Instant::now();
        place = Place::of(length, place).await;
        // Nobody is late who is made to wait.
        deadline += waits_from.elapsed();
        let mebibytes = u32::try_from(length / MEBIBYTE - bytes.len() / MEBIBYTE).unwrap_or(0);
        deadline += MEBIBYTE_TIMEOUT * mebibytes;
        given += MEBIBYTE_TIMEOUT * mebibytes;
        bytes.extend_from_slice(&data);
    }
    Ok(Whole { bytes: bytes.freeze(), place })
}

fn late(given: Duration) -> Problem {
    let detail = format!("The body took longer than {} seconds.", given.as_secs());
    Problem::new(Code::RequestTimeout, detail)
}

fn too_large(most: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("The body is larger than {most} bytes."))
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

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    use axum::response::IntoResponse;
    use hyper::body::Frame;

    use super::*;

    fn parts() -> Parts {
        Request::new(()).into_parts().0
    }

    async fn large() -> Whole {
        whole(&parts(), Body::from(vec![b' '; MAX_SMALL_BYTES + 1]), MAX_BODY_BYTES).await.expect("read")
    }

    #[tokio::test]
    async fn few_large_bodies_are_in_memory_at_once() {
        let (first, _second) = (large().await, large().await);
        let mut third = pin!(large());
        assert!(third.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let small = whole(&parts(), Body::from("{}"), MAX_SMALL_BYTES).await.expect("read");
        assert!(small.place.is_none(), "small ones do not wait");
        let mut parts = parts();
        let body = first.put_back(&mut parts);
        let again = whole(&parts, body, MAX_BODY_BYTES).await.expect("read again in the same place");
        drop((parts, again));
        third.await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_is_told_how_long_there_was() {
        let stalled = Body::new(Stalls(Some(Bytes::from(vec![b' '; 2 * MEBIBYTE]))));
        let late = whole(&parts(), stalled, MAX_BODY_BYTES).await.expect_err("it never ends");
        assert!(format!("{late:?}").contains("longer than 32 seconds"), "{late:?}");
    }

    /// A body that begins and does not go on.
    struct Stalls(Option<Bytes>);

    impl hyper::body::Body for Stalls {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
        }
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_bounded() {
        let body = Body::new(http_body_util::Full::new(Bytes::from(vec![b' '; 100])));
        let refused = whole(&parts(), body, 99).await.expect_err("one byte too many");
        assert_eq!(refused.into_response().status(), 413);
    }
}
