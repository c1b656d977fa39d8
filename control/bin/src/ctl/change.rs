//! `add`, `set` and `delete`: single resources.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::{
    Session, apply,
    args::{Add, Delete, Set, WriteArgs},
    call::Call,
    certificates,
    client::Answer,
    error::{CtlError, Exit},
    fields, pages, routes,
    table::Paint,
    text::{self, segment},
};

impl WriteArgs {
    /// `call` under these conditions.
    pub(super) fn on(&self, call: Call) -> Call {
        let call = if self.dry_run { call.query("dry_run", true) } else { call };
        let call = call.query_if("message", self.message.as_deref());
        match self.if_match.as_deref() {
            // A shell takes the quotes away.
            Some(tag) if tag != "*" && !tag.ends_with('"') => call.field("if-match", format!("\"{tag}\"")),
            Some(tag) => call.field("if-match", tag),
            None => call,
        }
    }
}

/// Adds an upstream or servers.
pub(super) async fn add(session: &Session, kind: &Add) -> Result<Exit, CtlError> {
    let paint = session.output.paint;
    match kind {
        Add::Upstream { name, addresses, fields, bind, write } => {
            let mut document = fields::document(fields)?;
            document.insert("id".to_owned(), name.as_str().into());
            document.entry("servers").or_insert_with(|| addresses.as_slice().into());
            let call = write.on(Call::new(Method::POST, "/v1/upstreams"));
            let call = if *bind { call } else { call.query("bind", false) };
            let answer = session.client.send(&call.json(&Value::Object(document))).await?;
            session.output.changed(&answer, |document| {
                let routes = text::at(document, "bound_routes");
                let routes =
                    if routes.is_empty() { String::new() } else { format!(", bound to route {routes}") };
                let servers = text::count(pages::items(document, "servers").len(), "server");
                let name = text::at(document, "id");
                done(&answer, document, &format!("upstream {name} added with {servers}{routes}"), paint)
            })?;
        }
        Add::Listener { name, address, fields, write } => {
            listener(session, name, address, fields, write).await?
        }
        Add::Certificate(certificate) => certificates::add(session, certificate).await?,
        Add::Route(route) => routes::add(session, route).await?,
        Add::Server { upstream, addresses, weight, fields, write } => {
            let mut common = fields::document(fields)?;
            if let Some(weight) = weight {
                common.insert("weight".to_owned(), (*weight).into());
            }
            let server = |address: &String| -> Value {
                let mut document = common.clone();
                document.insert("address".to_owned(), address.as_str().into());
                document.into()
            };
            let servers: Vec<Value> = addresses.iter().map(server).collect();
            let path = format!("/v1/upstreams/{}/servers", segment(upstream));
            let answer =
                session.client.send(&write.on(Call::new(Method::POST, path)).json(&json!(servers))).await?;
            session.output.changed(&answer, |document| {
                let word = if answer.status() == 200 { "there already" } else { "added" };
                let ids = pages::items(document, "items").iter().map(|server| text::at(server, "id"));
                done(
                    &answer,
                    document,
                    &format!("{upstream}: {} {word}", ids.collect::<Vec<_>>().join(" ")),
                    paint,
                )
            })?;
        }
    }
    Ok(Exit::Done)
}

/// Adds a listener.
async fn listener(
    session: &Session,
    name: &str,
    address: &str,
    fields: &[String],
    write: &WriteArgs,
) -> Result<(), CtlError> {
    let mut document = fields::document(fields)?;
    document.insert("id".to_owned(), name.into());
    document.insert("address".to_owned(), address.into());
    let call = write.on(Call::new(Method::POST, "/v1/listeners"));
    let answer = session.client.send(&call.json(&Value::Object(document))).await?;
    session.output.changed(&answer, |document| {
        let error = text::at(document, "status.error");
        let state = if error.is_empty() { String::new() } else { format!(", not bound: {error}") };
        done(&answer, document, &format!("listener {name} added{state}"), session.output.paint)
    })
}

/// Changes fields.
pub(super) async fn set(session: &Session, kind: &Set) -> Result<Exit, CtlError> {
    let (path, name, fields, write) = match kind {
        Set::Upstream { name, fields, write } => (upstream_path(name), name.clone(), fields, write),
        Set::Listener { name, fields, write } => (listener_path(name), name.clone(), fields, write),
        Set::Route { name, fields, write } => (route_path(name), name.clone(), fields, write),
        Set::Certificate { name, fields, write } => (certificates::path(name), name.clone(), fields, write),
        Set::Server { upstream, server, fields, write } => {
            (server_path(upstream, server), format!("{upstream}/{server}"), fields, write)
        }
    };
    let patch = fields::document(fields)?;
    let call = write.on(Call::new(Method::PATCH, path));
    let answer = session.client.send(&call.json(&Value::Object(patch.clone()))).await?;
    session.output.changed(&answer, |document| {
        done(
            &answer,
            document,
            &format!("{name}: {}", values(document, &patch, "").join(" ")),
            session.output.paint,
        )
    })?;
    Ok(Exit::Done)
}

/// Removes a resource.
pub(super) async fn delete(session: &Session, kind: &Delete) -> Result<Exit, CtlError> {
    let (call, name) = match kind {
        Delete::Upstream { name, cascade, write } => {
            let call = write.on(Call::new(Method::DELETE, upstream_path(name)));
            (if *cascade { call.query("cascade", true) } else { call }, format!("upstream {name}"))
        }
        Delete::Listener { name, write } => {
            (write.on(Call::new(Method::DELETE, listener_path(name))), format!("listener {name}"))
        }
        Delete::Route { name, write } => {
            (write.on(Call::new(Method::DELETE, route_path(name))), format!("route {name}"))
        }
        Delete::Certificate { name, write } => {
            (write.on(Call::new(Method::DELETE, certificates::path(name))), format!("certificate {name}"))
        }
        Delete::Server { upstream, server, write } => (
            write.on(Call::new(Method::DELETE, server_path(upstream, server))),
            format!("server {upstream}/{server}"),
        ),
    };
    let answer = session.client.send(&call).await?;
    session.output.changed(&answer, |document| {
        done(&answer, document, &format!("{name} deleted"), session.output.paint)
    })?;
    Ok(Exit::Done)
}

/// Where a listener is.
fn listener_path(listener: &str) -> String {
    format!("/v1/listeners/{}", segment(listener))
}

/// Where an upstream is.
pub(super) fn upstream_path(upstream: &str) -> String {
    format!("/v1/upstreams/{}", segment(upstream))
}

/// Where a route is.
fn route_path(route: &str) -> String {
    format!("/v1/routes/{}", segment(route))
}

/// Where a server is.
pub(super) fn server_path(upstream: &str, server: &str) -> String {
    format!("{}/servers/{}", upstream_path(upstream), segment(server))
}

/// The line that says what a change did and at which revision, after what a trial would make different.
pub(super) fn done(answer: &Answer, document: &Value, what: &str, paint: Paint) -> String {
    let what = text::printable(what);
    if answer.is_trial() {
        let differences = apply::lines(apply::differences(document), paint);
        format!("{differences}{what} (dry run: nothing was changed)\n")
    } else {
        format!("{what} (revision {})\n", answer.revision())
    }
}

/// What the fields that `patch` names hold in `document`.
fn values(document: &Value, patch: &Map<String, Value>, at: &str) -> Vec<String> {
    let value = |(name, value): (&String, &Value)| {
        let found = document.get(name).unwrap_or(&Value::Null);
        match value {
            Value::Object(inner) => values(found, inner, &format!("{at}{name}.")),
            _ => vec![format!(
                "{at}{name}={}",
                if found.is_null() { "null".to_owned() } else { text::cell(found) }
            )],
        }
    };
    patch.iter().flat_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_was_answered() {
        let patch = json!({"weight": 5, "labels": {"team": "shop"}, "zone": null});
        let document = json!({"weight": 5, "labels": {"team": "shop", "x": "y"}, "zone": ""});
        let shown = values(&document, patch.as_object().unwrap(), "");
        assert_eq!(shown, ["labels.team=shop", "weight=5", "zone="]);
    }

    #[test]
    fn a_tag_needs_no_quotes() {
        for (given, sent) in [("r1.a", "\"r1.a\""), ("\"r1.a\"", "\"r1.a\""), ("*", "*")] {
            let write = WriteArgs { if_match: Some(given.to_owned()), ..WriteArgs::default() };
            let call = write.on(Call::new(Method::DELETE, "/"));
            assert_eq!(call.fields().last().unwrap().1, sent);
        }
    }
}
