//! Calls of the API: one connection each, bounded in time and size.
//!
//! An answer that is lost leaves open whether the change was made. The call is repeated once where that does no harm:
//! the method is idempotent and under no condition, or the server tells repetitions apart by their `Idempotency-Key`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinSet,
    time::timeout,
};

use super::{call::Call, error::CtlError, place::Place, problem::Problem, tls::Tls};

/// How long a connection may take: the API is near, or it is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an answer may take: a change waits for a disk and for its turn, not for people.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer read: the health of 100 000 servers takes a third of it.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// What the API can do if it tells repetitions of a call apart.
const KNOWS_REPETITIONS: &str = "idempotency_key";

/// A way to the API.
#[derive(Debug)]
pub(super) struct Client {
    place: Place,
    /// How to get there, when that takes TLS.
    tls: Option<Tls>,
    /// The whole `Authorization` field.
    authorization: Option<header::HeaderValue>,
}

/// An answer that is not an error.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The header section.
    pub(super) headers: HeaderMap,
    /// The content.
    pub(super) body: Bytes,
    status: u16,
    place: String,
}

/// An answer whose body goes on.
#[derive(Debug)]
pub(super) struct Stream {
    body: Incoming,
    place: String,
    // Ends the connection with the stream.
    _connection: JoinSet<()>,
}

/// Why there is no answer.
#[derive(Debug)]
enum Lost {
    /// Nothing was sent.
    Unsent(String),
    /// The request may have arrived.
    Sent(String),
}

impl Client {
    /// A client of the API at `place`, reached with `tls` where there is that, and with the whole `Authorization` field to send.
    pub(super) fn new(place: Place, tls: Option<Tls>, authorization: Option<header::HeaderValue>) -> Self {
        Self { place, tls, authorization }
    }

    /// Where the API is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Makes a call, and repeats it once when its answer is lost and that is safe.
    ///
    /// # Errors
    /// When it was not carried out, or that is not known.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, CtlError> {
        let cause = match self.exchange(call).await {
            Ok(answer) if !answer.is_unknown() => return answer.checked(),
            Ok(answer) => match self.may_repeat(call).await {
                true => "the outcome was not known".to_owned(),
                false => return answer.checked(),
            },
            Err(Lost::Unsent(cause)) => return Err(self.out_of_reach(cause)),
            Err(Lost::Sent(cause)) if self.may_repeat(call).await => cause,
            Err(Lost::Sent(cause)) => return Err(self.lost(call, cause)),
        };
        match self.exchange(call).await {
            // What the first try deleted is not there for the second.
            Ok(answer) if *call.method() == Method::DELETE && answer.status == 404 => Ok(answer),
            Ok(answer) if answer.is_under_way() => Err(self.lost(call, cause)),
            Ok(answer) => answer.checked(),
            Err(Lost::Unsent(_)) => Err(self.lost(call, cause)),
            Err(Lost::Sent(cause)) => Err(self.lost(call, cause)),
        }
    }

    /// Makes a call that is meant whatever the state, naming the one that is where the API demands that one be named. Whoever
    /// changes it in between is not overwritten.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) async fn send_naming_the_state(&self, call: Call) -> Result<Answer, CtlError> {
        match self.send(&call).await {
            Err(CtlError::Refused(problem))
                if problem.code() == "if_match_required" && !call.is_conditional() =>
            {
                let Some(tag) = problem.current_etag() else { return Err(CtlError::Refused(problem)) };
                self.send(&call.field("if-match", tag)).await
            }
            sent => sent,
        }
    }

    /// Makes a call whose answer has no end.
    ///
    /// # Errors
    /// When it was refused, or there is no answer.
    pub(super) async fn open(&self, call: &Call) -> Result<Stream, CtlError> {
        let (response, connection) = match timeout(ANSWER_TIMEOUT, self.begin(call)).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(Lost::Unsent(cause) | Lost::Sent(cause))) => return Err(self.out_of_reach(cause)),
            Err(_) => return Err(self.out_of_reach(late())),
        };
        let place = self.place.to_string();
        if response.status().as_u16() != 200 {
            let answer = timeout(ANSWER_TIMEOUT, read(response, place.clone())).await;
            let answer = answer.unwrap_or_else(|_| Err(Lost::Sent(late())));
            return match answer {
                Ok(answer) => {
                    answer.checked()?;
                    Err(CtlError::Strange { place, detail: "it answered no stream".to_owned() })
                }
                Err(Lost::Unsent(cause) | Lost::Sent(cause)) => Err(self.out_of_reach(cause)),
            };
        }
        Ok(Stream { body: response.into_body(), place, _connection: connection })
    }

    /// Whether doing `call` twice comes to the same as doing it once.
    async fn may_repeat(&self, call: &Call) -> bool {
        if call.is_idempotent() {
            return true;
        }
        let Ok(answer) = self.exchange(&Call::get("/v1/info")).await else { return false };
        let info = answer.json().unwrap_or_default();
        let features = info.get("features").and_then(Value::as_array);
        call.has_key() && features.into_iter().flatten().any(|feature| feature == KNOWS_REPETITIONS)
    }

    async fn exchange(&self, call: &Call) -> Result<Answer, Lost> {
        let whole = async {
            let (response, connection) = self.begin(call).await?;
            let answer = read(response, self.place.to_string()).await;
            drop(connection);
            answer
        };
        timeout(ANSWER_TIMEOUT, whole).await.unwrap_or_else(|_| Err(Lost::Sent(late())))
    }

    /// Connects and sends `call`. The connection lives as long as the set does.
    async fn begin(&self, call: &Call) -> Result<(Response<Incoming>, JoinSet<()>), Lost> {
        let request = self.request(call)?;
        let mut connection = JoinSet::new();
        let unsent = |cause: std::io::Error| Lost::Unsent(cause.to_string());
        let connecting = async {
            match &self.place {
                Place::Tcp { host, port, .. } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unsent)?;
                    stream.set_nodelay(true).map_err(unsent)?;
                    match &self.tls {
                        None => handshake(stream, &mut connection).await,
                        Some(tls) => {
                            let stream = tls.connect(host, stream).await.map_err(Lost::Unsent)?;
                            handshake(stream, &mut connection).await
                        }
                    }
                }
                Place::Unix(path) => {
                    handshake(UnixStream::connect(path).await.map_err(unsent)?, &mut connection).await
                }
            }
        };
        let limit = || Lost::Unsent(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()));
        let mut sender = timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(limit()))?;
        let response = sender.send_request(request).await.map_err(sent)?;
        Ok((response, connection))
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Lost> {
        let mut request = Request::builder()
            .method(call.method())
            .uri(call.target())
            .header(header::HOST, self.place.authority())
            .header(header::USER_AGENT, concat!("weir-ctl/", env!("CARGO_PKG_VERSION")));
        for (name, value) in call.fields() {
            request = request.header(*name, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request
            .body(Full::new(Bytes::copy_from_slice(call.body())))
            .map_err(|cause| Lost::Unsent(cause.to_string()))
    }

    fn out_of_reach(&self, cause: String) -> CtlError {
        CtlError::Unreachable { place: self.place.to_string(), cause }
    }

    fn lost(&self, call: &Call, cause: String) -> CtlError {
        if call.method().is_safe() {
            return self.out_of_reach(cause);
        }
        CtlError::Unknown { place: self.place.to_string(), cause }
    }
}

impl Answer {
    /// The content as JSON.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn json(&self) -> Result<Value, CtlError> {
        serde_json::from_slice(&self.body).map_err(|_| CtlError::Strange {
            place: self.place.clone(),
            detail: "the answer is not JSON".to_owned(),
        })
    }

    /// The same answer with another document.
    pub(super) fn with(&self, document: &Value) -> Self {
        Self { body: Bytes::from(document.to_string()), ..self.clone() }
    }

    /// The revision in force after the call.
    pub(super) fn revision(&self) -> &str {
        self.field("weir-revision").unwrap_or("?")
    }

    /// Whether nothing was changed because that was the wish.
    pub(super) fn is_trial(&self) -> bool {
        self.field("weir-dry-run") == Some("true")
    }

    /// The status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// A field of the header section.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the API does not know what came of the change.
    fn is_unknown(&self) -> bool {
        self.status == 504 && Problem::of(self.status, &self.body).code() == "commit_unknown"
    }

    /// Whether the first try of a change that is repeated is still being made.
    fn is_under_way(&self) -> bool {
        self.status == 409 && Problem::of(self.status, &self.body).code() == "idempotency_in_flight"
    }

    /// The answer, or the error it stands for.
    fn checked(self) -> Result<Self, CtlError> {
        match self.status {
            200..=299 => Ok(self),
            300..=399 => {
                let detail = format!("it answered {}", self.status);
                Err(CtlError::Strange { place: self.place, detail })
            }
            status => Err(CtlError::Refused(Box::new(Problem::of(status, &self.body)))),
        }
    }
}

impl Stream {
    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for `quiet`.
    ///
    /// # Cancel safety
    /// No bytes are lost.
    pub(super) async fn next(&mut self, quiet: Duration) -> Result<Option<Bytes>, CtlError> {
        let broken = |cause| CtlError::Unreachable { place: self.place.clone(), cause };
        loop {
            let frame = timeout(quiet, self.body.frame()).await;
            let frame = frame.map_err(|_| broken(format!("silent for {} s", quiet.as_secs())))?;
            let Some(frame) = frame else { return Ok(None) };
            if let Ok(bytes) = frame.map_err(|cause| broken(cause.to_string()))?.into_data() {
                return Ok(Some(bytes));
            }
        }
    }
}

async fn handshake<S>(stream: S, connection: &mut JoinSet<()>) -> Result<SendRequest<Full<Bytes>>, Lost>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, driver) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|cause| Lost::Unsent(cause.to_string()))?;
    connection.spawn(async move {
        // What breaks the connection is told to whoever waits for its answer.
        let _ = driver.await;
    });
    Ok(sender)
}

async fn read(response: Response<Incoming>, place: String) -> Result<Answer, Lost> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|cause| Lost::Sent(cause.to_string()))?.to_bytes();
    Ok(Answer { headers: parts.headers, body, status: parts.status.as_u16(), place })
}

fn sent(cause: hyper::Error) -> Lost {
    Lost::Sent(cause.to_string())
}

fn late() -> String {
    format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())
}
