//! Reads the head of a request: RFC 9112 §2.2, §3, §5 and §6, with no leniency where two readers could disagree.
//!
//! What frames a message must be said once and in one way, and every line ends in CRLF. What can be told apart without doubt
//! but is not for a gateway, such as other codings than `chunked`, is left to [`crate::header::framing`], which knows how
//! to say so. Names and values share the bytes that were read.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header,
    request::Parts,
    uri::{PathAndQuery, Scheme},
};

use crate::{
    decode::BodyFraming,
    error::ProxyError,
    head::{Fate, Field, Maps, Place, Reader, gather},
};

/// Longest target that is taken in; a listener's own limit is below it.
pub(super) const MAX_TARGET: usize = 65_534;
/// Fields parsed without another try; most requests have fewer.
const COMMON_FIELDS: usize = 32;

const NOT_HTTP: ProxyError = ProxyError::BadRequest("the request is not valid HTTP");
const BAD_TARGET: ProxyError = ProxyError::BadRequest("the request target is not valid");
const BAD_LENGTH: ProxyError = ProxyError::BadRequest("the Content-Length field is not valid");

/// What is taken in at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a head.
    pub(super) bytes: usize,
    /// Fields.
    pub(super) fields: usize,
}

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) framing: BodyFraming,
    pub(super) wants: Wants,
}

/// What a request says about the connection and the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) version: Version,
    /// Whether another request may follow.
    pub(super) reuse: Reuse,
    pub(super) answer: Answer,
    /// Whether the client waits for 100 before it sends its body.
    pub(super) continuation: Continuation,
    pub(super) trailers: Trailers,
}

/// Whether a client lets another request follow (RFC 9112 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    Close,
    Keep,
}

/// What answers a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Whole,
    /// Without content: the method was HEAD.
    HeadAlone,
}

/// RFC 9110 §10.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    None,
    Awaited,
}

/// Whether a client takes trailers (RFC 9110 §10.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailers {
    Dropped,
    Taken,
}

/// Reads heads as they arrive.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    /// How much of the input is known to be no whole head.
    tried: usize,
}

impl Arriving {
    /// Takes the head of a request off the front of `input`, if it is complete. Its fields are in one of `maps`.
    ///
    /// # Errors
    /// What is there is not, and does not become, a head that is taken in.
    pub(super) fn take(
        &mut self,
        input: &mut BytesMut,
        limits: Limits,
        maps: &Maps,
    ) -> Result<Option<Head>, ProxyError> {
        // Heads that trickle in are parsed a few times, not once a byte. Two LF end no head, but the waiting for one.
        let (length, fresh) = (input.len(), input.get(self.tried.saturating_sub(3)..).unwrap_or_default());
        let has = |end: &[u8]| memchr::memmem::find(fresh, end).is_some();
        let is_worth_while =
            length >= 2 * self.tried || length > limits.bytes || has(b"\n\r\n") || has(b"\n\n");
        if !is_worth_while {
            return Ok(None);
        }
        let head = parse(input, limits, maps)?;
        self.tried = if head.is_none() { input.len() } else { 0 };
        Ok(head)
    }

    /// The client sends no more: why what is there was no head, if that is sure.
    pub(super) fn end(&mut self, input: &mut BytesMut, limits: Limits, maps: &Maps) -> Option<ProxyError> {
        self.tried = 0;
        self.take(input, limits, maps).err()
    }
}

/// Takes empty lines before a request off the front (RFC 9112 §2.2). Answers whether anything else is there.
pub(super) fn skip_empty_lines(input: &mut BytesMut) -> bool {
    while input.starts_with(b"\r\n") {
        input.advance(2);
    }
    !input.is_empty() && *input != b"\r"[..]
}

fn parse(input: &mut BytesMut, limits: Limits, maps: &Maps) -> Result<Option<Head>, ProxyError> {
    let mut storage = [const { MaybeUninit::uninit() }; COMMON_FIELDS];
    let mut fields = [Field::default(); COMMON_FIELDS];
    match locate(input, &mut storage, &mut fields) {
        Err(httparse::Error::TooManyHeaders) if limits.fields > COMMON_FIELDS => {
            parse_many(input, limits, maps)
        }
        found => finish(input, found, &fields, limits, maps),
    }
}

/// The same for a head with unusually many fields. Apart, so that the usual case does without their storage.
#[cold]
#[inline(never)]
fn parse_many(input: &mut BytesMut, limits: Limits, maps: &Maps) -> Result<Option<Head>, ProxyError> {
    let mut storage = vec![MaybeUninit::uninit(); limits.fields];
    let mut fields = vec![Field::default(); limits.fields];
    let found = locate(input, &mut storage, &mut fields);
    finish(input, found, &fields, limits, maps)
}

/// A complete head.
struct Found {
    length: usize,
    method: Place,
    target: Place,
    version: Version,
    fields: usize,
}

fn locate<'b>(
    input: &'b [u8],
    storage: &mut [MaybeUninit<httparse::Header<'b>>],
    fields: &mut [Field],
) -> Result<Option<Found>, httparse::Error> {
    let mut request = httparse::Request::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let status = parser.parse_request_with_uninit_headers(&mut request, input, storage)?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    Field::locate(fields, request.headers, input);
    Ok(Some(Found {
        length,
        method: Place::of(request.method.unwrap_or_default().as_bytes(), input),
        target: Place::of(request.path.unwrap_or_default().as_bytes(), input),
        version: if request.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 },
        fields: request.headers.len(),
    }))
}

fn finish(
    input: &mut BytesMut,
    found: Result<Option<Found>, httparse::Error>,
    fields: &[Field],
    limits: Limits,
    maps: &Maps,
) -> Result<Option<Head>, ProxyError> {
    let found = found.map_err(|error| match error {
        httparse::Error::TooManyHeaders => ProxyError::HeaderTooLarge,
        _ => NOT_HTTP,
    })?;
    let length = found.as_ref().map_or(input.len(), |found| found.length);
    if length > limits.bytes {
        let line = memchr::memchr(b'\n', input).unwrap_or(input.len());
        return Err(if line > limits.bytes { ProxyError::UriTooLong } else { ProxyError::HeaderTooLarge });
    }
    let Some(found) = found else { return Ok(None) };
    let head = input.split_to(found.length).freeze();
    let fields = fields.get(..found.fields).unwrap_or_default();
    check_line_ends(&head, fields)?;
    build(&head, &found, fields, maps.take()).map(Some)
}

/// RFC 9112 §2.2: LF alone ends a line for some readers and not for others.
fn check_line_ends(head: &[u8], fields: &[Field]) -> Result<(), ProxyError> {
    let ends_before = |field: &Field| {
        let line = head.get(..field.start()).unwrap_or_default();
        line.ends_with(b"\r\n")
    };
    let is_first_line_whole = !head.starts_with(b"\n");
    if is_first_line_whole && head.ends_with(b"\r\n\r\n") && fields.iter().all(ends_before) {
        Ok(())
    } else {
        Err(NOT_HTTP)
    }
}

fn build(head: &Bytes, found: &Found, fields: &[Field], mut headers: HeaderMap) -> Result<Head, ProxyError> {
    let method = Method::from_bytes(head.get(found.method.range()).unwrap_or_default());
    let method = method.map_err(|_| NOT_HTTP)?;
    let uri = target(&method, head.slice(found.target.range()))?;
    let message = gather(&Message::of(found.version), fields, head, &mut headers)?;
    let answer = if method == Method::HEAD { Answer::HeadAlone } else { Answer::Whole };
    let (framing, wants) = message.conclude(answer)?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = found.version;
    *request.headers_mut() = headers;
    let (parts, ()) = request.into_parts();
    Ok(Head { parts, framing, wants })
}

/// RFC 9112 §3.2.
fn target(method: &Method, text: Bytes) -> Result<Uri, ProxyError> {
    if text.len() > MAX_TARGET {
        return Err(ProxyError::UriTooLong);
    }
    if memchr::memchr(b'#', &text).is_some() {
        return Err(ProxyError::BadRequest("the request target has a fragment"));
    }
    let is_for_host_alone = *method == Method::OPTIONS && is_for_host_alone(&text);
    let uri = Uri::from_maybe_shared(text).map_err(|_| BAD_TARGET)?;
    if !is_for_host_alone {
        return Ok(uri);
    }
    // §3.2.4: such a target is about the server as a whole.
    let mut parts = uri.into_parts();
    parts.scheme.get_or_insert(Scheme::HTTP);
    parts.path_and_query = Some(PathAndQuery::from_static("*"));
    Uri::from_parts(parts).map_err(|_| BAD_TARGET)
}

/// Whether a target is a scheme and a host and nothing else.
fn is_for_host_alone(target: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(target, b"://") else { return false };
    let (scheme, host) = (target.get(..end).unwrap_or_default(), target.get(end + 3..).unwrap_or_default());
    scheme.iter().all(u8::is_ascii_alphabetic) && !host.iter().any(|byte| b"/?".contains(byte))
}

/// What the fields say about the message itself, gathered on the way.
#[derive(Clone)]
struct Message {
    version: Version,
    length: Option<u64>,
    coding: Coding,
    /// What `Connection` says: `close` outweighs `keep-alive`, on whichever line.
    reuse: Option<Reuse>,
    continuation: Continuation,
    trailers: Trailers,
}

/// What `Transfer-Encoding` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    None,
    /// Chunks come last.
    Chunked,
    /// Something else comes last, so that nobody knows where the body ends (RFC 9112 §6.3).
    Endless,
}

impl Message {
    fn of(version: Version) -> Self {
        Self {
            version,
            length: None,
            coding: Coding::None,
            reuse: None,
            continuation: Continuation::None,
            trailers: Trailers::Dropped,
        }
    }

    /// RFC 9112 §6.1, §6.3 and §9.3.
    fn conclude(self, answer: Answer) -> Result<(BodyFraming, Wants), ProxyError> {
        let is_old = self.version == Version::HTTP_10;
        let framing = match (self.coding, self.length) {
            (Coding::None, length) => BodyFraming::Length(length.unwrap_or(0)),
            (Coding::Chunked, None) if !is_old => BodyFraming::Chunked,
            (Coding::Chunked, None) => {
                return Err(ProxyError::BadRequest("HTTP/1.0 has no Transfer-Encoding"));
            }
            (Coding::Chunked | Coding::Endless, Some(_)) => {
                return Err(ProxyError::BadRequest("both Content-Length and Transfer-Encoding"));
            }
            (Coding::Endless, None) => {
                return Err(ProxyError::BadRequest("the Transfer-Encoding field is not valid"));
            }
        };
        let continuation =
            if is_old || framing == BodyFraming::Length(0) { Continuation::None } else { self.continuation };
        let reuse = self.reuse.unwrap_or(if is_old { Reuse::Close } else { Reuse::Keep });
        let trailers = self.trailers;
        Ok((framing, Wants { version: self.version, reuse, answer, continuation, trailers }))
    }
}

impl Reader for Message {
    type Error = ProxyError;

    const MALFORMED: ProxyError = NOT_HTTP;

    fn take_in(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<Fate, ProxyError> {
        match *name {
            header::CONTENT_LENGTH => {
                // Even the same number twice is an error: somebody has put two messages together.
                let length = parse_length(value.as_bytes()).filter(|_| self.length.is_none());
                self.length = Some(length.ok_or(BAD_LENGTH)?);
            }
            header::TRANSFER_ENCODING => {
                let last = options(value).next_back().unwrap_or_default();
                let is_chunked = last.eq_ignore_ascii_case(b"chunked");
                self.coding = if is_chunked { Coding::Chunked } else { Coding::Endless };
            }
            header::CONNECTION => {
                for option in options(value) {
                    if option.eq_ignore_ascii_case(b"close") {
                        self.reuse = Some(Reuse::Close);
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        self.reuse.get_or_insert(Reuse::Keep);
                    }
                }
            }
            header::EXPECT if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
                self.continuation = Continuation::Awaited;
            }
            header::TE if options(value).any(|option| option.eq_ignore_ascii_case(b"trailers")) => {
                self.trailers = Trailers::Taken;
            }
            _ => {}
        }
        Ok(Fate::Kept)
    }
}

fn options(line: &HeaderValue) -> impl DoubleEndedIterator<Item = &[u8]> {
    line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Only digits (RFC 9110 §8.6), at most what fits.
fn parse_length(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
