//! The shape of the source tree: small files that say what they are, and arrows between packages that point one way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAX_LINES: usize = 400;
/// Written in two halves, so that this file does not find itself.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust source of the workspace.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> =
        ["shared", "proxy", "control", "tests", "scripts"].map(|name| root().join(name)).to_vec();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 20, "only {} sources found under {}", found.len(), root().display());
    found
}

fn offenders(is_offender: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    sources().into_iter().filter(|(_, text)| is_offender(text)).map(|(path, _)| path).collect()
}

#[test]
fn files_are_short() {
    let long = offenders(|text| text.lines().count() > MAX_LINES);
    assert!(long.is_empty(), "longer than {MAX_LINES} lines: {long:#?}");
}

#[test]
fn files_say_what_they_are() {
    let silent = offenders(|text| !text.starts_with("//! ") && !text.starts_with("#![doc = include_str!"));
    assert!(silent.is_empty(), "without a `//!` head: {silent:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    let unfinished = offenders(|text| UNFINISHED.iter().any(|mark| text.contains(mark)));
    assert!(unfinished.is_empty(), "unfinished: {unfinished:#?}");
}

/// The packages that `package` is built from.
fn dependencies(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "-p",
            package,
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn assert_without(package: &str, banned: &[&str]) {
    let found = dependencies(package);
    assert!(found.iter().any(|name| name == package), "{found:?}");
    let wrong: Vec<_> = banned.iter().filter(|banned| found.iter().any(|name| name == *banned)).collect();
    assert!(wrong.is_empty(), "{package} must not depend on {wrong:?}");
}

#[test]
fn the_model_does_no_input_or_output() {
    assert_without("weir-shared", &["tokio", "hyper", "hyper-util", "axum", "rusqlite", "rand", "tracing"]);
}

#[test]
fn the_data_plane_knows_no_control_plane() {
    assert_without("weir-proxy", &["weir-control", "axum", "rusqlite", "utoipa-swagger-ui"]);
}

#[test]
fn the_control_plane_knows_no_data_plane() {
    assert_without("weir-control", &["weir-proxy"]);
}

#[test]
fn nothing_that_is_shipped_depends_on_the_tests() {
    assert_without("weir", &["weir-tests"]);
}
