//! `token`: who may call the API.

use hyper::Method;
use serde_json::{Map, Value};

use super::{
    Session,
    args::Token,
    call::Call,
    client::Answer,
    error::{CtlError, Exit},
    get,
    output::{Format, Loudness},
    text::{self, segment},
};

/// Lists, makes or ends tokens.
pub(super) async fn run(session: &Session, kind: &Token) -> Result<Exit, CtlError> {
    match kind {
        Token::List => get::tokens(session, &[]).await?,
        Token::Create { name, scopes, ttl, description } => {
            let mut wish = Map::new();
            wish.insert("id".to_owned(), name.as_str().into());
            wish.insert("scopes".to_owned(), scopes.as_slice().into());
            for (member, value) in [("ttl", ttl), ("description", description)] {
                if let Some(value) = value {
                    wish.insert(member.to_owned(), value.as_str().into());
                }
            }
            let call = Call::new(Method::POST, "/v1/tokens").json(&Value::Object(wish));
            issued(session, &session.client.send(&call.never_again()).await?)?;
        }
        Token::Rotate { name, overlap } => {
            let mut wish = Map::new();
            if let Some(overlap) = overlap {
                wish.insert("overlap".to_owned(), overlap.as_str().into());
            }
            let path = format!("/v1/tokens/{}/rotate", segment(name));
            let call = Call::new(Method::POST, path).json(&Value::Object(wish));
            issued(session, &session.client.send(&call.never_again()).await?)?;
        }
        Token::Revoke { name, open } => {
            let call = Call::new(Method::DELETE, format!("/v1/tokens/{}", segment(name)));
            let call = if *open { call.query("open", true) } else { call };
            let answer = session.client.send(&call).await?;
            session.output.changed(&answer, |_| format!("token {} revoked\n", text::printable(name)))?;
        }
    }
    Ok(Exit::Done)
}

/// Shows a secret, which is never shown again. Quietly means: nothing else.
fn issued(session: &Session, answer: &Answer) -> Result<(), CtlError> {
    if session.output.format == Format::Table && session.output.loudness == Loudness::Quiet {
        return session.output.text(&format!("{}\n", text::at(&answer.json()?, "token")));
    }
    session.output.show(answer, |document| {
        let until = match text::at(document, "expires_at") {
            none if none.is_empty() => "for ever".to_owned(),
            time => format!("until {}", text::time(&time)),
        };
        format!(
            "token {} may {} {until}; it is shown this once:\n{}\n",
            text::at(document, "id"),
            text::at(document, "scopes"),
            text::at(document, "token")
        )
    })
}
