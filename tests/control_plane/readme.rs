//! What the README tells people to type works as it is printed, in the order in which it is printed.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use weir_tests::ctl::Ctl;
use weir_tests::weir::{Launch, Weir};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap()
}

/// The fenced blocks of the README, each with its language.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let parts = text.split("```").skip(1).step_by(2);
    parts.filter_map(|part| part.split_once('\n')).collect()
}

/// `line` as a shell would split it; what is between quotes is one word.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, ' ') => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            _ => word.push(letter),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// A call of the API that the README prints.
#[derive(Debug)]
struct Call {
    method: String,
    path: String,
    body: Option<Value>,
}

/// The changes of the configuration that the README prints, in order.
fn changes(text: &str) -> Vec<Call> {
    let lines = blocks(text).into_iter().flat_map(|(_, block)| block.lines());
    let calls = lines.filter_map(|line| {
        let words = words(&line.trim_start_matches("$ ").replace("$PWD", "/tmp"));
        let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1).cloned();
        let path = words.iter().find_map(|word| word.strip_prefix("localhost:9900"))?.to_owned();
        let body = after("--json").map(|body| serde_json::from_str(&body).unwrap());
        let method = after("-X").or_else(|| body.as_ref().map(|_| "POST".to_owned()))?;
        (words.first()? == "curl").then_some(Call { method, path, body })
    });
    calls.filter(|call| !call.path.starts_with("/v1/tokens")).collect()
}

#[test]
fn every_change_is_taken_as_printed() {
    let text = readme();
    let changes = changes(&text);
    assert!(changes.len() > 15, "{changes:#?}");
    let weir = Weir::start();
    for Call { method, path, body } in changes {
        // The test is at other addresses than the reader.
        let path = if path.starts_with("/v1/listeners") { format!("{path}?dry_run=true") } else { path };
        let call = weir.api().call(&method, &path);
        let answer = match &body {
            Some(body) => call.json(body).send(),
            None => call.send(),
        };
        let is_mistake = body.as_ref().is_some_and(|body| !body["algoritm"].is_null());
        let status = answer.status();
        let is_as_printed = if is_mistake { status == 422 } else { (200..300).contains(&status) };
        assert!(is_as_printed, "{method} {path} {body:?}: {status} {}", answer.response.text());
    }
}

#[test]
fn the_file_is_valid_and_a_process_starts_with_it() {
    let text = readme();
    let (_, file) = blocks(&text).into_iter().find(|(language, _)| *language == "yaml").unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weir.yaml");
    std::fs::write(&path, file).unwrap();
    let said = Ctl::weir(&["validate"]).arg(path.to_str().unwrap()).run().expect(0);
    assert!(said.out.ends_with("is valid: 1 upstream, 2 servers\n"), "{said:?}");
    assert_eq!(said.err, "", "nothing is said of it but that");
    let weir = Launch::default().arg("--config").arg(path.as_os_str()).start();
    let shown = weir.api().get("/v1/upstreams/web").expect(200).json();
    assert_eq!(shown["servers"].as_array().map(Vec::len), Some(2), "{shown}");
}
