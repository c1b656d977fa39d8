//! A small client of the admin API: one connection per call, as `curl` would do it.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;

use crate::client::{Response, Wire};

/// The admin API of one Weir.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    address: SocketAddr,
}

/// A call that is being put together.
#[derive(Debug)]
pub struct Call {
    address: SocketAddr,
    method: String,
    path: String,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// An answer of the API.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked, for messages.
    pub asked: String,
    /// The response.
    pub response: Response,
}

impl Api {
    /// The API that listens at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// A call with this method and path.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call {
            address: self.address,
            method: method.to_owned(),
            path: path.to_owned(),
            fields: Vec::new(),
            body: None,
        }
    }

    /// Gets `path`.
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send()
    }

    /// Posts `body` as JSON.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path).json(body).send()
    }

    /// Puts `body` as JSON.
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path).json(body).send()
    }

    /// Patches with `body` as a JSON merge patch.
    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path)
            .field("Content-Type", "application/merge-patch+json")
            .body(body.to_string())
            .send()
    }

    /// Deletes `path`.
    pub fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send()
    }

    /// Creates or replaces the upstream `default`.
    ///
    /// # Panics
    /// When the API refuses it.
    pub fn set_default(&self, upstream: &Value) {
        let answer = self.put("/v1/upstreams/default", upstream);
        assert!(matches!(answer.status(), 200 | 201), "{answer:?}");
    }

    /// The health of one server of the upstream `default`, by its address.
    pub fn server_health(&self, address: SocketAddr) -> Value {
        let health = self.get("/v1/upstreams/default/health").expect(200).json();
        let servers = health["servers"].as_array().cloned().unwrap_or_default();
        servers.into_iter().find(|server| server["address"] == address.to_string()).unwrap_or_default()
    }

    /// The current revision.
    ///
    /// # Panics
    /// When an answer does not carry it.
    pub fn revision(&self) -> u64 {
        let answer = self.get("/v1/info");
        answer
            .field("weir-revision")
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("{answer:?}"))
    }
}

impl Call {
    /// Adds a header field; an own `Host` replaces the default one.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends these bytes as the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends `body` as JSON.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.field("Content-Type", "application/json").body(body.to_string())
    }

    /// Sends the call.
    ///
    /// # Panics
    /// When no well-formed response comes.
    pub fn send(self) -> Answer {
        let asked = format!("{} {}", self.method, self.path);
        let mut head = format!("{asked} HTTP/1.1\r\nConnection: close\r\n");
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            write!(head, "Host: {}\r\n", self.address).unwrap();
        }
        for (name, value) in &self.fields {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if let Some(body) = &self.body {
            write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        head.push_str("\r\n");
        let mut wire = Wire::connect(self.address);
        wire.send(head);
        wire.send(self.body.unwrap_or_default());
        let response =
            wire.response(&self.method).unwrap_or_else(|error| panic!("no answer to {asked}: {error:?}"));
        Answer { asked, response }
    }
}

impl Answer {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.response.status
    }

    /// The value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.response.fields.one(name)
    }

    /// The entity tag.
    ///
    /// # Panics
    /// When there is none.
    pub fn etag(&self) -> String {
        self.field("etag").unwrap_or_else(|| panic!("no ETag: {self:?}")).to_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.response.body).unwrap_or_else(|error| {
            panic!("{} was not answered in JSON: {error}: {}", self.asked, self.response.text())
        })
    }

    /// Requires this status.
    ///
    /// # Panics
    /// When it is another.
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{}: {}", self.asked, self.response.text());
        self
    }

    /// Requires this status and does not look at the rest.
    ///
    /// # Panics
    /// When it is another.
    pub fn assert(self, status: u16) {
        let _ = self.expect(status);
    }
}
