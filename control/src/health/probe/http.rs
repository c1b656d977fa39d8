//! One request and the head of its answer, on a connection of its own; what the head says of the body.
//!
//! Written by hand because a check needs so little: no reuse, one header section, a body only to be searched. Framing by RFC 9112; interim
//! responses (RFC 9110 §15.2) are skipped.

use std::{fmt::Write as _, io};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use weir_shared::{
    model::{HealthCheck, address::Address},
    state::Reason,
};

use super::{
    body::{Chunk, Framing},
    error,
};

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
    /// The length of the answer's body is not one thing only.
    #[error("the answer's body has no clear length")]
    BadLength,
    /// The answer's body is not in chunks as its head says.
    #[error("the answer's body is not in chunks, as its head says")]
    BadChunk,
    /// The answer's head does not end.
    #[error("the answer's head is larger than {MAX_HEAD_BYTES} bytes")]
    TooLarge,
}

impl ExchangeError {
    /// The reason to show.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Io(_) | Self::Closed => Reason::Reset,
            Self::Malformed(_) | Self::TooLarge | Self::BadLength | Self::BadChunk => {
                Reason::MalformedResponse
            }
        }
    }
}

/// The head of an answer, and what has arrived after it.
#[derive(Debug)]
pub(super) struct Reply {
    /// Its status.
    pub(super) status: u16,
    /// Where its body ends; an error if nobody can tell.
    pub(super) framing: Result<Framing, ExchangeError>,
    /// The first bytes of the body, as they came.
    pub(super) rest: Vec<u8>,
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

/// Sends `request` and answers the head of the response, once that is complete.
pub(super) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &str,
) -> Result<Reply, ExchangeError> {
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
        while let Some(Head { status, length, framing }) = parse(&head)? {
            head.drain(..length);
            if !(100..200).contains(&status) || status == 101 {
                return Ok(Reply { status, framing, rest: head });
            }
        }
        if head.len() >= MAX_HEAD_BYTES {
            return Err(ExchangeError::TooLarge);
        }
    }
}

struct Head {
    status: u16,
    /// Bytes it takes.
    length: usize,
    framing: Result<Framing, ExchangeError>,
}

/// The head that `bytes` begin with, once it is complete.
fn parse(bytes: &[u8]) -> Result<Option<Head>, ExchangeError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(ExchangeError::Malformed(error)),
    };
    let Some(status) = response.code else { return Ok(None) };
    Ok(Some(Head { status, length, framing: framing(status, response.headers) }))
}

/// Where the body of an answer ends (RFC 9112 §6.3).
fn framing(status: u16, fields: &[httparse::Header<'_>]) -> Result<Framing, ExchangeError> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::Length(0));
    }
    if let Some(coding) = values(fields, "transfer-encoding").last() {
        let is_chunked = coding.rsplit(|byte| *byte == b',').next();
        let is_chunked = is_chunked.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        return Ok(if is_chunked { Framing::Chunked(Chunk::Size) } else { Framing::UntilClose });
    }
    let mut lengths = values(fields, "content-length");
    let Some(length) = lengths.next() else { return Ok(Framing::UntilClose) };
    if lengths.any(|other| other != length) || !length.iter().all(u8::is_ascii_digit) {
        return Err(ExchangeError::BadLength);
    }
    let number = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
    number.map(Framing::Length).ok_or(ExchangeError::BadLength)
}

fn values<'a>(fields: &'a [httparse::Header<'_>], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let named = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    named.map(|field| field.value.trim_ascii())
}

#[cfg(test)]
mod properties {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use proptest::{
        collection::vec,
        prelude::*,
        sample::{Index, select},
    };
    use tokio::io::ReadBuf;

    use super::*;

    /// A server that takes any request and answers in these pieces.
    struct Answering(Vec<Vec<u8>>);

    impl AsyncRead for Answering {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(piece) = self.0.first_mut() {
                let taken = piece.len().min(buffer.remaining());
                buffer.put_slice(&piece[..taken]);
                piece.drain(..taken);
                if piece.is_empty() {
                    self.0.remove(0);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Answering {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// The status and where the body ends, or why there is none.
    fn outcome(bytes: &[u8], places: &[Index]) -> Result<(u16, String), String> {
        let mut ends: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
        ends.extend([0, bytes.len()]);
        ends.sort_unstable();
        let pieces = ends.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec());
        // A read of nothing would be the end.
        let mut server = Answering(pieces.filter(|piece| !piece.is_empty()).collect());
        let mut exchange = std::pin::pin!(exchange(&mut server, "GET / HTTP/1.1\r\n\r\n"));
        match exchange.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Ok(reply)) => Ok((reply.status, format!("{:?}", reply.framing))),
            Poll::Ready(Err(error)) => Err(format!("{:?}", error.reason())),
            Poll::Pending => panic!("nothing is waited for"),
        }
    }

    const PIECES: &[&str] = &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 503 \r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 \r\n",
        "HTTP/1.1 20",
        "0",
        "HTTP/2 200\r\n",
        "Content-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\n",
        " folded\r\n",
        ": x\r\n",
        "\r\n",
        "\n",
        "\r",
        "hello",
        "\0",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_answer_means_the_same_however_it_is_cut(
            pieces in vec(select(PIECES), 0..12), noise in vec(any::<u8>(), 0..4), places in vec(any::<Index>(), 0..8),
        ) {
            let bytes = [pieces.concat().as_bytes(), &noise].concat();
            prop_assert_eq!(outcome(&bytes, &places), outcome(&bytes, &[]));
        }

        #[test]
        fn the_status_is_that_of_the_first_final_answer(
            interim in vec(select(vec![100, 102, 103]), 0..4), status in 200_u16..600, fields in vec("[a-z]{1,8}: [ -~]{0,20}", 0..8),
            body in vec(any::<u8>(), 0..40), places in vec(any::<Index>(), 0..8),
        ) {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            let mut text: String = interim.iter().map(|status| format!("HTTP/1.1 {status} \r\n{fields}\r\n")).collect();
            text.push_str(&format!("HTTP/1.1 {status} Any\r\n{fields}\r\n"));
            let read = outcome(&[text.as_bytes(), &body].concat(), &places);
            prop_assert_eq!(read.map(|(status, _)| status), Ok(status));
        }

        #[test]
        fn a_head_without_an_end_is_given_up(count in 0..400_usize) {
            let text = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(count * 100));
            let expected = if text.len() < MAX_HEAD_BYTES { "Reset" } else { "MalformedResponse" };
            prop_assert_eq!(outcome(text.as_bytes(), &[]), Err(expected.to_owned()));
        }
    }
}
