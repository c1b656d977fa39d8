//! `history` and `rollback`: what was changed, and back again.

use hyper::Method;
use serde_json::{Map, Value};

use super::{
    Session, apply,
    args::{HistoryArgs, RollbackArgs},
    call::Call,
    client::Answer,
    error::{CtlError, Exit},
    table::Table,
    text,
};

/// Shows the last revisions, or what one of them changed.
pub(super) async fn run(session: &Session, args: &HistoryArgs) -> Result<Exit, CtlError> {
    let Some(revision) = args.revision else { return list(session, args.limit).await };
    let difference = session.client.send(&Call::get(format!("/v1/revisions/{revision}/diff"))).await?;
    let entry = session.client.send(&Call::get(format!("/v1/revisions/{revision}"))).await?.json()?;
    session.output.show(&difference, |document| {
        let at = |path: &str| text::at(&entry, path);
        let head =
            format!("revision {revision}, {} by {}: {}\n", text::time(&at("at")), at("actor"), at("message"));
        format!("{head}{}", apply::lines(apply::differences(document), session.output.paint))
    })?;
    Ok(Exit::Done)
}

/// Shows the last revisions.
pub(super) async fn list(session: &Session, limit: u16) -> Result<Exit, CtlError> {
    let answer = session.client.send(&Call::get("/v1/revisions").query("limit", limit)).await?;
    session.output.show(&answer, |document| table(document).render(session.output.paint))?;
    Ok(Exit::Done)
}

/// Revisions as a table.
pub(super) fn table(document: &Value) -> Table {
    let columns = [
        ("REVISION", "revision"),
        ("AT", "at"),
        ("ACTOR", "actor"),
        ("CHANGES", "changes.total"),
        ("MESSAGE", "message"),
    ];
    Table::of(&columns, super::get::entries(document))
}

/// Puts the content of an earlier revision in force again.
pub(super) async fn roll_back(session: &Session, args: &RollbackArgs) -> Result<Exit, CtlError> {
    let mut wish = Map::new();
    wish.insert("to".to_owned(), args.revision.into());
    let call = args.write.on(Call::new(Method::POST, "/v1/config/rollback"));
    let call = call.query_if("confirm", args.confirm).json(&Value::Object(wish));
    let answer: Answer = session.client.send_naming_the_state(call).await?;
    apply::report(session, &answer)?;
    Ok(Exit::Done)
}
