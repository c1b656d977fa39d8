//! Who may use the admin API: tokens, the unix socket, and what is written down of every attempt.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::api::{Answer, Api};
use weir_tests::eventually::{PATIENCE, eventually};
use weir_tests::signal::Signal;
use weir_tests::weir::{Launch, Weir};

use super::problem::assert_problem;

/// The API with a token.
struct Bearer<'a> {
    api: Api,
    token: &'a str,
}

impl Bearer<'_> {
    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let call = self.api.call(method, path).field("Authorization", &format!("Bearer {}", self.token));
        match body {
            Some(body) => call.json(body).send(),
            None => call.send(),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    fn make(&self, token: &Value) -> String {
        text(&self.send("POST", "/v1/tokens", Some(token)))
    }

    /// The records of the audit, newest first, once there are `count` of `reason`.
    fn audit(&self, reason: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} calls refused for {reason} in the audit"), || {
            let page = self.get("/v1/audit?limit=1000").expect(200).json();
            let items = page["items"].as_array().unwrap();
            let found: Vec<Value> = items.iter().filter(|item| item["reason"] == reason).cloned().collect();
            (found.len() >= count).then_some(found)
        })
    }
}

fn text(made: &Answer) -> String {
    assert_eq!(made.status(), 201, "{made:?}");
    made.json()["token"].as_str().unwrap().to_owned()
}

/// The first token, which closes the API to whoever shows none.
fn close(weir: &Weir) -> String {
    text(&weir.api().post("/v1/tokens", &json!({"id": "root", "scopes": ["admin"]})))
}

/// Calls over the unix socket at `path`; answers the status and the body.
fn local(path: &Path, head: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let fields = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json";
    write!(stream, "{head} HTTP/1.1\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn who_is_refused_is_not_told_why_and_the_audit_is() {
    let weir = Weir::start();
    let root = close(&weir);
    let admin = Bearer { api: weir.api(), token: &root };
    let garbled = format!("{}x", &root[..root.len() - 1]);
    let attempts = [
        ("token_missing", None),
        ("token_unknown", Some(format!("Bearer {garbled}"))),
        ("token_malformed", Some("Bearer hunter2".to_owned())),
        ("token_malformed", Some("Basic cm9vdDpodW50ZXIy".to_owned())),
    ];
    let mut answers = Vec::new();
    for (_, shown) in &attempts {
        let mut call = weir.api().call("DELETE", "/v1/upstreams/web").field("X-Request-Id", "same");
        if let Some(shown) = shown {
            call = call.field("Authorization", shown);
        }
        let answer = call.send();
        assert_problem(&answer, 401, "unauthenticated");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"weir\""));
        answers.push(answer.response.text());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    for (reason, count) in [("token_missing", 1), ("token_unknown", 1), ("token_malformed", 2)] {
        let record = &admin.audit(reason, count)[0];
        assert_eq!((&record["status"], &record["method"]), (&json!(401), &json!("DELETE")), "{record}");
        assert_eq!(
            (&record["path"], &record["code"]),
            (&json!("/v1/upstreams/web"), &json!("unauthenticated"))
        );
    }
}

#[test]
fn a_token_may_what_its_scopes_say_and_the_audit_names_it() {
    let weir = Weir::start();
    let root = close(&weir);
    let admin = Bearer { api: weir.api(), token: &root };
    let ci = admin.make(&json!({"id": "ci", "scopes": ["servers:write:web"], "ttl": "1h"}));
    let ci = Bearer { api: weir.api(), token: &ci };
    admin.send("POST", "/v1/upstreams", Some(&json!({"id": "web", "servers": []}))).assert(201);
    admin.send("POST", "/v1/upstreams", Some(&json!({"id": "api", "servers": []}))).assert(201);
    ci.send("POST", "/v1/upstreams/web/servers", Some(&json!("127.0.0.1:3001"))).assert(201);
    let refused = ci.send("POST", "/v1/upstreams/api/servers", Some(&json!("127.0.0.1:3001")));
    let problem = assert_problem(&refused, 403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("servers:write"), "{problem}");
    let record = &admin.audit("scope_missing", 1)[0];
    assert_eq!(record["actor"], json!({"kind": "token", "id": "ci"}));
    let changed = admin.get("/v1/audit?actor=token:ci").expect(200).json();
    let changed = &changed["items"].as_array().unwrap().iter().find(|item| item["status"] == 201).cloned();
    let changed = changed.as_ref().unwrap();
    assert_eq!(changed["revision_after"], changed["revision_before"].as_u64().unwrap() + 1, "{changed}");
    assert_eq!(changed["changes"]["total"], 1, "{changed}");
}

#[test]
fn pages_and_addresses_with_tokens_are_refused_and_audited() {
    let weir = Weir::start();
    let root = close(&weir);
    let admin = Bearer { api: weir.api(), token: &root };
    let form = weir
        .api()
        .call("POST", "/v1/upstreams")
        .field("Origin", "http://evil.test")
        .field("Content-Type", "application/x-www-form-urlencoded")
        .body("{\"servers\":[]}")
        .send();
    assert_problem(&form, 403, "forbidden");
    assert_problem(&weir.api().call("GET", "/v1/config").field("Host", "evil.test").send(), 403, "forbidden");
    admin.audit("cross_site", 2);
    for path in [format!("/v1/config?token={root}"), "/v1/config?access_token=x".to_owned()] {
        assert_problem(&admin.get(&path), 400, "malformed_request");
    }
    admin.audit("token_in_url", 2);
}

#[test]
fn tokens_survive_a_restart_and_end_when_revoked() {
    let folder = TempDir::new().unwrap();
    let weir = Launch::default().data_dir(folder.path()).start();
    let root = close(&weir);
    let ci = Bearer { api: weir.api(), token: &root }.make(&json!({"id": "ci", "scopes": ["health:read"]}));
    weir.kill();
    let weir = Launch::default().data_dir(folder.path()).start();
    weir.api().get("/v1/health").assert(401);
    let (admin, ci) = (Bearer { api: weir.api(), token: &root }, Bearer { api: weir.api(), token: &ci });
    ci.get("/v1/health").assert(200);
    admin.send("DELETE", "/v1/tokens/ci", None).assert(204);
    ci.get("/v1/health").assert(401);
    weir.kill();
    let weir = Launch::default().data_dir(folder.path()).start();
    Bearer { api: weir.api(), token: ci.token }.get("/v1/health").assert(401);
    Bearer { api: weir.api(), token: &root }.get("/v1/health").assert(200);
}

/// A lost database must not open the API to everybody.
#[test]
fn tokens_are_known_when_the_store_is_lost() {
    let folder = TempDir::new().unwrap();
    let weir = Launch::default().data_dir(folder.path()).start();
    let root = close(&weir);
    weir.kill();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::write(folder.path().join(name), "this is no database, and never was one").unwrap();
    }
    let weir = Launch::default().data_dir(folder.path()).start();
    weir.api().get("/v1/health").assert(401);
    Bearer { api: weir.api(), token: &root }.get("/v1/health").assert(200);
}

#[test]
fn the_socket_knows_its_callers() {
    let mut weir = Weir::start();
    let socket = weir.data_dir().unwrap().join("admin.sock");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    close(&weir);
    weir.api().get("/v1/config").assert(401);
    let (status, body) = local(&socket, "POST /v1/upstreams", "{\"servers\":[]}");
    assert_eq!(status, 201, "{body}");
    let (status, body) = local(&socket, "GET /v1/audit", "");
    assert_eq!(status, 200, "{body}");
    let uid = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap();
    let page: Value = serde_json::from_str(&body).unwrap();
    let record = page["items"].as_array().unwrap().iter().find(|item| item["remote"] == "unix").unwrap();
    assert_eq!(record["actor"], json!({"kind": "uid", "id": uid.to_string()}), "{record}");
    let (status, _) = local(&socket, "GET /v1/health HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nX: ", "");
    assert_eq!(status, 403);
    weir.signal(Signal::TERM);
    weir.wait(PATIENCE);
    assert!(!socket.exists(), "the socket outlived its process");
}

#[test]
fn the_socket_of_a_killed_process_is_replaced() {
    let folder = TempDir::new().unwrap();
    Launch::default().data_dir(folder.path()).start().kill();
    let socket = folder.path().join("admin.sock");
    assert!(socket.exists());
    let weir = Launch::default().data_dir(folder.path()).start();
    assert_eq!(local(&socket, "GET /v1/health", "").0, 200);
    weir.assert_no_errors();
}

#[test]
fn a_flood_of_bad_tokens_keeps_nobody_else_out() {
    let weir = Weir::start();
    let root = close(&weir);
    let admin = Bearer { api: weir.api(), token: &root };
    let bad = Bearer { api: weir.api(), token: "weir_root_0123456789012345678901234567890123456789012" };
    let mut refused = 0;
    for _ in 0..300 {
        match bad.get("/v1/config").status() {
            401 => refused += 1,
            status => assert_eq!(status, 429),
        }
        admin.get("/v1/health").assert(200);
    }
    assert!((20..100).contains(&refused), "{refused} of 300 were answered 401");
    let kept = admin.audit("token_unknown", 21);
    let floods = kept.iter().filter(|entry| entry["status"] == 429).count();
    assert_eq!(floods, 1, "of the calls that were too many: {kept:#?}");
    assert!(kept.len() <= refused + floods, "{} recorded, {refused} refused", kept.len());
    let numbers = admin.get("/metrics").expect(200).response.text();
    let counted = numbers.lines().find_map(|line| line.strip_prefix("weir_api_rate_limited_total "));
    assert_eq!(counted, Some((300 - refused).to_string().as_str()));
}

#[test]
fn a_token_file_opens_other_addresses() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("admin.token");
    let weir = Launch::default().admin("0.0.0.0:0").arg("--admin-token-file").arg(&file).start();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(&file).unwrap();
    weir.api().get("/v1/config").assert(401);
    Bearer { api: weir.api(), token: token.trim() }.get("/v1/config").assert(200);
    drop(weir);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (status, lines) = Launch::default().arg("--admin-token-file").arg(&file).refused();
    assert!(!status.success() && lines.concat().contains("chmod 600"), "{lines:?}");
}

#[test]
fn no_secret_is_written_down() {
    let folder = TempDir::new().unwrap();
    let weir = Launch::default().data_dir(folder.path()).arg("--log-level").arg("trace").start();
    let root = close(&weir);
    let admin = Bearer { api: weir.api(), token: &root };
    let ci = admin.make(&json!({"id": "ci", "scopes": ["health:read"], "description": "the pipeline"}));
    let rotated = admin.send("POST", "/v1/tokens/ci/rotate", Some(&json!({}))).expect(200).json();
    let rotated = rotated["token"].as_str().unwrap().to_owned();
    for shown in [&ci, &rotated] {
        let bearer = Bearer { api: weir.api(), token: shown };
        bearer.get("/v1/health").assert(200);
        bearer.get("/v1/config").assert(403);
        bearer.get(&format!("/v1/upstreams/{shown}?token={shown}")).assert(400);
        weir.api()
            .call("DELETE", &format!("/v1/upstreams/{shown}"))
            .field("X-Request-Id", shown)
            .send()
            .assert(400);
    }
    admin.send("POST", &format!("/v1/upstreams?message={}", &ci), Some(&json!({}))).assert(400);
    admin.audit("token_in_url", 5);
    admin.send("POST", "/v1/upstreams", Some(&json!({"servers": []}))).assert(201);
    eventually("last-good.json", || folder.path().join("last-good.json").exists().then_some(()));
    let mut outputs = vec![("the log".to_owned(), weir.logs().lines().join("\n").into_bytes())];
    for path in
        ["/v1/config", "/metrics", "/v1/audit", "/v1/tokens", "/v1/tokens/ci", "/v1/info", "/v1/health"]
    {
        outputs.push((path.to_owned(), admin.get(path).expect(200).response.body));
    }
    for entry in folder.path().read_dir().unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            outputs.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
        }
    }
    assert!(outputs.len() > 10);
    for secret in [&root, &ci, &rotated] {
        let secret = secret.rsplit_once('_').unwrap().1.as_bytes();
        for (place, output) in &outputs {
            assert!(!output.windows(secret.len()).any(|part| part == secret), "a secret is in {place}");
        }
    }
}
