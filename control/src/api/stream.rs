//! Events as bytes: a body that goes on until the listener or the process ends.

use std::{
    convert::Infallible,
    fmt::{self, Write as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Bytes, HttpBody};
use http::{HeaderMap, header};
use hyper::body::Frame;

use super::Api;
use crate::{
    access::principal::Principal,
    events::{Consumer, EventId, Item, Seat, Start},
    status::{HealthFormat, HealthQuery},
};

/// Longest silence: proxies in between give up connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// When `EventSource` connects again after the stream ended.
const RETRY: Duration = Duration::from_secs(1);

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Server-sent events.
    EventStream,
    /// A JSON document per line.
    Lines,
}

impl Format {
    /// What the caller accepts; server-sent events unless lines are named.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let mut kinds =
            accepted.flat_map(|line| line.split(',')).map(|kind| kind.split(';').next().unwrap_or(kind));
        if kinds.any(|kind| kind.trim().eq_ignore_ascii_case(Self::Lines.media_type())) {
            Self::Lines
        } else {
            Self::EventStream
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::EventStream => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        }
    }

    /// What comes first: where the listener is before the first event.
    fn opening(self, id: &EventId) -> String {
        match self {
            // An id without data is an event to nobody, but it is remembered.
            Self::EventStream => format!("retry: {}\nid: {id}\n\n", RETRY.as_millis()),
            Self::Lines => self.heartbeat(id),
        }
    }

    fn heartbeat(self, id: &EventId) -> String {
        match self {
            Self::EventStream => format!(": hb\nid: {id}\n\n"),
            Self::Lines => format!("{{\"id\":\"{id}\",\"event\":\"heartbeat\"}}\n"),
        }
    }

    /// Writes an event; `data` is JSON on one line.
    fn write(self, id: &EventId, event: &str, data: &str, text: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::EventStream => write!(text, "id: {id}\nevent: {event}\ndata: {data}\n\n"),
            Self::Lines => writeln!(text, "{{\"id\":\"{id}\",\"event\":\"{event}\",\"data\":{data}}}"),
        };
    }
}

/// What follows a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnReset {
    /// The next event.
    GoOn,
    /// The whole state.
    TellState,
}

/// One caller's stream.
#[derive(Debug)]
pub(super) struct Stream {
    api: Arc<Api>,
    caller: Principal,
    consumer: Consumer,
    format: Format,
    on_reset: OnReset,
    /// Asks for the state the caller wants to see.
    whole: HealthQuery,
    opening: Option<String>,
    /// The page of the state to be told next.
    page: Option<HealthQuery>,
    /// The caller's place, given back at the end.
    _seat: Option<Seat>,
}

impl Stream {
    /// A stream for `caller` that begins at `start`. Of the state, the caller wants to see `upstream` or everything.
    pub(super) fn new(
        api: Arc<Api>,
        caller: Principal,
        (consumer, seat): (Consumer, Option<Seat>),
        format: Format,
        on_reset: OnReset,
        start: &Start,
        upstream: Option<String>,
    ) -> Self {
        let pages = if upstream.is_some() { HealthFormat::Full } else { HealthFormat::Summary };
        let whole = HealthQuery { upstream, format: pages, ..HealthQuery::default() };
        let is_fresh = on_reset == OnReset::TellState && *start == Start::Present;
        let page = is_fresh.then(|| whole.clone());
        let opening = Some(format.opening(&consumer.position()));
        Self { api, caller, consumer, format, on_reset, whole, opening, page, _seat: seat }
    }

    /// What is to be written next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        if let Some(page) = self.page.take() {
            return Some(self.tell_state(page));
        }
        let told = tokio::time::timeout(HEARTBEAT, self.consumer.next()).await;
        // Nothing is told to somebody who would not be let in any more.
        if !self.api.access.still_knows(&self.caller, self.api.clock.now().wall) {
            return None;
        }
        match told {
            Err(_) => Some(self.format.heartbeat(&self.consumer.position())),
            Ok(items) if items.is_empty() => None,
            Ok(items) => Some(self.tell(&items)),
        }
    }

    fn tell(&mut self, items: &[Item]) -> String {
        let mut text = String::new();
        for item in items {
            match item {
                Item::Event(position, event) => {
                    let id = self.consumer.id(*position);
                    self.format.write(&id, event.topic.as_str(), &event.data, &mut text);
                }
                Item::Reset(position, reset) => {
                    let id = self.consumer.id(*position);
                    let data = serde_json::to_string(reset).unwrap_or_default();
                    self.format.write(&id, "reset", &data, &mut text);
                    if self.on_reset == OnReset::TellState {
                        self.page = Some(self.whole.clone());
                    }
                }
            }
        }
        text
    }

    fn tell_state(&mut self, query: HealthQuery) -> String {
        let state = self.api.status.health(&query, self.api.catalog.report().view());
        let data = serde_json::to_string(&state).unwrap_or_default();
        if state.next.is_some() {
            self.page = Some(HealthQuery { after: state.next, ..query });
        }
        let mut text = String::new();
        self.format.write(&self.consumer.position(), "snapshot", &data, &mut text);
        text
    }
}

/// A stream as the body of an answer.
pub(super) struct Chunks {
    /// `None` while the next chunk is being made, and at the end.
    stream: Option<Stream>,
    next: Option<Next>,
}

type Next = Pin<Box<dyn Future<Output = (Stream, Option<String>)> + Send>>;

impl Chunks {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream: Some(stream), next: None }
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(mut stream) = self.stream.take() {
            self.next = Some(Box::pin(async move {
                let text = stream.next().await;
                (stream, text)
            }));
        }
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let (stream, text) = ready!(next.as_mut().poll(context));
        self.next = None;
        let Some(text) = text else { return Poll::Ready(None) };
        self.stream = Some(stream);
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}
