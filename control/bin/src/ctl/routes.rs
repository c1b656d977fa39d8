//! `add route`.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::{Session, args::AddRoute, call::Call, change::done, error::CtlError, fields, text};

/// Adds `route`.
pub(super) async fn add(session: &Session, route: &AddRoute) -> Result<(), CtlError> {
    let AddRoute { name, host, path, to, fields, write } = route;
    let document = document(name, host, path.as_deref(), to, fields::document(fields)?)?;
    let call = write.on(Call::new(Method::POST, "/v1/routes")).json(&Value::Object(document));
    let answer = session.client.send(&call).await?;
    session.output.changed(&answer, |document| {
        let reason = text::at(document, "status.reason");
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let what = format!("route {} added{reason}", text::at(document, "id"));
        done(&answer, document, &what, session.output.paint)
    })
}

/// A route as `add route` was asked for it: what the shorter words say, and the fields that were named.
fn document(
    name: &str,
    hosts: &[String],
    path: Option<&str>,
    to: &[String],
    mut document: Map<String, Value>,
) -> Result<Map<String, Value>, CtlError> {
    document.insert("id".to_owned(), name.into());
    if !hosts.is_empty() {
        put(&mut document, "match", "hosts", hosts.into());
    }
    if let Some(path) = path {
        put(&mut document, "match", "path", json!({"type": "prefix", "value": path}));
    }
    let target = |target: &String| match target.split_once('=') {
        None => Ok(json!({ "upstream": target })),
        Some((upstream, weight)) => {
            let number = weight.parse::<u32>();
            let wrong = |_| CtlError::Usage(format!("--to {target}: the share {weight:?} is no number"));
            Ok(json!({"upstream": upstream, "weight": number.map_err(wrong)?}))
        }
    };
    if !to.is_empty() {
        let targets = to.iter().map(target).collect::<Result<Vec<_>, CtlError>>()?;
        put(&mut document, "action", "upstreams", targets.into());
    }
    Ok(document)
}

/// Puts `value` into the object `part` of `document`.
fn put(document: &mut Map<String, Value>, part: &str, name: &str, value: Value) {
    let mut inner = match document.remove(part) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    };
    inner.insert(name.to_owned(), value);
    document.insert(part.to_owned(), inner.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_made_of_words_and_fields() {
        let fields = json!({"priority": 5, "match": {"methods": ["GET"]}});
        let (hosts, to) = (["a.test".to_owned()], ["web=90".to_owned(), "api".to_owned()]);
        let made = document("x", &hosts, Some("/a"), &to, fields.as_object().unwrap().clone()).unwrap();
        let expected = json!({
            "id": "x", "priority": 5,
            "match": {"methods": ["GET"], "hosts": ["a.test"], "path": {"type": "prefix", "value": "/a"}},
            "action": {"upstreams": [{"upstream": "web", "weight": 90}, {"upstream": "api"}]}
        });
        assert_eq!(Value::Object(made), expected);
        assert!(document("x", &[], None, &["web=many".to_owned()], Map::new()).is_err());
    }
}
