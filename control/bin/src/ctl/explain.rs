//! `explain`: why a server gets requests, or does not.

use serde_json::Value;

use super::{
    Session,
    args::ServerArgs,
    call::Call,
    change::server_path,
    error::{CtlError, Exit},
    pages,
    table::{Paint, Table, Tone},
    text,
};

/// Explains it.
pub(super) async fn run(session: &Session, args: &ServerArgs) -> Result<Exit, CtlError> {
    let path = format!("{}/explain", server_path(&args.upstream, &args.server));
    let answer = session.client.send(&Call::get(path)).await?;
    session.output.show(&answer, |document| page(document, session.output.paint))?;
    Ok(Exit::Done)
}

fn page(document: &Value, paint: Paint) -> String {
    let at = |path: &str| text::at(document, path);
    let verdict = match document.get("gets_requests").and_then(Value::as_bool) {
        Some(true) => "gets requests",
        _ => "gets no requests",
    };
    let state = paint.paint(Tone::of_state(&at("state")), &at("state"));
    let since = text::time(&at("cause.since"));
    let mut page = format!(
        "{}/{} ({}) {verdict}: {state}\n{} (since {since})\n",
        at("upstream"),
        at("server"),
        at("address"),
        at("cause.text"),
    );
    for hint in pages::items(document, "hints") {
        page.push_str(&format!("{}\n", text::cell(hint)));
    }
    let mut section = |title: &str, columns: &[(&'static str, &str)], member: &str| {
        let items = pages::items(document, member);
        if !items.is_empty() {
            page.push_str(&format!("\n{title}\n{}", Table::of(columns, items).render(paint)));
        }
    };
    let share = format!(
        "Effective weight {}, {} % of the upstream's requests:",
        at("effective_weight"),
        at("share_percent")
    );
    let factors = [("FACTOR", "name"), ("OK", "ok"), ("TIMES", "multiplier"), ("WHY", "text")];
    section(&share, &factors, "factors");
    let checks = [
        ("AT", "at"),
        ("RESULT", "result"),
        ("REASON", "reason"),
        ("STATUS", "status"),
        ("MS", "duration_ms"),
    ];
    section("Last checks:", &checks, "last_checks");
    let ejections = [("AT", "at"), ("DUE", "due"), ("ENDED EARLY", "ended_early_at"), ("WHY", "detail")];
    section("Last ejections:", &ejections, "ejections");
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cause_comes_first() {
        let document = json!({
            "upstream": "web", "server": "a-1", "address": "a:1", "gets_requests": false, "state": "unhealthy",
            "cause": {"text": "Active checks fail.", "since": "2026-11-22T21:40:00.123Z"},
            "factors": [{"name": "health", "ok": false, "multiplier": 0, "text": "Active checks fail."}],
            "effective_weight": 0, "share_percent": 0.0, "hints": ["Start it."],
            "last_checks": [{"at": "2026-11-22T21:40:00.123Z", "result": "failed", "reason": "reset", "duration_ms": 3}],
            "ejections": [],
        });
        assert_eq!(
            page(&document, Paint::Bare),
            "web/a-1 (a:1) gets no requests: unhealthy\nActive checks fail. (since 2026-11-22T21:40:00Z)\nStart it.\n\n\
             Effective weight 0, 0.0 % of the upstream's requests:\n\
             FACTOR  OK     TIMES  WHY\nhealth  false  0      Active checks fail.\n\n\
             Last checks:\n\
             AT                    RESULT  REASON  STATUS  MS\n2026-11-22T21:40:00Z  failed  reset   -       3\n"
        );
    }
}
