//! `events`: what happens, as it happens.
//!
//! A connection that breaks is opened again behind the last event seen, so that nothing is told twice and nothing is
//! missed; what the server cannot tell any more, it says in a `reset`.

use std::time::Duration;

use serde_json::{Value, json};
use weir_control::yaml;

use super::{
    Session, apply,
    args::EventsArgs,
    call::Call,
    client::Stream,
    error::{CtlError, Exit},
    output::{self, Format},
    pages,
    sse::{Event, Parser},
    table::{Paint, Tone},
    text,
};

/// Silence after which a connection is taken for dead: three of the server's heartbeats.
const QUIET: Duration = Duration::from_secs(45);

/// Time before the first attempt to connect again; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(250);

/// Longest time between two attempts: a server that was restarted is found within it.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Writes events until nobody reads them or enough have been seen.
pub(super) async fn run(session: &Session, args: &EventsArgs) -> Result<Exit, CtlError> {
    let mut seen = Seen { last: None, left: args.count };
    let mut stream = open(session, args, &seen).await?;
    loop {
        let cause = match follow(session, &mut stream, &mut seen).await {
            Ok(exit) => return Ok(exit),
            Err(error @ CtlError::Unreachable { .. }) => error,
            Err(error) => return Err(error),
        };
        output::remark(&format!("{cause}; going on as soon as it is back"));
        stream = reopen(session, args, &seen).await?;
    }
}

/// How far the events were followed.
#[derive(Debug)]
struct Seen {
    /// The id of the last one.
    last: Option<String>,
    /// How many more are wanted; none means all.
    left: Option<u64>,
}

async fn open(session: &Session, args: &EventsArgs, seen: &Seen) -> Result<Stream, CtlError> {
    let call = Call::get("/v1/events").field("accept", "text/event-stream");
    let call = call.query_if("topics", args.topics.as_deref()).query_if("upstream", args.upstream.as_deref());
    let call = match (&seen.last, args.since) {
        (Some(last), _) => call.field("last-event-id", last),
        (None, since) => call.query_if("since", since),
    };
    session.client.open(&call).await
}

/// Tries to connect until it succeeds or the server refuses for good.
async fn reopen(session: &Session, args: &EventsArgs, seen: &Seen) -> Result<Stream, CtlError> {
    let mut pause = MIN_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
        match open(session, args, seen).await {
            Err(CtlError::Unreachable { .. }) => {}
            Err(CtlError::Refused(problem)) if Exit::of_status(problem.status()) == Exit::Fault => {}
            outcome => return outcome,
        }
    }
}

/// Writes what comes until the connection ends, which is an error, or enough has been seen.
async fn follow(session: &Session, stream: &mut Stream, seen: &mut Seen) -> Result<Exit, CtlError> {
    let mut parser = Parser::default();
    loop {
        let place = session.client.place().to_string();
        let Some(bytes) = stream.next(QUIET).await? else {
            return Err(CtlError::Unreachable { place, cause: "it ended the stream".to_owned() });
        };
        let detail = "an event is too long".to_owned();
        for event in parser.push(&bytes).map_err(|_| CtlError::Strange { place, detail })? {
            session.output.text(&shown(&event, session.output.format, session.output.paint))?;
            if !event.id.is_empty() {
                seen.last = Some(event.id);
            }
            seen.left = seen.left.map(|left| left.saturating_sub(1));
            if seen.left == Some(0) {
                return Ok(Exit::Done);
            }
        }
    }
}

fn shown(event: &Event, format: Format, paint: Paint) -> String {
    let data: Value = serde_json::from_str(&event.data).unwrap_or_else(|_| event.data.as_str().into());
    let whole = || json!({"id": event.id, "event": event.kind, "data": data});
    match format {
        Format::Json => format!("{}\n", whole()),
        Format::Yaml => format!("---\n{}", yaml::text(&whole())),
        Format::Table => lines(&event.kind, &data, paint),
    }
}

/// An event as lines for a person; of a kind that is not known here, as it came.
fn lines(kind: &str, data: &Value, paint: Paint) -> String {
    let at = |path: &str| text::at(data, path);
    let time = at("at");
    let time = if time.is_empty() { String::new() } else { format!("{} ", text::time(&time)) };
    let server = || [at("upstream"), at("server")].join("/");
    match kind {
        "config" => {
            let said = |before: &str, text: String| {
                if text.is_empty() { text } else { format!("{before}{text}") }
            };
            let head = format!(
                "{time}config revision {}{}{}\n",
                at("revision"),
                said(" by ", at("actor")),
                said(": ", at("message"))
            );
            let changes = apply::lines(pages::items(data, "changes"), paint);
            changes.lines().fold(head, |text, line| format!("{text}  {line}\n"))
        }
        "health" => {
            let reason = at("reason");
            let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
            let circuit = at("circuit_breaker.to");
            if !circuit.is_empty() {
                let from = at("circuit_breaker.from");
                return format!("{time}health {} circuit breaker {from} -> {circuit}\n", at("upstream"));
            }
            let to = at("to");
            let to = paint.paint(Tone::of_state(&to), &to);
            format!("{time}health {} {} -> {to}{reason}\n", server(), at("from"))
        }
        "drain" => format!("{time}drain {} {} (then {})\n", server(), at("kind"), at("then")),
        "reset" => format!("{time}reset: events before revision {} cannot be told\n", at("revision")),
        kind => format!("{time}{} {}\n", text::printable(kind), text::printable(&data.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines() {
        let config = json!({
            "revision": 43, "at": "2026-11-22T21:40:00.123Z", "actor": "token:ci", "message": "more",
            "changes": [{"op": "add", "path": "/upstreams/api"}],
        });
        assert_eq!(
            lines("config", &config, Paint::Bare),
            "2026-11-22T21:40:00Z config revision 43 by token:ci: more\n  + /upstreams/api\n"
        );
        let health = json!({"upstream": "web", "server": "a-1", "from": "healthy", "to": "unhealthy", "reason": "reset"});
        assert_eq!(lines("health", &health, Paint::Bare), "health web/a-1 healthy -> unhealthy (reset)\n");
        let circuit = json!({"upstream": "web", "circuit_breaker": {"from": "closed", "to": "open"}});
        assert_eq!(lines("health", &circuit, Paint::Bare), "health web circuit breaker closed -> open\n");
        assert_eq!(lines("new", &json!({"a": 1}), Paint::Bare), "new {\"a\":1}\n");
    }

    #[test]
    fn json_is_one_line_each() {
        let event = Event { id: "a.1.2".into(), kind: "health".into(), data: "{\"x\": 1}".into() };
        assert_eq!(
            shown(&event, Format::Json, Paint::Bare),
            "{\"data\":{\"x\":1},\"event\":\"health\",\"id\":\"a.1.2\"}\n"
        );
    }
}
