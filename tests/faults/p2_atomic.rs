//! Promise 2: whole revisions only, in order. Weir is killed at one system call after the other of a commit, of a
//! checkpoint, of its copy and of its first start; what is left is always a whole revision: the last one acknowledged, or
//! the one whose outcome was unknown.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use weir_tests::weir::Weir;

use super::book::{Book, Outcome, stop};
use super::tamper::Tamper;

/// How a Weir that has survived a check is ended: the log of a stopped one is emptied, that of a killed one read again.
fn end(weir: Weir, round: usize) {
    if round.is_multiple_of(2) {
        stop(weir);
    } else {
        weir.kill();
    }
}

/// Kills Weir at each of these calls on `file`, while it makes up to three writes, and looks at what is left.
fn killed_at(file: &str, calls: &str, each: impl Iterator<Item = usize>) {
    let mut book = Book::begun();
    for (round, nth) in each.enumerate() {
        let what = format!("killed at {calls} {nth} of {file}");
        let path: PathBuf = book.file(file);
        match book.launch().wrapped(Tamper { file: &path, calls }.kill(nth)).attempt() {
            Ok(mut weir) => {
                for _ in 0..3 {
                    if book.write(&weir) == Outcome::Lost {
                        break;
                    }
                }
                let status = weir.wait(Duration::from_secs(30));
                assert_eq!(status.signal(), Some(9), "{what}: it ended with {status}");
            }
            Err((status, logs)) => assert_eq!(status.signal(), Some(9), "{what}: {:#?}", logs.lines()),
        }
        let weir = book.verify(&what);
        end(weir, round);
    }
    book.assert_history();
}

#[test]
fn p2_atomic_when_killed_at_any_write_of_a_commit() {
    killed_at("state.db-wal", "pwrite64", 1..=24);
}

#[test]
fn p2_atomic_when_killed_at_any_flush_of_a_commit() {
    killed_at("state.db-wal", "fsync,fdatasync", 1..=3);
}

#[test]
fn p2_atomic_when_killed_while_the_copy_is_written() {
    killed_at("last-good.json.part", "write", 1..=1);
    killed_at("last-good.json.part", "fsync,fdatasync", 1..=1);
    killed_at("last-good.json.part", "rename,renameat,renameat2", 1..=1);
}

/// Stopping in order writes the log into the file and takes it away.
#[test]
fn p2_atomic_when_killed_while_the_log_is_emptied() {
    let steps = [
        ("state.db", "pwrite64", 1),
        ("state.db", "pwrite64", 3),
        ("state.db", "ftruncate", 1),
        ("state.db", "fsync,fdatasync", 1),
        ("state.db-wal", "unlink,unlinkat", 1),
        ("state.db-shm", "unlink,unlinkat", 1),
    ];
    let mut book = Book::begun();
    for (file, calls, nth) in steps {
        let what = format!("killed at {calls} {nth} of {file}");
        let path = book.file(file);
        let mut weir = book.launch().wrapped(Tamper { file: &path, calls }.kill(nth)).start();
        assert_eq!(book.write(&weir), Outcome::Made, "{what}");
        assert_eq!(book.write(&weir), Outcome::Made, "{what}");
        weir.signal(weir_tests::signal::Signal::TERM);
        let status = weir.wait(Duration::from_secs(30));
        assert_eq!(status.signal(), Some(9), "{what}: it ended with {status}");
        let weir = book.verify(&what);
        end(weir, 1);
    }
    book.assert_history();
}

/// Before the first start is over nothing was promised, and nothing may be in the way of the next.
#[test]
fn p2_atomic_when_killed_in_the_first_start_of_all() {
    let steps = [
        ("state.db", "pwrite64", 1),
        ("state.db", "fsync,fdatasync", 1),
        ("state.db-journal", "pwrite64", 1),
        ("state.db-journal", "unlink,unlinkat", 1),
        ("state.db-wal", "pwrite64", 1),
        ("state.db-wal", "pwrite64", 2),
        ("state.db-wal", "pwrite64", 20),
        ("state.db-wal", "pwrite64", 41),
        ("state.db-wal", "fsync,fdatasync", 1),
        ("state.db-wal", "fsync,fdatasync", 2),
    ];
    for (file, calls, nth) in steps {
        let what = format!("killed at {calls} {nth} of {file}");
        let mut book = Book::new();
        let path = book.file(file);
        let Err((status, logs)) = book.launch().wrapped(Tamper { file: &path, calls }.kill(nth)).attempt()
        else {
            panic!("{what}: it started");
        };
        assert_eq!(status.signal(), Some(9), "{what}: {:#?}", logs.lines());
        let weir = book.verify(&what);
        stop(weir);
        book.assert_history();
    }
}

/// A write that was refused because the disk failed must not come back from the log after a crash: the refusal said that
/// nothing was done. Where that cannot be said, the answer is that the outcome is unknown.
#[test]
fn p2_atomic_when_a_flush_fails_and_a_crash_follows() {
    // The first flush is of the log's head, the second of the commit. A third one settles what came of it.
    for (when, expected) in [("1", 503), ("2", 503), ("2..6", 504)] {
        let what = format!("flush {when} failed");
        let mut book = Book::begun();
        let log = book.file("state.db-wal");
        let command = Tamper { file: &log, calls: "fsync,fdatasync" }.fail("EIO", when);
        let weir = book.launch().wrapped(command).start();
        let outcome = book.write(&weir);
        assert!(
            matches!(&outcome, Outcome::Refused(status, _) if *status == expected),
            "{what}: {outcome:?}"
        );
        weir.kill();
        let weir = book.verify(&what);
        stop(weir);
        book.assert_history();
    }
}
