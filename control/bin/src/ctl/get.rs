//! `get`: what is there.

use serde_json::{Value, json};
use weir_control::yaml;

use super::{
    Session,
    args::Get,
    call::Call,
    certificates,
    change::{server_path, upstream_path},
    client::Answer,
    error::{CtlError, Exit},
    health, history,
    output::Format,
    pages,
    table::{Cell, Table},
    text::{self, segment},
};

/// Shows it.
pub(super) async fn run(session: &Session, kind: &Get) -> Result<Exit, CtlError> {
    match kind {
        Get::Upstreams { names, state, label } => {
            let filters = Call::get("/v1/upstreams");
            let filters = filters.query_if("state", state.as_deref()).query_if("label", label.as_deref());
            upstreams(session, names, filters).await?;
        }
        Get::Servers { upstream, names } => servers(session, upstream, names).await?,
        Get::Routes { names, state, upstream, label } => {
            let filters = Call::get("/v1/routes").query("limit", pages::PAGE);
            let filters = filters.query_if("state", state.as_deref()).query_if("label", label.as_deref());
            routes(session, names, filters.query_if("upstream", upstream.as_deref())).await?;
        }
        Get::Listeners { names } => listeners(session, names).await?,
        Get::Certificates { names, status } => {
            let filters = Call::get("/v1/certificates").query("limit", pages::PAGE);
            certificates::show(session, names, filters.query_if("status", status.as_deref())).await?;
        }
        Get::Health { upstream } => {
            health::once(session, upstream.as_deref()).await?;
        }
        Get::Config { revision } => {
            plain(session, Call::get("/v1/config").query_if("revision", *revision)).await?;
        }
        Get::Revisions { numbers, limit } if numbers.is_empty() => {
            history::list(session, *limit).await?;
        }
        Get::Revisions { numbers, .. } => {
            let names: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            let answer = named(session, "/v1/revisions", &names).await?;
            session.output.show(&answer, |document| history::table(document).render(session.output.paint))?;
        }
        Get::Drains { ended } => {
            let state = if *ended { "ended" } else { "under_way" };
            drains(session, state).await?;
        }
        Get::Tokens { names } => tokens(session, names).await?,
        Get::Info => plain(session, Call::get("/v1/info")).await?,
    }
    Ok(Exit::Done)
}

/// A document that is best read as it is.
async fn plain(session: &Session, call: Call) -> Result<(), CtlError> {
    let answer = session.client.send(&call).await?;
    session.output.show(&answer, yaml::text)
}

async fn upstreams(session: &Session, names: &[String], filters: Call) -> Result<(), CtlError> {
    let is_table = session.output.format == Format::Table;
    let answer = if names.is_empty() {
        let expand = if is_table { "health" } else { "servers" };
        pages::all(&session.client, filters.query("expand", expand).query("limit", pages::PAGE), "items")
            .await?
    } else {
        let mut found = Vec::new();
        for name in names {
            let answer = session.client.send(&Call::get(upstream_path(name))).await?;
            if !is_table {
                found.push(answer);
                continue;
            }
            let health = session.client.send(&Call::get(format!("{}/health", upstream_path(name)))).await?;
            let mut upstream = answer.json()?;
            if let Some(members) = upstream.as_object_mut() {
                members.insert("health".to_owned(), health.json()?);
            }
            found.push(answer.with(&upstream));
        }
        together(found)?
    };
    session.output.show(&answer, |document| {
        let head =
            ["ID", "STATE", "ELIGIBLE", "ALGORITHM", "CHECK", "RPS", "IN FLIGHT", "ROUTES", "REVISION"];
        let mut table = Table::new(&head);
        for upstream in entries(document) {
            let eligible =
                format!("{}/{}", text::at(upstream, "health.eligible"), text::at(upstream, "health.total"));
            table.row(vec![
                text::at(upstream, "id").into(),
                Cell::state(text::at(upstream, "health.state")),
                eligible.into(),
                text::at(upstream, "algorithm").into(),
                check(upstream).into(),
                text::at(upstream, "health.rps").into(),
                text::at(upstream, "health.in_flight").into(),
                text::at(upstream, "health.routes").into(),
                text::at(upstream, "revision").into(),
            ]);
        }
        table.render(session.output.paint)
    })
}

/// How an upstream is checked, in a word.
fn check(upstream: &Value) -> String {
    let checks = &upstream["health_check"];
    // Where no type is written, a path makes it HTTP.
    match (checks["enabled"].as_bool(), checks["type"].as_str(), checks["path"].as_str()) {
        (Some(false), ..) => "off".to_owned(),
        (_, Some("http") | None, Some(path)) => format!("http {path}"),
        (_, kind, _) => kind.unwrap_or("tcp").to_owned(),
    }
}

async fn servers(session: &Session, upstream: &str, names: &[String]) -> Result<(), CtlError> {
    let client = &session.client;
    let is_table = session.output.format == Format::Table;
    let suffix = if is_table { "/health" } else { "" };
    let answer = match names {
        [] if is_table => client.send(&Call::get(format!("{}/health", upstream_path(upstream)))).await?,
        [] => {
            let list = Call::get(format!("{}/servers", upstream_path(upstream))).query("limit", pages::PAGE);
            pages::all(client, list, "items").await?
        }
        names => {
            let mut found = Vec::new();
            for name in names {
                let path = format!("{}{suffix}", server_path(upstream, name));
                found.push(client.send(&Call::get(path)).await?);
            }
            together(found)?
        }
    };
    session.output.show(&answer, |document| {
        let columns = [
            ("ID", "id"),
            ("ADDRESS", "address"),
            ("WEIGHT", "weight"),
            ("PRIORITY", "priority"),
            ("ADMIN", "admin_state"),
            ("STATE", "state"),
            ("REASON", "reason"),
            ("SINCE", "since"),
            ("IN FLIGHT", "in_flight"),
        ];
        let servers = document
            .get("servers")
            .map_or_else(|| entries(document), |servers| servers.as_array().map_or(&[], Vec::as_slice));
        Table::of(&columns, servers).render(session.output.paint)
    })
}

async fn routes(session: &Session, names: &[String], filters: Call) -> Result<(), CtlError> {
    let answer = if names.is_empty() {
        pages::all(&session.client, filters, "items").await?
    } else {
        named(session, "/v1/routes", names).await?
    };
    session.output.show(&answer, |document| {
        let mut table = Table::new(&["ID", "PRIORITY", "HOSTS", "PATH", "GOES TO", "STATE", "REVISION"]);
        for route in entries(document) {
            let path = match text::at(route, "match.path.type").as_str() {
                "exact" => format!("= {}", text::at(route, "match.path.value")),
                "regex" => format!("~ {}", text::at(route, "match.path.value")),
                _ => text::at(route, "match.path.value"),
            };
            table.row(vec![
                text::at(route, "id").into(),
                text::at(route, "priority").into(),
                text::at(route, "match.hosts").into(),
                path.into(),
                goes_to(route).into(),
                Cell::state(text::at(route, "status.state")),
                text::at(route, "revision").into(),
            ]);
        }
        table.render(session.output.paint)
    })
}

/// What a route does with its requests, in a few words.
fn goes_to(route: &Value) -> String {
    let action = |name: &str| text::at(route, &format!("action.{name}"));
    if route.pointer("/action/redirect").is_some_and(|redirect| !redirect.is_null()) {
        return format!("redirect {}", action("redirect.status"));
    }
    if route.pointer("/action/fixed_response").is_some_and(|answer| !answer.is_null()) {
        return format!("answer {}", action("fixed_response.status"));
    }
    let targets = route.pointer("/action/upstreams").and_then(Value::as_array);
    let targets: Vec<&Value> = targets.into_iter().flatten().collect();
    let name = |target: &&Value| match targets.len() {
        1 => text::at(target, "upstream"),
        _ => format!("{}={}", text::at(target, "upstream"), text::at(target, "weight")),
    };
    targets.iter().map(name).collect::<Vec<_>>().join(",")
}

/// Shows the drains in `state`.
async fn drains(session: &Session, state: &str) -> Result<(), CtlError> {
    let call = Call::get("/v1/drains").query("limit", pages::PAGE).query("state", state);
    let answer = pages::all(&session.client, call, "items").await?;
    session.output.show(&answer, |document| {
        let columns = [
            ("UPSTREAM", "upstream"),
            ("SERVER", "server"),
            ("SINCE", "started_at"),
            ("DEADLINE", "deadline"),
            ("THEN", "then"),
            ("IN FLIGHT", "in_flight"),
            ("OUTCOME", "outcome"),
            ("ENDED", "ended_at"),
        ];
        // Of those under way nothing is known of their end.
        let shown = if state == "ended" { &columns[..] } else { &columns[..6] };
        Table::of(shown, entries(document)).render(session.output.paint)
    })
}

/// Shows tokens.
pub(super) async fn tokens(session: &Session, names: &[String]) -> Result<(), CtlError> {
    let answer = if names.is_empty() {
        pages::all(&session.client, Call::get("/v1/tokens").query("limit", pages::PAGE), "items").await?
    } else {
        named(session, "/v1/tokens", names).await?
    };
    session.output.show(&answer, |document| {
        let columns = [
            ("ID", "id"),
            ("SCOPES", "scopes"),
            ("CREATED", "created_at"),
            ("BY", "created_by"),
            ("EXPIRES", "expires_at"),
            ("DESCRIPTION", "description"),
        ];
        Table::of(&columns, entries(document)).render(session.output.paint)
    })
}

/// The members of a collection with these names.
pub(super) async fn named(session: &Session, collection: &str, names: &[String]) -> Result<Answer, CtlError> {
    let mut found = Vec::new();
    for name in names {
        found.push(session.client.send(&Call::get(format!("{collection}/{}", segment(name)))).await?);
    }
    together(found)
}

async fn listeners(session: &Session, names: &[String]) -> Result<(), CtlError> {
    let answer = if names.is_empty() {
        pages::all(&session.client, Call::get("/v1/listeners").query("limit", pages::PAGE), "items").await?
    } else {
        named(session, "/v1/listeners", names).await?
    };
    session.output.show(&answer, |document| {
        let columns = [
            ("ID", "id"),
            ("ADDRESS", "address"),
            ("PROTOCOL", "protocol"),
            ("CERTIFICATES", "tls.certificates"),
            ("UPSTREAM", "upstream"),
            ("BOUND", "status.bound"),
            ("SINCE", "status.since"),
            ("ERROR", "status.error"),
        ];
        Table::of(&columns, entries(document)).render(session.output.paint)
    })
}

/// One answer as it is; several as a list.
fn together(answers: Vec<Answer>) -> Result<Answer, CtlError> {
    let mut answers = answers.into_iter();
    let first = answers.next().ok_or_else(|| CtlError::Usage("nothing was named".to_owned()))?;
    let mut documents = Vec::new();
    for answer in answers {
        documents.push(answer.json()?);
    }
    if documents.is_empty() {
        return Ok(first);
    }
    documents.insert(0, first.json()?);
    Ok(first.with(&json!({"items": documents, "next": null})))
}

/// The entries of a list; a single document is the only one.
pub(super) fn entries(document: &Value) -> &[Value] {
    match document.get("items").and_then(Value::as_array) {
        Some(items) => items,
        None => std::slice::from_ref(document),
    }
}
