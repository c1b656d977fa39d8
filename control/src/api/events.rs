//! `/v1/events`: what happens, as it happens.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{id::Revision, time::Timestamp};

use super::{
    Api,
    access::Caller,
    examples,
    params::Params,
    problem::{Code, Problem, sentence},
    reply,
    serve::Lasting,
    stream::{Chunks, Format, OnReset, Stream},
};
use crate::{
    access::{
        principal::{Principal, Who},
        scope::Need,
    },
    drains::DrainEvent,
    events::{CertificateEvent, ConfigEvent, Filter, HealthEvent, ListenerEvent, Reset, Seat, Start, Topic},
    status::HealthPage,
};

/// Where a browser's `EventSource` says how far it has come when it connects again (WHATWG HTML, "Server-sent events").
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// One event, as a line of `application/x-ndjson`. As `text/event-stream` the members are fields of the same name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventLine {
    /// How far the listener has come with the event: `epoch.revision.sequence`. Give it back to go on from there.
    #[schema(example = "7f3a9c.43.1795383600123456")]
    id: String,
    /// What is told: a topic, `snapshot`, `reset` or `heartbeat`.
    #[schema(example = "config")]
    event: String,
    /// What is told of it; absent from a heartbeat.
    data: Option<EventData>,
}

/// What is told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is written by hand, without a copy of the data")]
pub(super) enum EventData {
    /// `config`: a revision is in force.
    Config(ConfigEvent<'static>),
    /// `health`: a server or an upstream turned.
    Health(HealthEvent),
    /// `reset`: something is missing; read the state anew.
    Reset(Reset),
    /// `snapshot`: a page of the state.
    Snapshot(Box<HealthPage>),
    /// `drain`: a drain begins, ends or is cancelled.
    Drain(DrainEvent),
    /// `listeners`: a listener is bound, cannot be, or is gone.
    Listeners(ListenerEvent),
    /// `certificates`: the end of a certificate is near, or has come.
    Certificates(CertificateEvent),
}

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventTicket, example = json!({
    "ticket": "4f1c0e6a9b3d4c7e8a5f2b1d0c9e8f7a", "expires_at": "2026-11-22T21:41:00.123Z"
}))]
pub(super) struct TicketView {
    /// To be given once as `?ticket=`.
    ticket: String,
    /// When it can no longer be used.
    expires_at: Timestamp,
}

/// Listens to what happens
///
/// A stream that does not end: changes of the configuration (`config`), servers and upstreams that change their state
/// (`health`), drains (`drain`), listeners that are bound or cannot be (`listeners`), certificates whose
/// end is near (`certificates`). Each event has an id; whoever comes back with the last one, in `Last-Event-ID` or
/// `last_event_id`, misses nothing: changes are read from the history, across restarts, the rest from the last 10 000
/// events of the process. What cannot be told any more is told as one `reset` with the topics it is about: read the state
/// anew. A heartbeat comes every 15 seconds without an event. With `Accept: application/x-ndjson` each event is a line
/// of JSON. A browser's `EventSource` identifies itself with a ticket. Changes are told to those who may read the whole
/// configuration; who may see one upstream only names it. A stream ends when its caller's token is revoked, changed or
/// too old. At most 1000 streams are open, and 100 of each caller who has said who it is.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "streamEvents",
    params(
        ("topics" = Option<String>, Query, description = "Comma-separated: `config`, `health`, `drain`, `listeners`, `certificates`; when absent, all that the caller may hear. `config` needs the scope `config:read`.", example = "config,health"),
        ("upstream" = Option<String>, Query, description = "Only what concerns this upstream.", example = "web"),
        ("since" = Option<u32>, Query, description = "Begins with the change after this revision.", example = 42),
        ("last_event_id" = Option<String>, Query, description = "Begins after this event; for callers who cannot set the field.", example = "7f3a9c.42.1795383600123455"),
        ("snapshot" = Option<bool>, Query, description = "Begins with the health of everything, as pages in `snapshot` events; also after a reset. With `upstream` the servers are included. Needs the scope `health:read` for all upstreams."),
        ("ticket" = Option<String>, Query, description = "From `POST /v1/events/ticket`; for callers who cannot set fields."),
        ("Last-Event-ID" = Option<String>, Header, description = "Begins after this event.", example = "7f3a9c.42.1795383600123455"),
    ),
    responses(
        (status = 200, description = "The stream", content(
            (String = "text/event-stream", example = json!(examples::EVENT_STREAM)),
            (EventLine = "application/x-ndjson", example = json!(examples::event_line())),
        )),
    )
)]
pub(super) async fn stream(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let caller = caller(&request)?;
    let mut params = Params::of(request.uri())?;
    let named = params.words("topics", &Topic::ALL.map(Topic::as_str));
    let upstream = params.text("upstream");
    let since = params.number("since", 0..=u32::MAX);
    let last = params.text("last_event_id");
    let on_reset = match params.flag("snapshot") {
        Some(true) => OnReset::TellState,
        Some(false) | None => OnReset::GoOn,
    };
    // It was taken when it was decided who calls.
    let _ = params.text("ticket");
    params.finish()?;
    if on_reset == OnReset::TellState && !caller.may(Need::HealthRead, None) {
        return Err(forbidden("The state of everything", Need::HealthRead));
    }
    let filter = Filter { topics: topics(&named, &caller)?, upstream };
    let start = start(request.headers(), last, since);
    let seat = seat(&api, &caller)?;
    let store = api.catalog.store().ok().cloned();
    let consumer = api.catalog.events().listen(filter.clone(), start.clone(), store);
    let full = |error: crate::events::Full| {
        Problem::new(Code::RateLimited, sentence(&error.to_string())).field(header::RETRY_AFTER, "10")
    };
    let consumer = consumer.map_err(full)?;
    if let Some(lasting) = request.extensions().get::<Lasting>() {
        lasting.set();
    }
    let format = Format::of(request.headers());
    let stream =
        Stream::new(Arc::clone(&api), caller, (consumer, seat), format, on_reset, &start, filter.upstream);
    let mut response = Response::new(Body::new(Chunks::new(stream)));
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    // Proxies in between that would collect an answer before they pass it on (NGINX's name for it).
    fields.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// The caller's place among all streams. Where nobody says who it is, all are alike, and only all streams are bounded.
fn seat(api: &Api, caller: &Principal) -> Result<Option<Seat>, Problem> {
    if caller.who == Who::Local {
        return Ok(None);
    }
    api.catalog.events().seat(&caller.who.to_string()).map(Some).map_err(|error| {
        Problem::new(Code::RateLimited, sentence(&error.to_string())).field(header::RETRY_AFTER, "10")
    })
}

/// Who listens, and may therefore ask for a ticket.
fn caller(request: &Request<Body>) -> Result<Principal, Problem> {
    let caller = request.extensions().get::<Caller>().map(|caller| caller.0.clone());
    caller.ok_or_else(|| Problem::new(Code::Internal, "It was not decided who calls."))
}

/// What `caller` is told of: the topics `named`, or all it may hear. That it may hear of health was decided before. A
/// change may be of anything, whatever upstream is asked for.
fn topics(named: &[String], caller: &Principal) -> Result<Vec<Topic>, Problem> {
    let is_named = |topic: &Topic| named.iter().any(|word| word == topic.as_str());
    let hears_changes = caller.may(Need::ConfigRead, None);
    if is_named(&Topic::Config) && !hears_changes {
        return Err(forbidden("The topic \"config\"", Need::ConfigRead));
    }
    let all = Topic::ALL.into_iter().filter(|topic| *topic != Topic::Config || hears_changes);
    Ok(all.filter(|topic| named.is_empty() || is_named(topic)).collect())
}

fn forbidden(what: &str, need: Need) -> Problem {
    Problem::new(Code::Forbidden, format!("{what} needs the scope {}.", need.as_str()))
}

/// Where to begin. The field counts most: `EventSource` sets it when it repeats a request of which all else is old.
fn start(headers: &HeaderMap, last: Option<String>, since: Option<u32>) -> Start {
    let field = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?").to_owned());
    match field.or(last).filter(|id| !id.is_empty()) {
        Some(id) => id.parse().map_or(Start::Unknown, Start::After),
        None => since.map_or(Start::Present, |since| Start::Since(Revision(since.into()))),
    }
}

/// Issues a ticket for the event stream
///
/// For a browser's `EventSource`, which cannot send an `Authorization` field: it stands for the caller once, within a minute,
/// as `GET /v1/events?ticket=`. It is worth what the caller may hear. A caller
/// has at most 16 tickets that wait to be used, and who may hear nothing gets none.
#[utoipa::path(
    post, path = "/v1/events/ticket", tag = "events", operation_id = "createEventTicket",
    responses((status = 200, description = "The ticket", body = TicketView))
)]
pub(super) async fn ticket(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let caller = caller(&request)?;
    if !caller.may_somewhere(Need::HealthRead) && !caller.may_somewhere(Need::ConfigRead) {
        return Err(forbidden("A ticket", Need::HealthRead));
    }
    let ticket = api.tickets.issue(&caller.who.to_string(), caller).map_err(|error| {
        Problem::new(Code::RateLimited, sentence(&error.to_string())).field(header::RETRY_AFTER, "10")
    })?;
    let view = TicketView { ticket: ticket.text, expires_at: ticket.expires_at };
    Ok(reply::json(StatusCode::OK, &view))
}
