//! `--config FILE`: the configuration to begin with, and never more than that.

use std::{net::TcpListener, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::{
    origin::Origin,
    weir::{Launch, Weir},
};

/// What is logged when the file is not used.
const IGNORED: &str = "there is a configuration already: the file is ignored";

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("weir-data")
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn launch(&self, config: &Path) -> Launch {
        Launch::default().data_dir(&self.data()).arg("--config").arg(config)
    }
}

fn upstreams(weir: &Weir) -> Vec<Value> {
    let config = weir.api().get("/v1/config").expect(200).json();
    config["upstreams"].as_array().unwrap().iter().map(|upstream| upstream["id"].clone()).collect()
}

fn ignored(weir: &Weir) -> usize {
    weir.logs().events().iter().filter(|event| event["message"] == IGNORED).count()
}

/// From the first moment on: it is in force before the ports are said to be open.
#[test]
fn the_first_start_serves_what_the_file_says() {
    let origin = Origin::named("a");
    let place = Place::new();
    let file =
        place.write("weir.yaml", &format!("upstreams:\n- id: web\n  servers:\n  - {}\n", origin.address()));
    let weir = place.launch(&file).start();
    assert_eq!(weir.client().get("/").status, 200);
    assert_eq!((upstreams(&weir), weir.api().revision(), ignored(&weir)), (vec![json!("web")], 1, 0));
    let first = weir.api().get("/v1/revisions/1").expect(200).json();
    assert_eq!(first["actor"], "file", "{first}");
    assert!(first["message"].as_str().unwrap().contains("weir.yaml"), "{first}");
    weir.assert_no_errors();
}

/// What was done through the API since must not be undone by a restart, nor a start fail for a file no longer needed.
#[test]
fn later_starts_ignore_the_file_and_say_so_once() {
    let place = Place::new();
    let file = place.write("weir.json", r#"{"upstreams": [{"id": "web", "servers": ["127.0.0.1:1"]}]}"#);
    let weir = place.launch(&file).start();
    weir.api().post("/v1/upstreams", &json!({ "id": "api", "servers": [] })).assert(201);
    weir.api().delete("/v1/upstreams/web?cascade=true").assert(204);
    weir.kill();
    for text in [Some(r#"{"upstreams": []}"#), Some("}"), None] {
        match text {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let weir = place.launch(&file).start();
        assert_eq!((upstreams(&weir), weir.api().revision(), ignored(&weir)), (vec![json!("api")], 3, 1));
        weir.assert_no_errors();
        weir.kill();
    }
}

/// An empty configuration that somebody made is a configuration.
#[test]
fn what_was_emptied_stays_empty() {
    let place = Place::new();
    let file = place.write("weir.yaml", "upstreams: [{id: web, servers: ['127.0.0.1:1']}]");
    let weir = place.launch(&file).start();
    weir.api().delete("/v1/upstreams/web?cascade=true").assert(204);
    weir.kill();
    let weir = place.launch(&file).start();
    assert_eq!((upstreams(&weir), ignored(&weir)), (vec![], 1));
}

/// Memory begins anew each time, and so does the file.
#[test]
fn a_store_in_memory_begins_with_the_file_each_time() {
    let place = Place::new();
    let file = place.write("weir.yaml", "upstreams: [{id: web, servers: ['127.0.0.1:1']}]");
    for _ in 0..2 {
        let weir = place.launch(&file).arg("--store").arg("memory").start();
        assert_eq!((upstreams(&weir), weir.api().revision()), (vec![json!("web")], 1));
        weir.api().delete("/v1/upstreams/web?cascade=true").assert(204);
    }
}

/// Every fault with its place; and no port was opened, no folder made: the data port is taken here, which would be the
/// complaint if it had been tried first.
#[test]
fn a_bad_file_is_told_before_anything_is_opened() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = place.write(
        "weir.yaml",
        "upstreams:\n- id: web\n  algoritm: random\n  servers:\n  - 127.0.0.1\n  - address: 127.0.0.1:2\n    wieght: 2\n",
    );
    let launch = || place.launch(&file).listen(taken.local_addr().unwrap());
    let (status, lines) = launch().refused();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    let [head, faults @ ..] = &lines[..] else { panic!("{lines:#?}") };
    assert!(head.contains("weir.yaml is no valid configuration"), "{lines:#?}");
    assert_eq!(faults.len(), 3, "{lines:#?}");
    for (pointer, detail) in [
        ("#/upstreams/0/algoritm: ", "did you mean \"algorithm\"?"),
        ("#/upstreams/0/servers/0/address: ", "missing port"),
        ("#/upstreams/0/servers/1/wieght: ", "did you mean \"weight\"?"),
    ] {
        let line = faults.iter().find(|line| line.starts_with(pointer));
        assert!(line.is_some_and(|line| line.contains(detail)), "{pointer}: {lines:#?}");
    }
    for (text, words) in
        [("upstreams: [", "is not YAML"), ("upstreams: {}", "#/upstreams: "), ("", "is no valid")]
    {
        std::fs::write(&file, text).unwrap();
        let (status, lines) = launch().refused();
        assert!(status.code() == Some(1) && lines.concat().contains(words), "{text}: {lines:#?}");
    }
    std::fs::remove_file(&file).unwrap();
    let (status, lines) = launch().refused();
    assert!(status.code() == Some(1) && lines.concat().contains("weir.yaml cannot be read: "), "{lines:#?}");
    assert!(!place.data().exists(), "nothing was opened");
}

/// While there is something better to start with, a bad file is no reason not to.
#[test]
fn a_bad_file_does_not_keep_the_last_good_configuration_from_being_served() {
    let place = Place::new();
    let file = place.write("weir.yaml", "upstreams: [{id: web, servers: ['127.0.0.1:1']}]");
    let weir = place.launch(&file).start();
    weir_tests::eventually::eventually("the last good copy", || {
        let text = std::fs::read_to_string(place.data().join("last-good.json")).ok()?;
        text.contains("\"web\"").then_some(())
    });
    weir.kill();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let path = place.data().join(name);
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
    std::fs::write(&file, "}").unwrap();
    let weir = place.launch(&file).start();
    assert_eq!((upstreams(&weir), ignored(&weir)), (vec![json!("web")], 1));
}
