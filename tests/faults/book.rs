//! A series of writes, each of which makes one revision, and the check of what is left of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::client::Wire;
use weir_tests::eventually::within;
use weir_tests::origin::Origin;
use weir_tests::signal::Signal;
use weir_tests::weir::{Launch, Weir};

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered with success.
    Made,
    /// It was answered with this status and code.
    Refused(u16, String),
    /// No answer came.
    Lost,
}

/// A data directory, and what must be in it.
pub(crate) struct Book {
    pub(crate) origin: Origin,
    folder: TempDir,
    /// The last revision known to be made. Every write makes one, so that this is also the number of the last write.
    pub(crate) made: usize,
    /// Whether the write after it may have been made, too.
    pub(crate) is_open: bool,
}

impl Book {
    /// A directory that no Weir has seen.
    pub(crate) fn new() -> Self {
        Self { origin: Origin::named("origin"), folder: TempDir::new().unwrap(), made: 0, is_open: false }
    }

    /// A directory with one write in it, left in order.
    pub(crate) fn begun() -> Self {
        let mut book = Self::new();
        let weir = book.launch().start();
        assert_eq!(book.write(&weir), Outcome::Made);
        stop(weir);
        book
    }

    /// The directory, by the path the system calls it.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A Weir that uses it.
    pub(crate) fn launch(&self) -> Launch {
        Launch::default().data_dir(&self.path())
    }

    /// Makes the next write. Once one is open, what came of it must be looked up first.
    pub(crate) fn write(&mut self, weir: &Weir) -> Outcome {
        assert!(!self.is_open, "an open write is settled by `verify`");
        let outcome = put(weir.admin(), &self.body(self.made + 1));
        match &outcome {
            Outcome::Made => self.made += 1,
            // The answer says that nothing was done, and is held to it.
            Outcome::Refused(503, code) if code == "store_unavailable" => {}
            Outcome::Refused(..) | Outcome::Lost => self.is_open = true,
        }
        outcome
    }

    /// Starts a Weir on what is left and requires it to be whole: one of the revisions it may be at, with exactly that
    /// revision's content, traffic by it, and a store that takes the next write. Answers the Weir.
    pub(crate) fn verify(&mut self, what: &str) -> Weir {
        let weir = self.launch().start();
        let revision = usize::try_from(weir.api().revision()).unwrap();
        let latest = self.made + usize::from(self.is_open);
        assert!((self.made..=latest).contains(&revision), "{what}: {} made, at {revision}", self.made);
        self.made = revision;
        self.is_open = false;
        if revision > 0 {
            self.assert_content(&weir, what);
            within(Duration::from_secs(5), "traffic resumes", || {
                let mut wire = Wire::try_connect(weir.data()).ok()?;
                (wire.get("/").text() == "origin").then_some(())
            });
        }
        let health = weir.api().get("/v1/health").expect(200);
        assert_eq!(
            (health.json()["store"]["state"].as_str(), health.field("weir-store")),
            (Some("ok"), Some("ok")),
            "{what}"
        );
        assert_eq!(self.write(&weir), Outcome::Made, "{what}");
        self.assert_content(&weir, what);
        weir
    }

    /// Requires a history without gaps in a file that is whole. No Weir may use it.
    pub(crate) fn assert_history(&self) {
        let file = rusqlite::Connection::open(self.file("state.db")).unwrap();
        let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
        let mut rows = file.prepare("SELECT n FROM revisions ORDER BY n").unwrap();
        let kept: Vec<i64> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let all: Vec<i64> = (1..=i64::try_from(self.made).unwrap()).collect();
        assert_eq!(kept, all);
    }

    /// Requires the content of the last write made.
    pub(crate) fn assert_content(&self, weir: &Weir, what: &str) {
        let answer = weir.api().get("/v1/upstreams/default").expect(200);
        let found = answer.json();
        let expected = self.body(self.made);
        assert_eq!(found["labels"], expected["labels"], "{what}");
        assert_eq!(addresses(&found), addresses(&expected), "{what}: half a write");
        assert!(answer.etag().starts_with(&format!("\"r{}.", self.made)), "{what}: {answer:?}");
    }

    /// The upstream as write number `number` makes it: one server that works, and two that must change together.
    fn body(&self, number: usize) -> Value {
        let spare = |port: usize| json!({ "address": format!("127.0.0.1:{port}"), "admin_state": "maint" });
        json!({
            "labels": { "number": number.to_string() },
            "servers": [self.origin.address().to_string(), spare(10_000 + number), spare(20_000 + number)],
        })
    }
}

fn addresses(upstream: &Value) -> Vec<String> {
    let address = |server: &Value| server["address"].as_str().or(server.as_str()).unwrap().to_owned();
    upstream["servers"].as_array().unwrap().iter().map(address).collect()
}

/// Stops a Weir in order.
pub(crate) fn stop(mut weir: Weir) {
    weir.signal(Signal::TERM);
    weir.wait(Duration::from_secs(30));
}

/// Sends one write; the process may die at any moment.
fn put(admin: SocketAddr, body: &Value) -> Outcome {
    let body = body.to_string();
    let Ok(mut wire) = Wire::try_connect(admin) else { return Outcome::Lost };
    let head = format!(
        "PUT /v1/upstreams/default HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    wire.send(head + &body);
    match wire.response("PUT") {
        Ok(response) if matches!(response.status, 200 | 201) => Outcome::Made,
        Ok(response) => {
            let problem: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            Outcome::Refused(response.status, problem["code"].as_str().unwrap_or_default().to_owned())
        }
        Err(_) => Outcome::Lost,
    }
}
