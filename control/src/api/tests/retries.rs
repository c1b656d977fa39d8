//! A change that is asked for again is made once; and how much of it is answered.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

use axum::body::Body;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};
use weir_shared::id::{Epoch, Revision};

use super::{
    harness::{Answer, Harness},
    operations::Stuck,
};
use crate::store::{
    Commit, CommitError, Memory, Page, Pending, Record, RecordKind, RecordOp, RevisionEntry, Snapshot, Store,
    StoreError,
};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn keyed(api: &Harness, method: &str, path: &str, key: &str, body: &Value) -> Answer {
    api.send(method, path, &[JSON, ("idempotency-key", key)], body.to_string()).await
}

#[tokio::test]
async fn a_change_with_a_key_is_made_once_and_answered_alike() {
    let api = Harness::new().await.with_web().await;
    let path = "/v1/upstreams/web/servers";
    let first = keyed(&api, "POST", path, "\"k1\"", &json!("c:1")).await;
    assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (201, ""));
    // What has happened since does not show.
    assert_eq!(api.send("DELETE", &format!("{path}/c-1"), &[], "").await.status, 204);
    let again = keyed(&api, "POST", path, "k1", &json!("c:1")).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    for name in ["location", "etag", "weir-revision", "content-type"] {
        assert_ne!(first.header(name), "", "{name}");
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(api.get("/v1/config").await.revision(), 3, "nothing was changed again");
}

#[tokio::test]
async fn every_kind_of_change_can_be_repeated() {
    let api = Harness::new().await.with_web().await;
    let tag = api.get("/v1/upstreams/web").await.header("etag").to_owned();
    for (method, path, body) in [
        ("POST", "/v1/upstreams", json!({"id": "other"})),
        ("PUT", "/v1/upstreams/third", json!({})),
        ("PATCH", "/v1/upstreams/third", json!({"algorithm": "random"})),
        ("DELETE", "/v1/upstreams/third", json!({})),
        ("PUT", "/v1/upstreams/web/servers/a-1", json!({"weight": 3})),
        ("DELETE", "/v1/upstreams/web/servers/a-1", json!({})),
    ] {
        let key = format!("{method}-{}", path.replace('/', "."));
        let first = keyed(&api, method, path, &key, &body).await;
        assert!(first.status.is_success(), "{first:?}");
        let again = keyed(&api, method, path, &key, &body).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{method} {path}");
        assert_eq!(again.header("idempotency-replayed"), "true");
    }
    let headers = [JSON, ("idempotency-key", "guarded"), ("if-match", "*")];
    let guarded = || api.send("PATCH", "/v1/upstreams/web", &headers, r#"{"algorithm":"random"}"#);
    assert_ne!(guarded().await.header("etag"), tag);
    assert_eq!(guarded().await.status, 200, "its own change does not fail its own condition");
}

#[tokio::test]
async fn every_change_that_is_described_minds_its_key() {
    let api = Harness::new().await.with_web().await;
    let document = api.get("/openapi.json").await.json();
    let mut minded = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["post", "put", "patch", "delete"] {
            let described = item[method]["parameters"].as_array().into_iter().flatten();
            if described.into_iter().any(|parameter| parameter["name"] == "Idempotency-Key") {
                let path = path.replace("{upstream}", "web").replace("{server}", "a-1");
                let answer = keyed(&api, &method.to_uppercase(), &path, "two words", &json!({})).await;
                assert_eq!(answer.problem(422, "validation"), ["idempotency-key invalid_value"], "{path}");
                minded += 1;
            }
        }
    }
    assert!(minded >= 8, "{minded}");
    keyed(&api, "PATCH", "/v1/upstreams", "two words", &json!({})).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let api = Harness::new().await.with_web().await;
    let path = "/v1/upstreams/web/servers";
    assert_eq!(keyed(&api, "POST", path, "k", &json!("c:1")).await.status, 201);
    for (method, path, body) in [
        ("POST", path, json!("d:1")),
        ("POST", "/v1/upstreams", json!("c:1")),
        ("POST", "/v1/upstreams/web/servers?dry_run", json!("c:1")),
        ("PUT", "/v1/upstreams/web", json!("c:1")),
    ] {
        keyed(&api, method, path, "k", &body).await.problem(422, "idempotency_mismatch");
    }
    let broken = keyed(&api, "POST", path, "two words", &json!("c:1")).await;
    assert_eq!(broken.problem(422, "validation"), ["idempotency-key invalid_value"]);
    assert_eq!(api.get("/v1/config").await.revision(), 2);
}

#[tokio::test]
async fn only_what_changed_something_is_remembered() {
    let api = Harness::new().await.with_web().await;
    let path = "/v1/upstreams/web/servers";
    keyed(&api, "POST", path, "k", &json!("nonsense")).await.problem(422, "validation");
    let trial = keyed(&api, "POST", &format!("{path}?dry_run"), "k", &json!("c:1")).await;
    assert_eq!((trial.status.as_u16(), trial.header("weir-dry-run")), (201, "true"));
    let there_already = keyed(&api, "POST", path, "k", &json!("a:1")).await;
    assert_eq!(there_already.status, 200);
    let made = keyed(&api, "POST", path, "k", &json!("c:1")).await;
    assert_eq!((made.status.as_u16(), made.header("idempotency-replayed")), (201, ""));
}

#[tokio::test]
async fn a_large_answer_is_given_again_without_its_body() {
    let api = Harness::new().await;
    let servers: Vec<String> = (0..900).map(|n| format!("server-{n:04}.example:80")).collect();
    let body = json!({"id": "large", "servers": servers});
    let first = keyed(&api, "POST", "/v1/upstreams", "k", &body).await;
    assert!(first.text.len() > 64 * 1024, "{}", first.text.len());
    let again = keyed(&api, "POST", "/v1/upstreams", "k", &body).await;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (201, ""));
    assert_eq!(again.header("location"), "/v1/upstreams/large");
    assert_eq!(again.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn a_key_that_is_under_way_waits_for_its_outcome() {
    let api = Harness::new().await.with_web().await;
    let headers = [JSON, ("idempotency-key", "k")];
    let path = "/v1/upstreams/web/servers";
    let slow = Body::new(Stuck);
    let mut first = Box::pin(api.send("POST", path, &headers, slow));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let second = keyed(&api, "POST", path, "k", &json!("c:1")).await;
    second.problem(409, "idempotency_in_flight");
    assert_eq!(second.header("retry-after"), "1");
    drop(first);
    assert_eq!(keyed(&api, "POST", path, "k", &json!("c:1")).await.status, 201);
}

/// A store in memory whose commits take until they are let through, and one of which loses its answer.
#[derive(Debug)]
struct Unreliable {
    inner: Memory,
    passes: Semaphore,
    reached: Semaphore,
    loses_an_answer: AtomicBool,
}

impl Unreliable {
    async fn new(passes: usize) -> Arc<Self> {
        let inner = Memory::default();
        inner.initialise(Epoch("abc123".into())).await.unwrap();
        let loses_an_answer = AtomicBool::new(false);
        Arc::new(Self { inner, passes: Semaphore::new(passes), reached: Semaphore::new(0), loses_an_answer })
    }
}

impl Store for Unreliable {
    fn engine(&self) -> &'static str {
        "unreliable"
    }
    fn initialise(&self, epoch: Epoch) -> Pending<'_, (), StoreError> {
        self.inner.initialise(epoch)
    }
    fn renew(&self, epoch: Epoch) -> Pending<'_, (), StoreError> {
        self.inner.renew(epoch)
    }
    fn load(&self) -> Pending<'_, Snapshot, StoreError> {
        self.inner.load()
    }
    fn load_at(&self, revision: Revision) -> Pending<'_, Option<Snapshot>, StoreError> {
        self.inner.load_at(revision)
    }
    fn revisions(&self, page: Page) -> Pending<'_, Vec<RevisionEntry>, StoreError> {
        self.inner.revisions(page)
    }
    fn commit(&self, commit: Commit) -> Pending<'_, Revision, CommitError> {
        Box::pin(async move {
            self.reached.add_permits(1);
            self.passes.acquire().await.unwrap().forget();
            let answer = self.inner.commit(commit).await;
            if self.loses_an_answer.swap(false, Ordering::SeqCst) {
                return Err(CommitError::Unknown("the line broke".to_owned()));
            }
            answer
        })
    }
    fn record(&self, ops: Vec<RecordOp>) -> Pending<'_, (), CommitError> {
        self.inner.record(ops)
    }
    fn records(&self, kind: RecordKind, page: Page) -> Pending<'_, Vec<Record>, StoreError> {
        self.inner.records(kind, page)
    }
    fn find_record(&self, kind: RecordKind, id: &str) -> Pending<'_, Option<Record>, StoreError> {
        self.inner.find_record(kind, id)
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_by_its_key() {
    let store = Unreliable::new(10).await;
    store.loses_an_answer.store(true, Ordering::SeqCst);
    let api = Harness::over(store);
    let body = json!({"id": "web", "servers": ["a:1"]});
    let lost = keyed(&api, "POST", "/v1/upstreams", "k", &body).await;
    lost.problem(504, "commit_unknown");
    let again = keyed(&api, "POST", "/v1/upstreams", "k", &body).await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
    assert_eq!((again.json()["id"].as_str(), again.revision()), (Some("web"), 1));
    assert_eq!(api.get("/v1/upstreams/web").await.header("etag"), again.header("etag"));
    assert_eq!(api.get("/v1/config").await.revision(), 1);
}

#[tokio::test]
async fn a_caller_who_went_away_does_not_make_the_change_twice() {
    let store = Unreliable::new(0).await;
    let api = Arc::new(Harness::over(Arc::clone(&store) as Arc<dyn Store>));
    let body = json!({"id": "web", "servers": ["a:1"]});
    let mut caller = JoinSet::new();
    let (first, sent) = (Arc::clone(&api), body.clone());
    caller.spawn(async move { keyed(&first, "POST", "/v1/upstreams", "k", &sent).await });
    store.reached.acquire().await.unwrap().forget();
    caller.shutdown().await;
    keyed(&api, "POST", "/v1/upstreams", "k", &body).await.problem(409, "idempotency_in_flight");
    store.passes.add_permits(1);
    assert_eq!(api.get("/v1/config?min_revision=1").await.revision(), 1);
    let again = loop {
        let again = keyed(&api, "POST", "/v1/upstreams", "k", &body).await;
        if again.status != 409 {
            break again;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
}

#[tokio::test]
async fn callers_do_not_share_keys() {
    let api = Harness::new().await.with_web().await;
    let root = api.post("/v1/tokens", json!({"id": "root", "scopes": ["admin"]})).await.json();
    let bearer = |answer: &Value| format!("Bearer {}", answer["token"].as_str().unwrap());
    let root = bearer(&root);
    let body = json!({"id": "ci", "scopes": ["admin"]}).to_string();
    let ci = api.send("POST", "/v1/tokens", &[JSON, ("authorization", &root)], body).await;
    let ci = bearer(&ci.json());
    for (token, body) in [(&root, "\"c:1\""), (&ci, "\"d:1\"")] {
        let fields = [JSON, ("authorization", token.as_str()), ("idempotency-key", "deploy-1")];
        let path = "/v1/upstreams/web/servers";
        assert_eq!(api.send("POST", path, &fields, body).await.status, 201);
        let again = api.send("POST", path, &fields, body).await;
        assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
    }
}
