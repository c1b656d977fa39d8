//! Reads the head of a server's response: RFC 9112 §4 and §6.3, with no leniency where two readers could disagree.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::{
    decode::BodyFraming,
    interim::{self, Interim},
};
use crate::{
    error::ProxyError,
    head::{Fate, Field, Maps, Reader, gather},
    header::{ConnectionOptions, is_hop_by_hop},
};

/// Room made for one read while a head is expected. Small, because a slow client keeps all of it in memory.
pub(super) const SMALL_READ: usize = 16 * 1024;
/// Largest head accepted, interim responses not counted (Envoy 60 KiB).
const MAX_HEAD: usize = 64 * 1024;
/// Fields parsed without another try; most responses have fewer.
const COMMON_FIELDS: usize = 32;
/// Most fields accepted.
const MAX_FIELDS: usize = 256;

/// What has arrived so far.
pub(super) enum Parsed {
    Incomplete,
    /// A 1xx response; another one follows.
    Interim(Interim),
    Final(ResponseHead),
}

/// The head of a final response.
pub(super) struct ResponseHead {
    pub(super) status: StatusCode,
    /// The fields that go on to the client.
    pub(super) headers: HeaderMap,
    pub(super) framing: BodyFraming,
    /// Whether the connection can take another request after the body.
    pub(super) may_be_reused: bool,
}

/// Takes the head of a response to a request with `method` off the front of `buffer`, if it is complete. Its fields are in
/// one of `maps`.
pub(super) fn parse(buffer: &mut BytesMut, method: &Method, maps: &Maps) -> Result<Parsed, ProxyError> {
    let mut fields = [Field::default(); COMMON_FIELDS];
    match locate::<COMMON_FIELDS>(buffer, &mut fields) {
        Err(httparse::Error::TooManyHeaders) => parse_many(buffer, method, maps),
        found => finish(buffer, found, &fields, method, maps),
    }
}

/// The same for a head with unusually many fields. Apart, so that the usual case does without their storage.
#[cold]
#[inline(never)]
fn parse_many(buffer: &mut BytesMut, method: &Method, maps: &Maps) -> Result<Parsed, ProxyError> {
    let mut fields = [Field::default(); MAX_FIELDS];
    match locate::<MAX_FIELDS>(buffer, &mut fields) {
        Err(httparse::Error::TooManyHeaders) => Err(ProxyError::ResponseHeaderTooLarge),
        found => finish(buffer, found, &fields, method, maps),
    }
}

/// A complete head.
struct Found {
    length: usize,
    code: u16,
    version: Version,
    fields: usize,
}

fn locate<const N: usize>(buffer: &[u8], fields: &mut [Field; N]) -> Result<Option<Found>, httparse::Error> {
    let mut storage = [const { MaybeUninit::uninit() }; N];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let status = parser.parse_response_with_uninit_headers(&mut response, buffer, &mut storage)?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    Field::locate(fields, response.headers, buffer);
    let version = if response.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    Ok(Some(Found { length, code: response.code.unwrap_or(0), version, fields: response.headers.len() }))
}

fn finish(
    buffer: &mut BytesMut,
    found: Result<Option<Found>, httparse::Error>,
    fields: &[Field],
    method: &Method,
    maps: &Maps,
) -> Result<Parsed, ProxyError> {
    let Some(found) = found.map_err(|_| ProxyError::ResponseMalformed)? else {
        let is_too_large = buffer.len() > MAX_HEAD;
        return if is_too_large { Err(ProxyError::ResponseHeaderTooLarge) } else { Ok(Parsed::Incomplete) };
    };
    let status = StatusCode::from_u16(found.code).map_err(|_| ProxyError::ResponseMalformed)?;
    let head = buffer.split_to(found.length).freeze();
    let fields = fields.get(..found.fields).unwrap_or_default();
    if status.is_informational() {
        return interim::build(&head, fields, status).map(Parsed::Interim);
    }
    let mut headers = maps.take();
    let message = gather(&Message::default(), fields, &head, &mut headers)?;
    message.conclude(status, headers, found.version, method).map(Parsed::Final)
}

/// What the fields say about the message itself, gathered on the way.
#[derive(Clone, Default)]
struct Message {
    length: Option<u64>,
    is_chunked: bool,
    options: ConnectionOptions,
}

impl Message {
    /// The head that `headers` are of, without those that are for this connection alone.
    fn conclude(
        self,
        status: StatusCode,
        mut headers: HeaderMap,
        version: Version,
        method: &Method,
    ) -> Result<ResponseHead, ProxyError> {
        for name in self.options.named() {
            headers.remove(name);
        }
        let framing = self.framing(status, version, method)?;
        if framing == BodyFraming::Chunked {
            headers.remove(http::header::CONTENT_LENGTH);
        }
        let may_be_reused = framing != BodyFraming::UntilClose && self.options.allow_reuse(version);
        Ok(ResponseHead { status, headers, framing, may_be_reused })
    }

    /// RFC 9112 §6.3. A message with both a length and chunks is refused: it is either an attack or an error.
    fn framing(
        &self,
        status: StatusCode,
        version: Version,
        method: &Method,
    ) -> Result<BodyFraming, ProxyError> {
        if self.is_chunked && (self.length.is_some() || version == Version::HTTP_10) {
            return Err(ProxyError::ResponseMalformed);
        }
        let is_bodiless =
            *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        Ok(match self.length {
            _ if is_bodiless => BodyFraming::Length(0),
            _ if self.is_chunked => BodyFraming::Chunked,
            Some(length) => BodyFraming::Length(length),
            None => BodyFraming::UntilClose,
        })
    }
}

impl Reader for Message {
    type Error = ProxyError;

    const MALFORMED: ProxyError = ProxyError::ResponseMalformed;

    fn take_in(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<Fate, ProxyError> {
        if *name == http::header::CONTENT_LENGTH {
            let length = parse_length(value.as_bytes()).ok_or(ProxyError::ResponseMalformed)?;
            return match self.length.replace(length) {
                None => Ok(Fate::Kept),
                Some(other) if other == length => Ok(Fate::Dropped),
                Some(_) => Err(ProxyError::ResponseMalformed),
            };
        }
        if *name == http::header::TRANSFER_ENCODING {
            // Any other coding would have to be undone here, and a second line makes the order a matter of opinion.
            if self.is_chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(ProxyError::ResponseMalformed);
            }
            self.is_chunked = true;
            return Ok(Fate::Dropped);
        }
        if *name == http::header::CONNECTION {
            self.options.add(value);
            return Ok(Fate::Dropped);
        }
        Ok(if is_hop_by_hop(name) { Fate::Dropped } else { Fate::Kept })
    }
}

/// Only digits (RFC 9110 §8.6), at most what fits.
fn parse_length(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
