//! Which configuration a process starts with: never an empty one by accident.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper fails its test"
)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{sync::watch, time::Instant};
use weir_control::{
    Control, ControlConfig, ControlError, StoreChoice, api::Build, catalog::precondition::IfMatch,
    clock::Clock,
};
use weir_shared::{
    id::Revision,
    state::ListenerState,
    table::{Compiler, TableReader},
    time::Timestamp,
};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane in a folder, with nothing behind it.
struct Process {
    control: Control,
    reader: TableReader,
}

fn config(folder: &Path) -> ControlConfig {
    ControlConfig {
        access: weir_control::AccessConfig::default(),
        store: StoreChoice::Folder(folder.to_owned()),
        compiler: Compiler { workers: 1, ..Compiler::default() },
        listener_state: Arc::new(ListenerState::new(1)),
        clock: Clock::new(Instant::now()),
        seed: None,
        allowed_hosts: Vec::new(),
        if_match: IfMatch::Optional,
        node: "test".to_owned(),
        build: Build { version: "0.0.0".to_owned(), commit: "test".to_owned() },
    }
}

impl Process {
    fn start(folder: &Path) -> Self {
        let (prepared, reader) = Control::prepare(config(folder)).unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = Arc::clone(reader.snapshot().listener("default").unwrap());
        listener.state.bound(listener.address.to_string(), Timestamp(0));
        // Nobody binds anything here, and nobody waits for it.
        let (_, settled) = watch::channel(Revision(0));
        Self { control: prepared.serve(admin, settled).unwrap(), reader }
    }

    fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        call(self.control.admin_address(), method, path, body)
    }

    fn servers(&self) -> usize {
        self.reader.snapshot().upstreams().map(|upstream| upstream.servers.len()).sum()
    }

    fn stop(self) {
        self.control.shutdown(Duration::from_secs(10));
    }
}

/// One request on a connection of its own.
fn call(admin: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

/// A folder with one upstream of two servers at revision 1, closed in good order.
fn used_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let (status, answer) =
        process.call("POST", "/v1/upstreams", "{\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\"]}");
    assert_eq!(status, 201, "{answer}");
    process.stop();
    assert!(folder.path().join("last-good.json").exists(), "written at the end at the latest");
    folder
}

fn set_aside(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains(".corrupt-")).collect()
}

/// Asserts that the folder is served from `last-good.json`, read-only, however often it is started.
fn assert_read_only(folder: &Path, reason: &str) {
    for _ in 0..2 {
        let process = Process::start(folder);
        assert_eq!(process.servers(), 2);
        let (status, answer) = process.call("POST", "/v1/upstreams/default/servers", "\"127.0.0.1:3\"");
        assert_eq!(status, 503, "{answer}");
        assert!(answer.contains("store_unavailable"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("weir-store: read_only"), "{answer}");
        assert_eq!(process.call("GET", "/readyz", "").0, 200);
        let (_, info) = process.call("GET", "/v1/info", "");
        assert!(info.contains("\"started_from\":\"last_good\"") && info.contains(reason), "{info}");
        process.stop();
    }
}

#[test]
fn a_new_folder_begins_empty_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b");
    let process = Process::start(&folder);
    assert_eq!(process.servers(), 0);
    assert_eq!(process.call("GET", "/readyz", "").0, 200);
    assert_eq!(process.call("POST", "/v1/upstreams", "{}").0, 201);
    for name in ["state.db", "state.db-wal", "state.db-shm", "lock"] {
        let mode = folder.join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    process.stop();
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let folder = used_folder();
    let process = Process::start(folder.path());
    assert_eq!((process.servers(), process.reader.snapshot().revision().0), (2, 1));
    let (status, answer) = process.call("POST", "/v1/upstreams/default/servers", "\"127.0.0.1:3\"");
    assert_eq!(status, 201, "{answer}");
    process.stop();
    let process = Process::start(folder.path());
    let table = process.reader.snapshot();
    let addresses: Vec<String> =
        table.upstream("default").unwrap().servers.iter().map(|server| server.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    process.stop();
}

#[test]
fn a_damaged_store_is_set_aside_and_traffic_goes_on() {
    let folder = used_folder();
    let path = folder.path().join("state.db");
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::write(&path, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
    assert_read_only(folder.path(), "state.db is");
    assert_eq!(set_aside(folder.path()).len(), 1);
}

#[test]
fn a_lost_or_emptied_store_is_not_a_new_one() {
    let folder = used_folder();
    std::fs::remove_file(folder.path().join("state.db")).unwrap();
    assert_read_only(folder.path(), "state.db is missing");
    std::fs::write(folder.path().join("state.db"), "").unwrap();
    assert_read_only(folder.path(), "state.db is missing");
}

/// A copy of what a process with one commit in its write-ahead log had on disk.
fn folder_cut_short() -> TempDir {
    let folder = used_folder();
    let cut = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let (status, answer) =
        process.call("PATCH", "/v1/upstreams/default/servers/127.0.0.1-1", "{\"weight\":5}");
    assert_eq!(status, 200, "{answer}");
    for name in ["state.db", "state.db-wal", "last-good.json"] {
        std::fs::copy(folder.path().join(name), cut.path().join(name)).unwrap();
    }
    process.stop();
    assert!(cut.path().join("state.db-wal").metadata().unwrap().len() > 0, "the commit is in the log alone");
    cut
}

#[test]
fn a_log_without_its_store_is_kept() {
    for is_missing in [true, false] {
        let folder = folder_cut_short();
        let log = std::fs::read(folder.path().join("state.db-wal")).unwrap();
        let database = folder.path().join("state.db");
        if is_missing {
            std::fs::remove_file(&database).unwrap();
        } else {
            std::fs::write(&database, "").unwrap();
        }
        assert_read_only(folder.path(), "state.db is");
        let kept = set_aside(folder.path());
        let kept_log = kept.iter().find(|path| path.to_string_lossy().ends_with("-wal")).unwrap();
        assert_eq!(std::fs::read(kept_log).unwrap(), log, "is_missing: {is_missing}");
    }
}

#[test]
fn a_damaged_store_is_set_aside_with_its_log_untouched() {
    let folder = folder_cut_short();
    let log = std::fs::read(folder.path().join("state.db-wal")).unwrap();
    let database = folder.path().join("state.db");
    let mut damaged = std::fs::read(&database).unwrap();
    damaged[4096..].fill(0xa5);
    std::fs::write(&database, &damaged).unwrap();
    assert_read_only(folder.path(), "state.db is");
    let kept = set_aside(folder.path());
    let kept_log = kept.iter().find(|path| path.to_string_lossy().ends_with("-wal")).unwrap();
    assert_eq!(std::fs::read(kept_log).unwrap(), log);
}

#[test]
fn trouble_that_may_pass_does_not_advise_to_begin_anew() {
    let folder = used_folder();
    let database = folder.path().join("state.db");
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(&database, &elsewhere).unwrap();
    std::fs::create_dir(&database).unwrap();
    assert_read_only(folder.path(), "restart to try again");
    std::fs::remove_dir(&database).unwrap();
    std::fs::rename(&elsewhere, &database).unwrap();
    let process = Process::start(folder.path());
    assert_eq!(process.call("POST", "/v1/upstreams/default/servers", "\"127.0.0.1:3\"").0, 201);
    process.stop();
}

#[test]
fn a_store_that_was_put_back_begins_a_new_life() {
    let folder = used_folder();
    let database = folder.path().join("state.db");
    let old = std::fs::read(&database).unwrap();
    let server = "/v1/upstreams/default/servers/127.0.0.1-1";
    let process = Process::start(folder.path());
    let epoch = process.reader.snapshot().config().epoch.clone();
    assert_eq!(process.call("PATCH", server, "{\"weight\":5}").0, 200);
    process.stop();
    std::fs::write(&database, old).unwrap();

    let process = Process::start(folder.path());
    let table = process.reader.snapshot();
    let renewed = table.config().epoch.clone();
    assert_eq!((process.servers(), table.revision().0), (2, 1));
    assert_ne!(renewed, epoch);
    assert_eq!(process.call("PATCH", server, "{\"weight\":7}").0, 200, "it takes writes");
    process.stop();
    let entries = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let newer: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains(".newer-")).collect();
    assert_eq!(newer.len(), 1, "{newer:?}");
    let kept = weir_control::last_good::read(&newer[0]).unwrap().unwrap().config;
    assert_eq!((kept.revision.0, kept.epoch), (2, epoch));

    let process = Process::start(folder.path());
    assert_eq!(process.reader.snapshot().config().epoch, renewed, "renewed once, and durably");
    process.stop();
}

#[test]
fn a_missing_store_beside_an_unreadable_copy_is_not_a_new_one() {
    let folder = used_folder();
    std::fs::remove_file(folder.path().join("state.db")).unwrap();
    std::fs::remove_file(folder.path().join("last-good.json")).unwrap();
    // Whoever reads a folder as a file is told that it is one, whatever they may do otherwise.
    std::fs::create_dir(folder.path().join("last-good.json")).unwrap();
    for _ in 0..2 {
        let process = Process::start(folder.path());
        assert_eq!(process.call("GET", "/readyz", "").0, 503);
        let (status, answer) = process.call("POST", "/v1/upstreams", "{}");
        assert_eq!(status, 503, "{answer}");
        process.stop();
    }
}

#[test]
fn without_any_good_copy_nothing_is_served_and_nothing_is_overwritten() {
    let folder = used_folder();
    std::fs::write(folder.path().join("state.db"), "not a database, but long enough to be looked at as one")
        .unwrap();
    std::fs::write(folder.path().join("last-good.json"), "{}").unwrap();
    for _ in 0..2 {
        let process = Process::start(folder.path());
        assert_eq!(process.servers(), 0);
        assert_eq!(process.call("GET", "/readyz", "").0, 503);
        assert_eq!(process.call("GET", "/livez", "").0, 200);
        let (status, answer) = process.call("POST", "/v1/upstreams", "{}");
        assert_eq!(status, 503, "{answer}");
        process.stop();
    }
    assert_eq!(set_aside(folder.path()).len(), 2);
}

#[test]
fn a_good_store_does_without_its_copy() {
    let folder = used_folder();
    std::fs::write(folder.path().join("last-good.json"), "{}").unwrap();
    let process = Process::start(folder.path());
    assert_eq!(process.servers(), 2);
    assert_eq!(process.call("GET", "/v1/info", "").0, 200);
    process.stop();
    assert!(folder.path().join("last-good.json").exists(), "written anew");
}

#[test]
fn a_folder_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let second = Control::prepare(config(folder.path())).map(drop);
    let error = second.map_err(|error: ControlError| error.to_string()).unwrap_err();
    assert!(error.contains("in use by another process"), "{error}");
    process.stop();
    Process::start(folder.path()).stop();
}

#[test]
fn a_folder_that_is_a_file_is_one_readable_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Control::prepare(config(file.path())).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("cannot use the data directory") && !error.contains('\n'), "{error}");
}

#[test]
fn a_burst_of_calls_beyond_the_places_is_refused_or_served_never_lost() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let admin = process.control.admin_address();
    let outcomes: Vec<u16> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..32)
            .map(|n| scope.spawn(move || call(admin, "PUT", &format!("/v1/upstreams/u{n}"), "{}").0))
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let made = outcomes.iter().filter(|status| **status == 201).count();
    assert!(outcomes.iter().all(|status| matches!(status, 201 | 429)), "{outcomes:?}");
    assert_eq!(process.reader.snapshot().upstreams().len(), made);
    process.stop();
}

#[test]
fn one_change_among_ten_thousand_servers_writes_two_rows() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let addresses: Vec<String> =
        (0..10_000).map(|n| format!("\"127.{}.{}.1:80\"", n / 250 + 1, n % 250)).collect();
    let body = format!(
        "{{\"id\":\"web\",\"health_check\":{{\"enabled\":false}},\"servers\":[{}]}}",
        addresses.join(",")
    );
    assert_eq!(process.call("POST", "/v1/upstreams", &body).0, 201);
    let path = "/v1/upstreams/web/servers/127.7.7.1-80";
    assert_eq!(process.call("PATCH", path, "{\"weight\":5}").0, 200);
    process.stop();
    let connection = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM objects WHERE touched = 2"), 2);
    assert_eq!(count("SELECT count(*) FROM past"), 2);
}
