//! A private key that was given to Weir is in no answer, no log, and no file that others may read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use weir_tests::eventually::eventually;
use weir_tests::weir::{Launch, Weir};

use crate::pki::Authority;

/// The files below `folder`, with who may read them and whether they hold `secret`.
fn files(folder: &Path, secret: &[u8]) -> Vec<(String, u32, bool)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if !kind.is_file() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let bytes = std::fs::read(entry.path()).unwrap();
        found.push((name, mode, bytes.windows(secret.len()).any(|window| window == secret)));
    }
    found
}

#[test]
fn a_key_goes_in_and_comes_out_nowhere() {
    let weir = Launch::default().arg("--log-level").arg("trace").start();
    let (authority, api) = (Authority::new(), weir.api());
    let (site, other) = (authority.sign(&["a.test"]), authority.sign(&["a.test"]));
    let secrets: Vec<String> =
        [&site, &other].iter().map(|it| it.key.lines().nth(1).unwrap().to_owned()).collect();
    let mut answers = vec![
        api.post("/v1/certificates", &site.body("site")).expect(201),
        api.put("/v1/certificates/site?dry_run=true", &other.body("site")),
        api.put("/v1/certificates/site", &other.body("site")).expect(200),
        api.patch("/v1/certificates/site", &json!({"private_key": site.key})),
        api.patch("/v1/certificates/site", &json!({"private_key": [site.key]})),
        api.post(
            "/v1/certificates",
            &json!({"id": site.key, "certificate": site.key, "private_key": site.key}),
        ),
        api.post("/v1/certificates", &json!({"id": "x", "labels": site.key, "kind": other.key})),
        api.post("/v1/certificates", &json!(site.key)),
        api.put("/v1/config", &json!({"certificates": [site.body("two")]})).expect(200),
        api.put("/v1/config", &json!({"certificates": site.key})),
        api.post("/v1/config/rollback", &json!({"to": 2})).expect(200),
        api.delete("/v1/certificates/site?dry_run=true"),
        api.post("/v1/upstreams", &json!({"id": site.key, "labels": other.key})),
        api.call("PUT", "/v1/certificates/site").body(site.key.as_bytes()).send(),
        api.call("PUT", "/v1/config")
            .field("Content-Type", "application/yaml")
            .body(other.key.as_bytes())
            .send(),
    ];
    for path in [
        "/v1/certificates",
        "/v1/certificates/site",
        "/v1/config",
        "/v1/config?revision=2",
        "/v1/revisions",
        "/v1/revisions/2",
        "/v1/revisions/2/config",
        "/v1/revisions/3/diff",
        "/v1/revisions/4/diff?against=1",
        "/v1/audit",
        "/v1/health",
        "/v1/info",
        "/metrics",
        "/healthz",
    ] {
        answers.push(api.get(path).expect(200));
    }
    for answer in &answers {
        let text = format!("{:?} {}", answer.response.fields, answer.response.text());
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{}: {text}", answer.asked);
    }
    search(&weir, &secrets);
}

/// Looks for the secrets in the log and in the files of `weir`.
fn search(weir: &Weir, secrets: &[String]) {
    let folder = weir.data_dir().unwrap();
    eventually("the copy is written", || folder.join("last-good.json").exists().then_some(()));
    for secret in secrets {
        let lines = weir.logs().lines().concat();
        assert!(!lines.contains(secret), "a key is logged");
        let found = files(&folder, secret.as_bytes());
        assert!(found.iter().any(|(_, _, holds)| *holds), "the store keeps what it is given: {found:?}");
        for (name, mode, _) in found {
            assert_eq!(mode & 0o077, 0, "{name} can be read by others: {mode:o}");
        }
    }
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o077, 0);
}
