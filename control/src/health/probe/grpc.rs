//! The gRPC health protocol, `grpc.health.v1.Health/Check`, over HTTP/2 without TLS by prior knowledge.
//!
//! Two messages of one field each are read and written by hand; framing is that of gRPC over HTTP/2. Only an answer that says
//! `SERVING` passes.

use std::{fmt::Write as _, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Request, Response, header};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use weir_shared::{
    model::{HealthCheck, address::Address},
    state::Reason,
};

use super::http2;

/// What is called.
pub(super) const METHOD: &str = "/grpc.health.v1.Health/Check";

/// Longest answer: a message of one number, and what later versions may add to it.
const MAX_ANSWER_BYTES: usize = 4096;
/// Largest header section, and largest trailer section.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Longest explanation taken over from a server.
const MAX_MESSAGE_CHARS: usize = 200;
/// What a message is preceded by: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Why the answer is not `SERVING`.
#[derive(Debug, Error)]
pub(super) enum GrpcError {
    /// The connection failed, or the stream was reset.
    #[error("{}", http2::text(.0))]
    Http2(#[from] h2::Error),
    /// The connection ended.
    #[error("connection closed before the answer was complete")]
    Closed,
    /// The HTTP status is not 200, so that it is not gRPC that answers.
    #[error("HTTP status {0}, where gRPC has 200")]
    Status(u16),
    /// The answer is not gRPC.
    #[error("the answer is not gRPC: {0}")]
    Malformed(&'static str),
    /// The server answered with an error.
    #[error("grpc-status {code} ({}){message}", code_name(*.code))]
    Code {
        /// `grpc-status`.
        code: u16,
        /// `: ` and `grpc-message`, or nothing.
        message: String,
    },
    /// The server, or the service asked for, is not serving.
    #[error("the answer is {}", serving_name(*.0))]
    NotServing(u64),
}

impl GrpcError {
    /// The reason to show.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Closed => Reason::Reset,
            Self::Http2(error) if error.is_io() || error.is_remote() => Reason::Reset,
            Self::Http2(_) | Self::Malformed(_) => Reason::MalformedResponse,
            Self::Status(_) => Reason::StatusMismatch,
            Self::Code { code: NOT_FOUND, .. } | Self::NotServing(SERVICE_UNKNOWN) => {
                Reason::GrpcServiceUnknown
            }
            Self::Code { code: UNIMPLEMENTED, .. } => Reason::GrpcUnimplemented,
            Self::Code { .. } => Reason::GrpcStatus,
            Self::NotServing(_) => Reason::GrpcNotServing,
        }
    }

    /// The HTTP status, if there was one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Http2(_) | Self::Closed => None,
            Self::Status(status) => Some(*status),
            Self::Malformed(_) | Self::Code { .. } | Self::NotServing(_) => Some(200),
        }
    }
}

/// Values of `grpc-status` that say something about the check.
const NOT_FOUND: u16 = 5;
const UNIMPLEMENTED: u16 = 12;
/// Values of `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;
const SERVICE_UNKNOWN: u64 = 3;

fn serving_name(status: u64) -> String {
    match status {
        0 => "UNKNOWN".to_owned(),
        SERVING => "SERVING".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        SERVICE_UNKNOWN => "SERVICE_UNKNOWN".to_owned(),
        other => format!("the unknown status {other}"),
    }
}

fn code_name(code: u16) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("not a status of gRPC")
}

/// Asks the server at `address`, at the other end of `stream`, as `spec` says.
///
/// # Errors
/// Whatever is not `SERVING`.
pub(super) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    spec: &HealthCheck,
    address: &Address,
) -> Result<(), GrpcError> {
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_HEADER_BYTES)
        .handshake::<_, Bytes>(stream)
        .await?;
    let answer = ask(sender, spec, address);
    tokio::pin!(answer);
    let ended = tokio::select! {
        biased;
        answer = &mut answer => return answer,
        ended = connection => ended,
    };
    // What had arrived before the connection ended is still there to be read.
    let answer = answer.await;
    match (answer, ended) {
        (Err(GrpcError::Http2(_)), Err(cause)) => Err(cause.into()),
        (Err(GrpcError::Http2(_)), Ok(())) => Err(GrpcError::Closed),
        (answer, _) => answer,
    }
}

async fn ask(sender: SendRequest<Bytes>, spec: &HealthCheck, address: &Address) -> Result<(), GrpcError> {
    let request = request(spec, address)?;
    let mut sender = sender.ready().await?;
    let (response, mut body) = sender.send_request(request, false)?;
    body.send_data(message(spec.grpc_service.as_deref().unwrap_or_default()), true)?;
    let (head, mut body) = response.await.map(Response::into_parts)?;
    if head.status != http::StatusCode::OK {
        return Err(GrpcError::Status(head.status.as_u16()));
    }
    let is_grpc = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return Err(GrpcError::Malformed("its content-type is another"));
    }
    // An error may come without a message, all in one header section.
    check_status(&head.headers)?;
    let answer = read(&mut body).await?;
    match body.trailers().await? {
        Some(trailers) if trailers.contains_key("grpc-status") => check_status(&trailers)?,
        _ if head.headers.contains_key("grpc-status") => {}
        _ => return Err(GrpcError::Malformed("it has no grpc-status")),
    }
    match status_in(&answer).ok_or(GrpcError::Malformed("its message is none of the health service"))? {
        SERVING => Ok(()),
        other => Err(GrpcError::NotServing(other)),
    }
}

fn request(spec: &HealthCheck, address: &Address) -> Result<Request<()>, GrpcError> {
    let authority = spec.host.clone().unwrap_or_else(|| address.to_string());
    let timeout = Duration::as_millis(&spec.effective_timeout().duration());
    let mut request = Request::post(format!("http://{authority}{METHOD}"))
        .header("te", "trailers")
        .header(header::CONTENT_TYPE, "application/grpc")
        .header("grpc-timeout", format!("{timeout}m"));
    let has_own = |name: &str| spec.headers.keys().any(|own| own.eq_ignore_ascii_case(name));
    if !has_own("user-agent") {
        request = request.header(header::USER_AGENT, concat!("weir-health/", env!("CARGO_PKG_VERSION")));
    }
    for (name, value) in &spec.headers {
        request = request.header(name, value);
    }
    request.body(()).map_err(|_| GrpcError::Malformed("it was not asked for: host or headers are not valid"))
}

/// A `HealthCheckRequest` for `service`, with its prefix.
fn message(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, length-delimited.
        message.push(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message);
    framed.freeze()
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
}

/// The one message of a body, without its prefix.
async fn read(body: &mut RecvStream) -> Result<Vec<u8>, GrpcError> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if bytes.len() + data.len() > MAX_ANSWER_BYTES {
            return Err(GrpcError::Malformed("it is too long for the health service"));
        }
        bytes.extend_from_slice(&data);
        // The window is larger than what is read of a body at most.
    }
    match bytes.split_first_chunk::<PREFIX_BYTES>() {
        Some(([0, length @ ..], message)) if u32::from_be_bytes(*length) as usize == message.len() => {
            Ok(message.to_vec())
        }
        // The trailers tell why there is none.
        None if bytes.is_empty() => Ok(Vec::new()),
        _ => Err(GrpcError::Malformed("its message is compressed or cut short")),
    }
}

/// An error if `headers` hold a `grpc-status` other than 0.
fn check_status(headers: &HeaderMap) -> Result<(), GrpcError> {
    let Some(status) = headers.get("grpc-status") else { return Ok(()) };
    let code = status.to_str().ok().and_then(|text| text.parse::<u16>().ok());
    match code.ok_or(GrpcError::Malformed("its grpc-status is not a number"))? {
        0 => Ok(()),
        code => {
            let said = headers.get("grpc-message").map(|said| plain(said.as_bytes())).unwrap_or_default();
            let message = if said.is_empty() { said } else { format!(": {said}") };
            Err(GrpcError::Code { code, message })
        }
    }
}

/// A `grpc-message`, percent-decoded, as much of it as may be shown.
fn plain(bytes: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail.first_chunk::<2>().filter(|_| first == b'%');
        let byte = escaped
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(first));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    let text = String::from_utf8_lossy(&decoded);
    let mut shown = String::new();
    for letter in text.chars().take(MAX_MESSAGE_CHARS) {
        // Writing to a string cannot fail.
        let _ = if letter.is_control() { write!(shown, " ") } else { write!(shown, "{letter}") };
    }
    shown
}

/// The `status` of a `HealthCheckResponse`; fields of later versions are passed over. `None` when it is no such message.
fn status_in(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (0, _) => return None,
            (1, 0) => status = varint(&mut message)?,
            (1, _) => return None,
            (_, 0) => {
                varint(&mut message)?;
            }
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// Takes a number of base 128 off the front, the lowest digit first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
