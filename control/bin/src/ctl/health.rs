//! `health`: what is up, what is not, and why.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use weir_control::yaml;

use super::{
    Session,
    args::HealthArgs,
    call::Call,
    change::upstream_path,
    client::Answer,
    error::{CtlError, Exit},
    output::{self, Format},
    pages,
    table::{Cell, Paint, Table, Tone},
    text,
};

/// Moves to the upper left and clears the screen from there (ECMA-48 CUP and ED).
const REDRAW: &str = "\u{1b}[H\u{1b}[J";

/// Shows it once or for ever.
pub(super) async fn run(session: &Session, args: &HealthArgs) -> Result<Exit, CtlError> {
    let upstream = args.upstream.as_deref();
    if args.watch {
        return watch(session, upstream, Duration::from_secs(args.interval.into())).await;
    }
    let is_well = once(session, upstream).await?;
    Ok(if is_well { Exit::Done } else { Exit::No })
}

/// Shows it, and says whether all is well.
pub(super) async fn once(session: &Session, upstream: Option<&str>) -> Result<bool, CtlError> {
    let answer = read(session, upstream).await?;
    session.output.show(&answer, |document| page(document, session.output.paint))?;
    let document = answer.json()?;
    Ok(matches!(condition(&document).as_str(), "ok" | "healthy"))
}

async fn watch(session: &Session, upstream: Option<&str>, interval: Duration) -> Result<Exit, CtlError> {
    let is_drawn = output::is_terminal() && session.output.format == Format::Table;
    let mut before = BTreeMap::new();
    let mut looks = tokio::time::interval(interval);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let answer = match read(session, upstream).await {
            Ok(answer) => answer,
            // A restart of the server is what people watch for.
            Err(error @ CtlError::Unreachable { .. }) => {
                output::remark(&error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        let document = answer.json()?;
        match session.output.format {
            Format::Json => session.output.text(&format!("{document}\n"))?,
            Format::Yaml => session.output.text(&format!("---\n{}", yaml::text(&document)))?,
            Format::Table if is_drawn => {
                session.output.text(&format!("{REDRAW}{}", page(&document, session.output.paint)))?;
            }
            Format::Table => {
                let now = states(&document);
                session.output.text(&changes(&before, &now, &text::at(&document, "at")))?;
                before = now;
            }
        }
    }
}

async fn read(session: &Session, upstream: Option<&str>) -> Result<Answer, CtlError> {
    match upstream {
        Some(upstream) => {
            session.client.send(&Call::get(format!("{}/health", upstream_path(upstream)))).await
        }
        None => {
            pages::all(&session.client, Call::get("/v1/health").query("limit", pages::PAGE), "upstreams")
                .await
        }
    }
}

/// The one word for the whole: of a page its status, of an upstream its state.
fn condition(document: &Value) -> String {
    match text::at(document, "status") {
        status if status.is_empty() => text::at(document, "state"),
        status => status,
    }
}

/// The upstreams of a page; one upstream by itself is the only one.
fn upstreams(document: &Value) -> &[Value] {
    match document.get("upstreams").and_then(Value::as_array) {
        Some(upstreams) => upstreams,
        None => std::slice::from_ref(document),
    }
}

fn page(document: &Value, paint: Paint) -> String {
    let mut table = Table::new(&[
        "UPSTREAM",
        "SERVER",
        "ADDRESS",
        "STATE",
        "REASON",
        "FOR",
        "ADMIN",
        "WEIGHT",
        "IN FLIGHT",
        "CHECKS",
    ]);
    let mut head = vec![paint.paint(Tone::of_state(&condition(document)), &condition(document))];
    if let Some(totals) = document.get("totals") {
        for state in ["servers", "healthy", "unhealthy", "initial", "draining", "unused", "unavailable"] {
            match text::at(totals, state).as_str() {
                "0" | "" if state != "servers" => {}
                count => head.push(format!("{count} {state}")),
            }
        }
        head.push(format!("revision {}", text::at(document, "revision")));
    }
    let mut details = String::new();
    for upstream in upstreams(document) {
        let name = text::at(upstream, "id");
        let servers = pages::items(upstream, "servers");
        if servers.is_empty() {
            table.row(vec![
                name.clone().into(),
                String::new().into(),
                String::new().into(),
                Cell::state(text::at(upstream, "state")),
            ]);
        }
        for server in servers {
            let millis = server.get("for_ms").and_then(Value::as_u64);
            table.row(vec![
                name.clone().into(),
                text::at(server, "id").into(),
                text::at(server, "address").into(),
                Cell::state(text::at(server, "state")),
                text::at(server, "reason").into(),
                millis.map(text::span).unwrap_or_default().into(),
                text::at(server, "admin_state").into(),
                text::at(server, "weight").into(),
                text::at(server, "in_flight").into(),
                text::at(server, "check.history").into(),
            ]);
            let detail = text::at(server, "detail");
            if !detail.is_empty() {
                details.push_str(&format!("  {name}/{}: {detail}\n", text::at(server, "id")));
            }
        }
    }
    format!("{}\n{}{details}", head.join(", "), table.render(paint))
}

/// The state of every server, by its name.
fn states(document: &Value) -> BTreeMap<String, Value> {
    let mut states = BTreeMap::new();
    for upstream in upstreams(document) {
        for server in pages::items(upstream, "servers") {
            let name = format!("{}/{}", text::at(upstream, "id"), text::at(server, "id"));
            let state = json!({"state": server.get("state"), "reason": server.get("reason")});
            states.insert(name, state);
        }
    }
    states
}

/// A line for each server that is not as it was.
fn changes(before: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>, at: &str) -> String {
    let time = if at.is_empty() { String::new() } else { format!("{} ", text::time(at)) };
    let mut lines = String::new();
    for (name, value) in now.iter().filter(|(name, value)| before.get(*name) != Some(*value)) {
        let was = before.get(name).map(|was| format!("{} -> ", text::at(was, "state"))).unwrap_or_default();
        let reason = text::at(value, "reason");
        let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
        lines.push_str(&format!("{time}{name} {was}{}{reason}\n", text::at(value, "state")));
    }
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        lines.push_str(&format!("{time}{name} gone\n"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(state: &str, reason: Value) -> Value {
        json!({
            "at": "2026-11-22T21:40:00.123Z", "status": "degraded", "revision": 4,
            "totals": {"servers": 1, "healthy": 0, "unhealthy": 1},
            "upstreams": [{"id": "web", "state": "down", "servers": [{
                "id": "a-1", "address": "a:1", "state": state, "reason": reason, "detail": "refused",
                "for_ms": 61_000, "weight": 1, "in_flight": 0, "admin_state": "ready", "check": {"history": "+--"},
            }]}],
        })
    }

    #[test]
    fn a_page_names_the_cause() {
        let page = page(&document("unhealthy", json!("connect_refused")), Paint::Bare);
        assert!(page.starts_with("degraded, 1 servers, 1 unhealthy, revision 4\nUPSTREAM"), "{page}");
        assert!(page.contains("unhealthy  connect_refused  1m01s"), "{page}");
        assert!(page.ends_with("  web/a-1: refused\n"), "{page}");
    }

    #[test]
    fn only_changes_are_lines() {
        let (up, down) =
            (states(&document("healthy", Value::Null)), states(&document("unhealthy", json!("reset"))));
        let at = "2026-11-22T21:40:00.123Z";
        assert_eq!(changes(&up, &down, at), "2026-11-22T21:40:00Z web/a-1 healthy -> unhealthy (reset)\n");
        assert_eq!(changes(&down, &down, at), "");
        assert_eq!(changes(&up, &BTreeMap::new(), ""), "web/a-1 gone\n");
        assert_eq!(changes(&BTreeMap::new(), &up, ""), "web/a-1 healthy\n");
    }
}
