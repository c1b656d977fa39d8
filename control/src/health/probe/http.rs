//! One request and the head of its answer, on a connection of its own.
//!
//! Written by hand because a check needs so little: no body, no reuse, one header section. Framing by RFC 9112; interim
//! responses (RFC 9110 §15.2) are skipped.

use std::{fmt::Write as _, io};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use weir_shared::{
    model::{HealthCheck, address::Address},
    state::Reason,
};

use super::error;

/// Largest header section of an answer; interim responses are bounded by the time a check may take.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most fields in an answer.
const MAX_FIELDS: usize = 128;
/// Most read at once.
const CHUNK_BYTES: usize = 1024;

/// Why there is no status.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    /// The connection failed.
    #[error("{}", error::text(.0))]
    Io(io::Error),
    /// The connection ended.
    #[error("connection closed before the answer was complete")]
    Closed,
    /// The answer is not HTTP/1.
    #[error("the answer is not HTTP/1: {0}")]
    Malformed(httparse::Error),
    /// The answer's head does not end.
    #[error("the answer's head is larger than {MAX_HEAD_BYTES} bytes")]
    TooLarge,
}

impl ExchangeError {
    /// The reason to show.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Io(_) | Self::Closed => Reason::Reset,
            Self::Malformed(_) | Self::TooLarge => Reason::MalformedResponse,
        }
    }
}

/// The request that `spec` describes, for the server at `address`.
pub(super) fn request(spec: &HealthCheck, address: &Address) -> String {
    let path = spec.path.as_deref().unwrap_or("/");
    let mut request = format!("{} {path} HTTP/1.1\r\nHost: ", spec.method);
    // Writing to a string cannot fail.
    let _ = match &spec.host {
        Some(host) => write!(request, "{host}\r\n"),
        None => write!(request, "{address}\r\n"),
    };
    let has_own = |name: &str| spec.headers.keys().any(|own| own.eq_ignore_ascii_case(name));
    if !has_own("user-agent") {
        request.push_str(concat!("User-Agent: weir-health/", env!("CARGO_PKG_VERSION"), "\r\n"));
    }
    for (name, value) in &spec.headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("Connection: close\r\n\r\n");
    request
}

/// Sends `request` and answers the status of the response, once its head is complete.
pub(super) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &str,
) -> Result<u16, ExchangeError> {
    // A server that answers before it has read everything is heard all the same.
    let sent = stream.write_all(request.as_bytes()).await;
    let mut head = Vec::with_capacity(CHUNK_BYTES);
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let read = match stream.read(&mut chunk).await {
            Ok(read) => chunk.get(..read).unwrap_or_default(),
            Err(error) => return Err(ExchangeError::Io(sent.err().unwrap_or(error))),
        };
        if read.is_empty() {
            return Err(ExchangeError::Closed);
        }
        head.extend_from_slice(read);
        while let Some((status, length)) = parse(&head)? {
            if !(100..200).contains(&status) || status == 101 {
                return Ok(status);
            }
            head.drain(..length);
        }
        if head.len() >= MAX_HEAD_BYTES {
            return Err(ExchangeError::TooLarge);
        }
    }
}

/// Status and length of the head that `bytes` begin with, once it is complete.
fn parse(bytes: &[u8]) -> Result<Option<(u16, usize)>, ExchangeError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => Ok(response.code.map(|status| (status, length))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(ExchangeError::Malformed(error)),
    }
}
