//! One request and its answer over HTTP/2 by prior knowledge, on a connection of its own: an http check of servers that
//! speak nothing else.

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{Request, header};
use memchr::memmem::Finder;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use weir_shared::{
    model::{HealthCheck, address::Address},
    state::Reason,
};

use super::{Probe, Said, body::MAX_BODY_BYTES, error};

/// Largest header section of an answer.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Why there is no status.
#[derive(Debug, Error)]
pub(super) enum Http2Error {
    /// The connection failed, or the stream was reset.
    #[error("{}", text(.0))]
    Http2(#[from] h2::Error),
    /// The connection ended.
    #[error("connection closed before the answer was complete")]
    Closed,
    /// Host or headers have no form in HTTP/2.
    #[error("it was not asked for: host or headers are not valid")]
    Unasked,
}

impl Http2Error {
    /// The reason to show.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Closed => Reason::Reset,
            Self::Http2(error) if error.is_io() || error.is_remote() => Reason::Reset,
            Self::Http2(_) | Self::Unasked => Reason::MalformedResponse,
        }
    }
}

/// An error of the library, as the rest of a sentence.
pub(super) fn text(error: &h2::Error) -> String {
    match error.get_io() {
        Some(error) => error::text(error),
        None if error.is_remote() => format!("the server gave the request up: {error}"),
        None => format!("the answer is not HTTP/2: {error}"),
    }
}

/// Asks the server at `address`, at the other end of `stream`, as `probe` says.
pub(super) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    probe: &Probe,
    address: &Address,
) -> Result<(u16, Said), Http2Error> {
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_HEADER_BYTES)
        .handshake::<_, Bytes>(stream)
        .await?;
    let answer = ask(sender, probe, address);
    tokio::pin!(answer);
    let ended = tokio::select! {
        biased;
        answer = &mut answer => return answer,
        ended = connection => ended,
    };
    // What had arrived before the connection ended is still there to be read.
    match (answer.await, ended) {
        (Err(Http2Error::Http2(_)), Err(cause)) => Err(cause.into()),
        (Err(Http2Error::Http2(_)), Ok(())) => Err(Http2Error::Closed),
        (answer, _) => answer,
    }
}

async fn ask(
    sender: SendRequest<Bytes>,
    probe: &Probe,
    address: &Address,
) -> Result<(u16, Said), Http2Error> {
    let request = request(&probe.spec, address).ok_or(Http2Error::Unasked)?;
    let mut sender = sender.ready().await?;
    let (response, _) = sender.send_request(request, true)?;
    let (head, mut body) = response.await?.into_parts();
    let status = head.status.as_u16();
    let said = match &probe.finder {
        _ if !probe.expects(status) => Said::WrongStatus,
        Some(finder) if !holds(&mut body, finder).await? => Said::WrongBody,
        _ => Said::Expected,
    };
    Ok((status, said))
}

fn request(spec: &HealthCheck, address: &Address) -> Option<Request<()>> {
    let authority = spec.host.clone().unwrap_or_else(|| address.to_string());
    let path = spec.path.as_deref().unwrap_or("/");
    let mut request = Request::builder()
        .method(spec.method.as_str())
        .uri(format!("http://{authority}{path}"))
        .version(http::Version::HTTP_2);
    let has_own = |name: &str| spec.headers.keys().any(|own| own.eq_ignore_ascii_case(name));
    if !has_own("user-agent") {
        request = request.header(header::USER_AGENT, concat!("weir-health/", env!("CARGO_PKG_VERSION")));
    }
    for (name, value) in &spec.headers {
        request = request.header(name, value);
    }
    request.body(()).ok()
}

/// Whether the first 64 KiB of `body` hold what `finder` looks for.
async fn holds(body: &mut RecvStream, finder: &Finder<'_>) -> Result<bool, Http2Error> {
    let mut read = Vec::new();
    while read.len() < MAX_BODY_BYTES {
        let Some(data) = body.data().await else { return Ok(false) };
        let data = data?;
        let searched = read.len().saturating_sub(finder.needle().len());
        // The window was open for it.
        let _ = body.flow_control().release_capacity(data.len());
        read.extend_from_slice(data.get(..data.len().min(MAX_BODY_BYTES - read.len())).unwrap_or_default());
        if read.get(searched..).is_some_and(|fresh| finder.find(fresh).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}
