//! Responses that come before the final one: 1xx (RFC 9110 §15.2).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::{
    error::ProxyError,
    head::Field,
    header::{ConnectionOptions, is_hop_by_hop},
};

/// Most interim responses to one request: more say nothing to anybody.
pub(super) const MOST: u8 = 32;

/// The head of an interim response.
#[derive(Debug)]
pub(super) struct Interim {
    pub(super) status: StatusCode,
    /// The fields that go on to the client.
    pub(super) headers: HeaderMap,
    /// What the server switches to, if it says so as it must: by one `Upgrade` field that `Connection` names.
    pub(super) protocol: Option<HeaderValue>,
}

/// Reads the `fields` of `head`.
pub(super) fn build(head: &Bytes, fields: &[Field], status: StatusCode) -> Result<Interim, ProxyError> {
    if status == StatusCode::CONTINUE {
        // Ends here, and is answered by what the client is waiting for.
        return Ok(Interim { status, headers: HeaderMap::new(), protocol: None });
    }
    let mut headers = HeaderMap::with_capacity(fields.len());
    let mut options = ConnectionOptions::default();
    let mut protocols = Vec::new();
    for field in fields {
        let (name, value) = field.read(head).ok_or(ProxyError::ResponseMalformed)?;
        if name == header::CONNECTION {
            options.add(&value);
        } else if name == header::UPGRADE {
            protocols.push(value);
        } else if !is_hop_by_hop(&name) && !is_of_content(&name) {
            headers.append(name, value);
        }
    }
    for name in options.named() {
        headers.remove(name);
    }
    let protocol = if protocols.len() == 1 { protocols.pop() } else { None };
    let protocol = protocol.filter(|_| options.names(&header::UPGRADE));
    Ok(Interim { status, headers, protocol })
}

/// RFC 9110 §8.6, §15.2: there is no content whose length could be said.
fn is_of_content(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || *name == header::TRAILER
}
