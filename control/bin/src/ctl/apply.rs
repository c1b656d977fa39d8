//! `apply` and `diff`: the whole configuration from a file.

use std::{io::Read, path::Path};

use hyper::Method;
use serde_json::Value;

use super::{
    Session,
    args::{ApplyArgs, DiffArgs, FileArgs, WriteArgs},
    call::Call,
    change::done,
    client::Answer,
    error::{CtlError, Exit},
    pages,
    table::{Paint, Tone},
    text,
};

/// Largest file read: what the API takes.
const MAX_FILE_BYTES: u64 = 32 << 20;

/// Puts the configuration of a file in force.
pub(super) async fn apply(session: &Session, args: &ApplyArgs) -> Result<Exit, CtlError> {
    let call = args.write.on(call(&args.file)?).query_if("confirm", args.confirm);
    report(session, &session.client.send_naming_the_state(call).await?)?;
    Ok(Exit::Done)
}

/// Says what a change of everything did.
pub(super) fn report(session: &Session, answer: &Answer) -> Result<(), CtlError> {
    let paint = session.output.paint;
    session.output.changed(answer, |document| {
        let changes = differences(document);
        let count = match changes.len() {
            0 => "nothing differs".to_owned(),
            count => text::count(count, "change"),
        };
        // A trial shows its differences by itself.
        let shown = if answer.is_trial() { String::new() } else { lines(changes, paint) };
        format!("{shown}{}{}", warnings(document), done(answer, document, &count, paint))
    })
}

/// Shows what `apply` would change.
pub(super) async fn diff(session: &Session, args: &DiffArgs) -> Result<Exit, CtlError> {
    let trial = WriteArgs { dry_run: true, ..WriteArgs::default() };
    let answer = session.client.send_naming_the_state(trial.on(call(&args.file)?)).await?;
    let paint = session.output.paint;
    session
        .output
        .show(&answer, |document| format!("{}{}", lines(differences(document), paint), warnings(document)))?;
    Ok(if differences(&answer.json()?).is_empty() { Exit::Done } else { Exit::No })
}

/// The differences an answer names.
pub(super) fn differences(document: &Value) -> &[Value] {
    pages::items(document, "diff")
}

/// Differences as lines: `+` added, `-` removed, `~` changed.
pub(super) fn lines(differences: &[Value], paint: Paint) -> String {
    let line = |difference: &Value| {
        let op = difference.get("op").and_then(Value::as_str).unwrap_or_default();
        let path = text::at(difference, "path");
        let value = |name| difference.get(name).map(|value| text::printable(&value.to_string()).into_owned());
        let line = match (op, value("old"), value("new")) {
            ("add", _, Some(new)) => format!("+ {path}: {new}"),
            ("add", _, None) => format!("+ {path}"),
            // What is gone is of less interest than that it is.
            ("remove", ..) => format!("- {path}"),
            (_, Some(old), Some(new)) => format!("~ {path}: {old} -> {new}"),
            _ => format!("~ {path}"),
        };
        format!("{}\n", paint.paint(Tone::of_edit(op), &line))
    };
    differences.iter().map(line).collect()
}

fn warnings(document: &Value) -> String {
    let warning = |warning: &Value| {
        let detail = match warning {
            Value::Object(_) => text::at(warning, "detail"),
            other => text::cell(other),
        };
        match text::at(warning, "path") {
            path if path.is_empty() => format!("warning: {detail}\n"),
            path => format!("warning: {path}: {detail}\n"),
        }
    };
    pages::items(document, "warnings").iter().map(warning).collect()
}

/// The call that puts the file in force, without further parameters.
fn call(args: &FileArgs) -> Result<Call, CtlError> {
    let body = read(&args.file)?;
    let call = Call::new(Method::PUT, "/v1/config").content(media_type(&body), body);
    Ok(if args.prune { call } else { call.query("prune", false) })
}

/// Whatever begins like JSON is JSON, so that a mistake in it is reported as one; YAML rarely begins so.
fn media_type(body: &[u8]) -> &'static str {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => "application/json",
        _ => "application/yaml",
    }
}

/// What is in the file `path`, or in standard input when that is `-`.
///
/// # Errors
/// It cannot be read, is empty or too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CtlError> {
    let wrong = |why: String| CtlError::Usage(format!("cannot read {}: {why}", path.display()));
    let mut body = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_end(&mut body)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut body))
    };
    let read = read.map_err(|cause| wrong(cause.to_string()))?;
    match read {
        // A template that came out empty is a mistake, whatever the API would make of it.
        _ if body.trim_ascii().is_empty() => Err(wrong("it is empty".to_owned())),
        read if u64::try_from(read).unwrap_or(u64::MAX) > MAX_FILE_BYTES => {
            Err(wrong(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20)))
        }
        _ => Ok(body),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_lines() {
        let differences = [
            json!({"op": "add", "path": "/upstreams/api", "new": {"id": "api"}}),
            json!({"op": "remove", "path": "/upstreams/old", "old": {"id": "old"}}),
            json!({"op": "replace", "path": "/upstreams/web/algorithm", "old": "random", "new": "round_robin"}),
        ];
        assert_eq!(
            lines(&differences, Paint::Bare),
            "+ /upstreams/api: {\"id\":\"api\"}\n- /upstreams/old\n~ /upstreams/web/algorithm: \"random\" -> \"round_robin\"\n"
        );
    }

    #[test]
    fn json_is_told_from_yaml() {
        for (body, kind) in [
            ("{}", "application/json"),
            (" \n{", "application/json"),
            ("[1", "application/json"),
            ("upstreams: []", "application/yaml"),
            ("---\n{}", "application/yaml"),
        ] {
            assert_eq!(media_type(body.as_bytes()), kind, "{body}");
        }
    }
}
