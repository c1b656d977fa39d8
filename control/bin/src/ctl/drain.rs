//! `drain` and `undrain`: a server leaves without losing a request.

use std::time::Duration;

use hyper::Method;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    Session,
    args::{DrainArgs, ServerArgs, WriteArgs},
    call::Call,
    change::{done, server_path},
    client::Answer,
    error::{CtlError, Exit},
    output::{self, Format, Loudness},
    text,
};

/// Time between two looks at a drain: short beside a request that is worth waiting for.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long the API may be away while a drain is watched: the drain survives a restart, and so does who waits for it.
const ABSENCE: Duration = Duration::from_secs(60);

/// How a drain stands.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// Requests are under way; how many.
    UnderWay(u64),
    /// It has ended as asked for.
    Done(&'static str),
    /// It has ended otherwise.
    Failed(String),
}

/// Drains a server, and waits for the end if that is asked for.
pub(super) async fn drain(session: &Session, args: &DrainArgs) -> Result<Exit, CtlError> {
    let ServerArgs { upstream, server } = &args.server;
    let mut wish = Map::new();
    if let Some(timeout) = &args.timeout {
        wish.insert("timeout".to_owned(), timeout.as_str().into());
    }
    wish.insert("then".to_owned(), args.then.word().into());
    let path = format!("{}/drain", server_path(upstream, server));
    let call = args.write.on(Call::new(Method::POST, path));
    let answer = session.client.send_naming_the_state(call.json(&Value::Object(wish))).await?;
    let is_watched = args.wait && !answer.is_trial();
    if is_watched && session.output.format != Format::Table {
        return wait(session, args, answer).await;
    }
    let reported = session.output.changed(&answer, |document| {
        let requests = text::at(document, "in_flight");
        let deadline = text::time(&text::at(document, "deadline"));
        let what =
            format!("{upstream}/{server}: draining, {requests} under way, until {deadline} at the latest");
        done(&answer, document, &what, session.output.paint)
    });
    match reported {
        Err(CtlError::Closed) if is_watched => {}
        reported => reported?,
    }
    if is_watched { wait(session, args, answer).await } else { Ok(Exit::Done) }
}

/// Gives a server its requests back.
pub(super) async fn undrain(
    session: &Session,
    server: &ServerArgs,
    write: &WriteArgs,
) -> Result<Exit, CtlError> {
    let ServerArgs { upstream, server } = server;
    let path = format!("{}/drain", server_path(upstream, server));
    let answer = session.client.send_naming_the_state(write.on(Call::new(Method::DELETE, path))).await?;
    session.output.changed(&answer, |document| {
        let state = text::at(document, "admin_state");
        done(&answer, document, &format!("{upstream}/{server}: {state}"), session.output.paint)
    })?;
    Ok(Exit::Done)
}

/// Waits for the end of a drain that `first` began. A reader of the progress who goes away does not end it.
async fn wait(session: &Session, args: &DrainArgs, first: Answer) -> Result<Exit, CtlError> {
    let ServerArgs { upstream, server } = &args.server;
    let name = format!("{upstream}/{server}");
    let mut last = first;
    let mut shown = None;
    let mut seen_at = Instant::now();
    loop {
        let standing = match look(session, args, &mut last).await {
            Err(CtlError::Unreachable { .. }) if seen_at.elapsed() < ABSENCE => {
                tokio::time::sleep(INTERVAL).await;
                continue;
            }
            standing => standing?,
        };
        seen_at = Instant::now();
        match standing {
            Standing::UnderWay(requests) => {
                if shown.replace(requests).is_some_and(|before| before != requests) {
                    tell(session, &format!("{name}: {requests} under way"));
                }
                tokio::time::sleep(INTERVAL).await;
            }
            Standing::Done(how) => {
                tell(session, &format!("{name}: {how}"));
                finish(session, &last)?;
                return Ok(Exit::Done);
            }
            Standing::Failed(why) => {
                output::remark(&format!("{name}: {why}"));
                finish(session, &last)?;
                return Ok(Exit::No);
            }
        }
    }
}

/// Looks how the drain stands; `last` is the last document that told of it.
async fn look(session: &Session, args: &DrainArgs, last: &mut Answer) -> Result<Standing, CtlError> {
    // By the id that the drain is of: its server may be gone, and another one with its address have come.
    let before = last.json()?;
    let path = server_path(&args.server.upstream, &text::at(&before, "server"));
    let Some(answer) = absent(session.client.send(&Call::get(format!("{path}/drain"))).await)? else {
        return Ok(Standing::Failed("nothing is known of the drain any more".to_owned()));
    };
    let document = answer.json()?;
    if text::at(&before, "started_at") != text::at(&document, "started_at") {
        return Ok(Standing::Failed("it was ended by somebody else, and another was begun".to_owned()));
    }
    *last = answer;
    if let Some(standing) = standing(&document) {
        return Ok(standing);
    }
    let server = absent(session.client.send(&Call::get(path)).await)?;
    let server = server.map(|server| server.json()).transpose()?;
    Ok(Standing::Failed(cancelled(server.as_ref())))
}

/// `None`: somebody has ended it, and its server tells more.
fn standing(drain: &Value) -> Option<Standing> {
    let requests = drain.get("in_flight").and_then(Value::as_u64).unwrap_or(0);
    if drain.get("done").and_then(Value::as_bool) != Some(true) {
        return Some(Standing::UnderWay(requests));
    }
    Some(match (text::at(drain, "outcome").as_str(), text::at(drain, "then").as_str()) {
        ("drained", "remove") => Standing::Done("drained and removed"),
        ("drained", "maint") => Standing::Done("drained, now in maintenance"),
        ("drained", _) => Standing::Done("drained"),
        ("cancelled", _) => return None,
        ("deadline", "keep") => Standing::Failed(format!("not drained (deadline): {requests} under way")),
        ("deadline", "remove") => {
            Standing::Failed("not drained (deadline): removed, what was under way was broken off".to_owned())
        }
        ("deadline", _) => Standing::Failed(
            "not drained (deadline): now in maintenance, what was under way was broken off".to_owned(),
        ),
        (outcome, _) => Standing::Failed(format!("not drained ({outcome})")),
    })
}

/// What has become of a cancelled drain's server.
fn cancelled(server: Option<&Value>) -> String {
    match server.map(|server| text::at(server, "admin_state")) {
        None => "the drain was ended by somebody else: the server is removed".to_owned(),
        Some(state) => format!("the drain was ended by somebody else: the server is {state} now"),
    }
}

/// The answer, or nothing if that is what there is.
fn absent(answer: Result<Answer, CtlError>) -> Result<Option<Answer>, CtlError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CtlError::Refused(problem)) if problem.status() == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

fn tell(session: &Session, line: &str) {
    if session.output.format == Format::Table && session.output.loudness == Loudness::Normal {
        // Nobody reads on, and whoever waits for the exit code still does.
        let _ = session.output.text(&format!("{line}\n"));
    }
}

/// Writes the last document, where documents are wanted.
fn finish(session: &Session, last: &Answer) -> Result<(), CtlError> {
    if session.output.format == Format::Table {
        return Ok(());
    }
    match session.output.changed(last, |_| String::new()) {
        Err(CtlError::Closed) => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_server_without_requests_is_drained() {
        for (drain, expected) in [
            (json!({"done": false, "in_flight": 3}), Standing::UnderWay(3)),
            (json!({"done": true, "outcome": "drained", "then": "keep"}), Standing::Done("drained")),
            (
                json!({"done": true, "outcome": "drained", "then": "remove"}),
                Standing::Done("drained and removed"),
            ),
            (
                json!({"done": true, "outcome": "deadline", "then": "keep", "in_flight": 2}),
                Standing::Failed("not drained (deadline): 2 under way".to_owned()),
            ),
            (json!({}), Standing::UnderWay(0)),
        ] {
            assert_eq!(standing(&drain), Some(expected), "{drain}");
        }
        for then in ["maint", "remove"] {
            let drain = json!({"done": true, "outcome": "deadline", "then": then});
            assert!(matches!(standing(&drain), Some(Standing::Failed(_))), "{then}");
        }
        assert_eq!(standing(&json!({"done": true, "outcome": "cancelled", "then": "maint"})), None);
    }
}
