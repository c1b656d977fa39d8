//! Lists of any length, page by page.

use serde_json::Value;

use super::{
    call::Call,
    client::{Answer, Client},
    error::CtlError,
};

/// Entries to ask for at once, of lists that know `limit`: as many as the API gives.
pub(super) const PAGE: usize = 1000;

/// Most pages read: ten times what one store can hold. A server that never ends its list is broken.
const MAX_PAGES: usize = 1000;

/// All entries of the list that `call` asks for, as one document whose entries are in the member `items`.
///
/// # Errors
/// When a page cannot be read.
pub(super) async fn all(client: &Client, call: Call, items: &str) -> Result<Answer, CtlError> {
    let first = client.send(&call).await?;
    let mut whole = first.json()?;
    let mut next = cursor(&whole);
    if next.is_none() {
        return Ok(first);
    }
    for _ in 0..MAX_PAGES {
        let Some(after) = next else { break };
        let mut page = client.send(&call.clone().query("after", &after)).await?.json()?;
        // A cursor that stays where it is would go round for ever.
        next = cursor(&page).filter(|next| *next != after);
        let more = page.get_mut(items).and_then(Value::as_array_mut).map(std::mem::take);
        if let (Some(found), Some(more)) = (whole.get_mut(items).and_then(Value::as_array_mut), more) {
            found.extend(more);
        }
    }
    if let Some(document) = whole.as_object_mut() {
        document.insert("next".to_owned(), Value::Null);
    }
    Ok(first.with(&whole))
}

fn cursor(page: &Value) -> Option<String> {
    page.get("next").and_then(Value::as_str).map(str::to_owned)
}

/// The entries of a list.
pub(super) fn items<'a>(document: &'a Value, member: &str) -> &'a [Value] {
    document.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
