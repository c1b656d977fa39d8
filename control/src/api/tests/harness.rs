//! An API over a store in memory, called without a socket.

use std::{collections::HashMap, sync::Arc};

use axum::{Router, body::Body, response::Response};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};
use tower::ServiceExt;
use weir_shared::{
    id::{Epoch, Revision},
    model::{Config, ListenerFlags},
    state::ListenerState,
    table::{Action, Compiler, TableReader, Upstream, channel},
    time::Timestamp,
};

use crate::{
    access::{Access, Policy, Probes, WithoutTokens, limit::Limiter, tokens::Tokens},
    api::{self, Api, Build, guard::Guard, retry::UnderWay},
    audit::{self, Audit},
    catalog::{StoreReport, Writer, precondition::IfMatch},
    clock::Clock,
    drains::Runner,
    events::{Bus, tickets::Tickets},
    health::CheckerStats,
    startup::Source,
    status::Status,
    store::{Memory, Store},
};

/// An API to be called.
pub(super) struct Harness {
    router: Router,
    pub(super) reader: TableReader,
    pub(super) store: Arc<dyn Store>,
    pub(super) events: Bus,
    _writer: JoinSet<()>,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// An answer of which the body may be still to come.
#[derive(Debug)]
pub(super) struct Open(Response);

impl Open {
    pub(super) fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The answer with all of its body.
    pub(super) async fn whole(self) -> Answer {
        let (parts, body) = self.0.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn revision(&self) -> u64 {
        self.header("weir-revision").parse().unwrap()
    }

    /// Asserts that this is a complete problem of kind `code`; answers `pointer code` of each fault, sorted.
    pub(super) fn problem(&self, status: u16, code: &str) -> Vec<String> {
        assert_eq!((self.status.as_u16(), self.json()["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["type"], format!("/docs/problems/{code}"));
        assert_eq!(json["status"], status);
        for field in ["title", "detail", "instance", "request_id"] {
            assert!(json[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {self:?}");
        }
        assert_eq!(json["request_id"], self.header("x-request-id"));
        assert_eq!(json["revision"], self.revision());
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        let place = |error: &Value| {
            ["pointer", "parameter", "header"].iter().find_map(|kind| Some(error[kind].as_str()?.to_owned()))
        };
        let mut faults: Vec<String> = errors
            .iter()
            .map(|error| format!("{} {}", place(error).unwrap(), error["code"].as_str().unwrap()))
            .collect();
        faults.sort();
        faults
    }
}

impl Harness {
    /// An API that takes changes.
    pub(super) async fn new() -> Self {
        let store = Memory::default();
        store.initialise(Epoch("abc123".into())).await.unwrap();
        Self::over(Arc::new(store))
    }

    /// An API over `store`, which is set up.
    pub(super) fn over(store: Arc<dyn Store>) -> Self {
        Self::with(Some(store), None, IfMatch::Optional)
    }

    /// An API whose callers must name the state of what they change.
    pub(super) async fn careful() -> Self {
        let store = Memory::default();
        store.initialise(Epoch("abc123".into())).await.unwrap();
        Self::with(Some(Arc::new(store)), None, IfMatch::Required)
    }

    /// An API whose store takes no writes.
    pub(super) fn read_only() -> Self {
        Self::with(None, Some("it was damaged".into()), IfMatch::Optional)
    }

    fn with(store: Option<Arc<dyn Store>>, reason: Option<Arc<str>>, if_match: IfMatch) -> Self {
        let clock = Clock::new(Instant::now());
        let compiler = Compiler { workers: 1, ..Compiler::default() };
        let config = Arc::new(Config::empty(Epoch("abc123".into())));
        let table = compiler.compile(config, None, clock.now()).unwrap();
        let (writer, reader) = channel(table);
        let report = StoreReport::new("memory", reason, None);
        let kept = store.clone().unwrap_or_else(|| Arc::new(Memory::default()));
        let tokens = Tokens::new(store.clone(), Vec::new(), 0, None);
        let policy = Policy {
            without_tokens: WithoutTokens::Open,
            probes: Probes::Guarded,
            principals: HashMap::new(),
            owner: 1000,
        };
        let access = Access { tokens, policy };
        let (writer, catalog) = Writer::new(store, report, compiler, (writer, reader.clone()), clock);
        let mut task = JoinSet::new();
        task.spawn(writer.run());
        let listener_state = Arc::new(ListenerState::new(1));
        let (audit, refused) = Audit::new();
        task.spawn(audit::Keeper::new(refused, Some(Arc::clone(&kept)), Arc::clone(audit.stats())).run());
        let status = Status::new(reader.clone(), Arc::clone(&listener_state), clock, "test".into())
            .with_drains(catalog.drains().clone());
        task.spawn(Runner::new(catalog.clone(), clock).run());
        // Nobody binds anything, and nobody waits for it.
        let (_, settled) = watch::channel(Revision(0));
        if let Some(listener) = reader.snapshot().listener("default") {
            listener.state.bound("0.0.0.0:8080".into(), Timestamp(0));
        }
        let api = Api {
            catalog,
            status: Arc::new(status),
            checker: Arc::new(CheckerStats::default()),
            flags: ListenerFlags::default(),
            listener_state,
            settled,
            workers: 1,
            source: Source::New,
            clock,
            started_at: clock.now().wall,
            build: Build { version: "0.0.0".into(), commit: "test".into() },
            guard: Guard::new("127.0.0.1:9900".parse().unwrap(), &[]),
            access,
            failures: Limiter::new(api::access::FAILURES),
            calls: None,
            audit,
            in_flight: Semaphore::new(api::envelope::MAX_IN_FLIGHT),
            under_way: UnderWay::default(),
            if_match,
            tickets: Tickets::new(clock),
        };
        let events = api.catalog.events().clone();
        Self { router: api::router(Arc::new(api)), reader, store: kept, events, _writer: task }
    }

    /// Sends a request with the header fields `fields`.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.open(method, path, fields, body).await.whole().await
    }

    /// The same, answering as soon as there is a status.
    pub(super) async fn open(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Open {
        let mut request = Request::builder().method(method).uri(path);
        if !fields.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:9900");
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        Open(self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    /// Sends JSON.
    pub(super) async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.json("POST", path, &body).await
    }

    /// The upstream that the catch-all route sends to.
    pub(super) fn bound(&self) -> Option<Arc<Upstream>> {
        let table = self.reader.snapshot();
        let Action::Forward(split) = &table.routes().get("default")?.action else { return None };
        table.target(split.choose(0)?).cloned()
    }

    /// Makes an upstream called `web` with servers at `a:1` and `b:1`.
    pub(super) async fn with_web(self) -> Self {
        let body = serde_json::json!({"id": "web", "servers": ["a:1", "b:1"]});
        assert_eq!(self.post("/v1/upstreams", body).await.status, 201);
        self
    }
}
